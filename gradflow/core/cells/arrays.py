"""The few operations on feature-major arrays that cells share."""

from __future__ import annotations

import numpy as np

from gradflow.core.typing import Array

__all__ = ["blocks", "like", "owner", "pull", "sigmoid"]


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + e^−a), to full relative precision for negative a as well.

    Where e^−a overflows the limit 0 is right; the time loops silence NumPy's warning of it.
    """
    e = np.negative(a)
    np.exp(e, out=e)
    e += 1
    return np.reciprocal(e, out=e)


def blocks(a: Array, count: int) -> tuple[Array, ...]:
    """Views of `count` equal blocks of the feature axis (second from the last)."""
    rows = a.shape[-2] // count
    return tuple(a[..., k * rows : (k + 1) * rows, :] for k in range(count))


def like(a: Array, rows: int) -> Array:
    """An empty array laid out as `a`, with another number of features."""
    return np.empty_like(a, shape=(*a.shape[:-2], rows, a.shape[-1]))


def pull(W: Array, a: Array) -> Array:
    """Wᵀ a, the transpose of the product W @ x, for a ``([lengths,] nets, rows, columns)``.

    Lengths become further columns of one product: their axis is the third in memory although it
    is the first in shape, so that neither the view in nor the view out copies.
    """
    Wt = W.swapaxes(-1, -2)
    if a.ndim == 3:
        return Wt @ a
    lengths, nets, rows, columns = a.shape
    wide = a.transpose(1, 2, 0, 3).reshape(nets, rows, lengths * columns)
    return (Wt @ wide).reshape(nets, -1, lengths, columns).transpose(2, 0, 1, 3)


def owner(a: Array) -> Array:
    """Return the array whose memory `a` is a view of."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a
