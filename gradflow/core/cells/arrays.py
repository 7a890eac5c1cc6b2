"""The few operations on feature-major arrays that cells share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradflow.core.typing import Array

__all__ = [
    "Drive",
    "affine",
    "blocks",
    "by_block",
    "difference",
    "like",
    "nets_last",
    "owner",
    "place",
    "product",
    "pull",
    "sigmoid",
    "spread",
]

_UNPACKED = 1_000_000
"""Multiplications up to which OpenBLAS takes matrices as they lie; beyond, it copies both first."""

_LEAST = 32
"""Rows that a band has at least: with half as many a product takes a quarter longer than whole."""

_NARROW = 16
"""Columns below which the lengths of an adjoint are worth joining into one product."""


def sigmoid(a: Array, out: Array | None = None) -> Array:
    """σ(a) = 1 / (1 + e^−a), to full relative precision for negative a as well.

    Where e^−a overflows the limit 0 is right; the time loops silence NumPy's warning of it.
    """
    e: Array = np.negative(a, out=out)
    np.exp(e, out=e)
    e += 1
    return np.reciprocal(e, out=e)


def place(a: Array) -> Array | None:
    """Where a function of `a` goes that nobody else needs: into `a` itself, if that is one piece.

    Fewer arrays stay in the processor's cache: 3 to 8 % of a pass. In pieces, the gates of several
    nets, it costs as much as it gains.
    """
    alone = type(a) is np.ndarray  # subclasses that count operations do so for a whole memory
    return a if alone and a.flags.forc else None


def difference(a: Array | float, b: Array) -> Array:
    """a − b in the memory of b, an array that nobody else needs."""
    out: Array = np.subtract(a, b, out=b)
    return out


def by_block(slopes: Sequence[Array], first: Array, others: Array) -> Array:
    """[slope₁ ⊙ first; slope₂ ⊙ others; slope₃ ⊙ others; …], of slopes apart or as one array."""
    if len(slopes) == 1:
        count = slopes[0].shape[-2] // first.shape[-2]
        below: Array = slopes[0] * np.concatenate((first, *(others,) * (count - 1)), axis=-2)
        return below
    H = first.shape[-2]
    out = like(first, len(slopes) * H)
    for k, slope in enumerate(slopes):
        np.multiply(others if k else first, slope, out=out[..., k * H : (k + 1) * H, :])
    return out


def spread(v: Array, columns: int) -> Array:
    """A vector's copies side by side: with as many columns as the arrays that it is applied to.

    Arrays of the same shape are multiplied in a third of the time.
    """
    return np.repeat(v, columns, axis=-1)


def blocks(a: Array, count: int) -> tuple[Array, ...]:
    """Views of `count` equal blocks of the feature axis (second from the last)."""
    rows = a.shape[-2] // count
    return tuple([a[..., k * rows : (k + 1) * rows, :] for k in range(count)])


def like(a: Array, rows: int) -> Array:
    """An empty array laid out as `a`, with another number of features."""
    shape = (*a.shape[:-2], rows, a.shape[-1])
    if type(a) is np.ndarray and a.flags.forc:
        return np.empty(shape, a.dtype, "F" if a.flags.fnc else "C")
    return np.empty_like(a, shape=shape)


def nets_last(a: Array) -> Array:
    """The same numbers, in memory with the nets behind the features.

    Where every net has one column, each gate of all nets is one piece then: an operation on a few
    hundred numbers takes half the time. What cells make of such arrays is laid out likewise.
    """
    return np.ascontiguousarray(a.swapaxes(-3, -2)).swapaxes(-3, -2)


def product(A: Array, x: Array) -> Array:
    """A x, laid out as x, by bands of A's rows, each small enough for BLAS not to copy it first.

    The copies are a quarter of the time of a product of 512 × 128 by 128 × 32, and half of it
    where there are fewer columns.
    """
    rows, inner = A.shape[-2:]
    bands = _bands(rows, inner, x.shape[-1])
    if bands == 1:
        out: Array = np.matmul(A, x, order="F") if x.flags.fnc else A @ x
        return out
    banded = A.reshape(*A.shape[:-2], bands, rows // bands, inner) @ x[..., None, :, :]
    return banded.reshape(*banded.shape[:-3], rows, x.shape[-1])


@lru_cache
def _bands(rows: int, inner: int, columns: int) -> int:
    """Fewest equal bands that are small enough; 1 where there are none, or nothing is copied."""
    fewest = -(-rows * inner * columns // _UNPACKED)
    counts = range(fewest, rows // _LEAST + 1) if columns > 1 else ()
    return next((count for count in counts if rows % count == 0), 1)


@dataclass(frozen=True)
class Drive:
    """U x + b that is yet to be made, in one product with W h: [W U b] [h; x; 1].

    Neither U x nor a sum then passes through memory: 5 to 10 % of a pass with four gates. With one
    gate there is nothing to gain.

    Parameters
    ----------
    matrix : array
        [W U b].
    x : array
        [x; 1].
    """

    matrix: Array
    x: Array


def affine(W: Array, h: Array, u: Array | Drive) -> Array:
    """W h + u."""
    if isinstance(u, Drive):
        return product(u.matrix, np.concatenate((h, u.x), axis=-2))
    a = product(W, h)
    a += u
    return a


def pull(W: Array, a: Array) -> Array:
    """Wᵀ a, the transpose of the product W @ x, for a ``([lengths,] nets, rows, columns)``.

    Where there are few columns lengths become further columns of one product: their axis is then
    the third in memory although it is the first in shape, so that neither the view in nor the view
    out copies.
    """
    Wt = W.swapaxes(-1, -2)
    if a.flags.fnc:  # BLAS rounds otherwise where a lies in pieces: not as for a net alone
        alone: Array = np.matmul(Wt, np.ascontiguousarray(a), order="F")
        return alone
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
