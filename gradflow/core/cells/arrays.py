"""The few operations on feature-major arrays that cells share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gradflow.core.typing import Array

__all__ = ["blocks", "like", "owner", "product", "pull", "sigmoid"]

_UNPACKED = 1_000_000
"""Multiplications up to which OpenBLAS takes matrices as they lie; beyond, it copies both first."""

_NARROW = 16
"""Columns below which the lengths of an adjoint are worth joining into one product."""


def sigmoid(a: Array) -> Array:
    """σ(a) = 1 / (1 + e^−a), to full relative precision for negative a as well.

    Where e^−a overflows the limit 0 is right; the time loops silence NumPy's warning of it.
    """
    e = np.negative(a)
    np.exp(e, out=e)
    e += 1
    return np.divide(1, e, out=e)


def blocks(a: Array, count: int) -> tuple[Array, ...]:
    """Views of `count` equal blocks of the feature axis (second from the last)."""
    rows = a.shape[-2] // count
    return tuple(a[..., k * rows : (k + 1) * rows, :] for k in range(count))


def like(a: Array, rows: int) -> Array:
    """An empty array laid out as `a`, with another number of features."""
    return np.empty_like(a, shape=(*a.shape[:-2], rows, a.shape[-1]))


def product(A: Array, x: Array) -> Array:
    """A x, by bands of A's rows, each small enough for BLAS not to copy it first.

    The copies are a quarter of the time of a product of 512 × 128 by 128 × 32, and half of it
    where there are fewer columns.
    """
    rows, inner = A.shape[-2:]
    bands = _bands(rows, inner, x.shape[-1])
    if bands == 1:
        out: Array = A @ x
        return out
    banded = A.reshape(*A.shape[:-2], bands, rows // bands, inner) @ x[..., None, :, :]
    return banded.reshape(*banded.shape[:-3], rows, x.shape[-1])


@lru_cache
def _bands(rows: int, inner: int, columns: int) -> int:
    """Fewest equal bands that are small enough; 1 where there are none, or nothing is copied."""
    fewest = -(-rows * inner * columns // _UNPACKED)
    counts = range(fewest, rows // 8 + 1) if columns > 1 else ()
    return next((count for count in counts if rows % count == 0), 1)


def pull(W: Array, a: Array) -> Array:
    """Wᵀ a, the transpose of the product W @ x, for a ``([lengths,] nets, rows, columns)``.

    Where there are few columns lengths become further columns of one product: their axis is then
    the third in memory although it is the first in shape, so that neither the view in nor the view
    out copies.
    """
    Wt = W.swapaxes(-1, -2)
    if a.ndim == 3 or a.shape[-1] >= _NARROW:
        return product(Wt, a)
    lengths, nets, rows, columns = a.shape
    wide = a.transpose(1, 2, 0, 3).reshape(nets, rows, lengths * columns)
    pulled = product(Wt, wide).reshape(nets, W.shape[-1], lengths, columns)
    return pulled.transpose(2, 0, 1, 3)


def owner(a: Array) -> Array:
    """Return the array whose memory `a` is a view of."""
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a
