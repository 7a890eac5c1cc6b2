"""Singular values of a matrix whose rows differ by any number of decades.

A long product of Jacobians spans 10^±thousands between its directions: far beyond what floats can
hold, and beyond what a plain SVD resolves, which is ε of the *largest* singular value. Written as
diag(2^e) B, with the exponents e kept apart and B well conditioned, each singular value is there to
high relative accuracy, the smallest included, and one-sided Jacobi rotations bring it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.typing import Array

__all__ = ["GONE", "Graded", "log2_singular_values", "logarithm", "without_dust"]

GONE = -(2**40)
"""Exponent of a row of zeros: below any product's, and differences of it stay finite."""

_SWEEPS = 40
_DUST = 2.0**-256


@dataclass(frozen=True)
class Graded:
    """diag(2^exponent) · rows.

    Parameters
    ----------
    rows : array
        ``(..., D, D)``, the largest element of each row in [½, 1), or a row of zeros.
    exponent : array of int64
        ``(..., D)``; `GONE` for a row of zeros.
    """

    rows: Array
    exponent: Array

    @classmethod
    def of(cls, matrix: Array) -> Graded:
        """Write an ordinary matrix ``(..., D, D)`` as a graded one."""
        return cls(matrix, np.zeros(matrix.shape[:-1], np.int64))._tidy()

    def after(self, factor: Array) -> Graded:
        """Return factor · self for an ordinary ``factor`` ``(..., D, D)``."""
        exponent = self.exponent[..., None, :]
        top = np.where(factor != 0, exponent, GONE).max(axis=-1)
        rows = without_dust(_ldexp(factor, exponent - top[..., None])) @ self.rows
        return Graded(rows, top)._tidy()

    def ordered(self, order: Array) -> Graded:
        """Put the rows into another order, ``(..., D)``."""
        return Graded(
            np.take_along_axis(self.rows, order[..., None], axis=-2),
            np.take_along_axis(self.exponent, order, axis=-1),
        )

    def _tidy(self) -> Graded:
        """Bring the largest element of each row into [½, 1), exactly."""
        shift = np.frexp(np.abs(self.rows).max(axis=-1))[1].astype(np.int64)
        empty = ~self.rows.any(axis=-1)
        exponent = np.where(empty, GONE, self.exponent + shift)
        rows = without_dust(_ldexp(self.rows, -shift[..., None], reach=2000))
        return Graded(rows, exponent)


def logarithm(a: Array) -> Array:
    """log2 of what is not negative; `GONE` for zero."""
    logs: Array = np.log2(np.where(a > 0, a, 1))
    return np.where(a > 0, logs, GONE)


def without_dust(a: Array) -> Array:
    """Put 0 for elements below 2^−256 in arrays of unit size: beneath any rounding.

    Left alone they would soon be subnormal, with which products are a hundred times slower.
    """
    return np.where(np.abs(a) < _DUST, 0, a)


def _ldexp(a: Array, shift: Array, reach: int = 0) -> Array:
    """a · 2^shift, where a shift above `reach` can only meet a zero."""
    with np.errstate(under="ignore"):
        scaled: Array = np.ldexp(a, np.clip(shift, -4000, reach).astype(np.int32))
    return scaled


def log2_singular_values(matrix: Graded) -> Array:
    """log2 of all singular values, descending; −inf for zero.

    With rows sorted by size, a QR of Bᵀ turns diag(2^e) B into a lower triangle, the closer to
    diagonal the more it is graded. One-sided Jacobi rotations make its columns orthogonal; a column
    is a unit vector times 2^level, so that no rotation leaves the range of floats.

    Parameters
    ----------
    matrix : Graded
        ``(..., D, D)``.

    Returns
    -------
    array
        ``(..., D)``.

    References
    ----------
    J. Demmel and K. Veselić, Jacobi's method is more accurate than QR, SIAM J. Matrix Anal. Appl.
    13 (1992). Z. Drmač and K. Veselić, New fast and accurate Jacobi SVD algorithm, SIAM J. Matrix
    Anal. Appl. 29 (2008), for the QR that comes first.
    """
    matrix = matrix.ordered(np.argsort(-matrix.exponent, axis=-1, kind="stable"))
    exponent = matrix.exponent
    upper = np.linalg.qr(matrix.rows.swapaxes(-1, -2))[1]
    # Row j of the upper triangle is column j of the lower one, to be scaled by 2^(e_i − e_j).
    columns = _ldexp(upper, exponent[..., None, :] - exponent[..., :, None])
    D = columns.shape[-1]
    levels = _jacobi(columns.reshape(-1, D, D), exponent.reshape(-1, D).astype(np.float64))
    levels[levels < GONE / 2] = -np.inf
    logs: Array = -np.sort(-levels, axis=-1).reshape(exponent.shape)
    return logs


def _jacobi(columns: Array, levels: Array) -> Array:
    """Rotate columns ``(batch, D, ·)`` · 2^levels until they are orthogonal; return their levels.

    Each sweep meets every pair once, disjoint pairs at a time (the rounds of a tournament).
    """
    odd = columns.shape[1] % 2
    columns = np.pad(columns, ((0, 0), (0, odd), (0, 0)))
    levels = np.pad(levels, ((0, 0), (0, odd)), constant_values=GONE)
    columns, levels = _unit(columns, levels)
    D = columns.shape[1]
    tolerance = D * np.finfo(columns.dtype).eps
    players = np.arange(D)
    for _ in range(_SWEEPS):
        worst = 0.0
        for _ in range(D - 1):
            pairs = players[: D // 2], players[D // 2 :][::-1]
            worst = max(worst, _rotate(columns, levels, *pairs))
            players = np.concatenate([players[:1], players[-1:], players[1:-1]])
        if worst <= tolerance:
            break
    return levels[:, : D - odd]


def _unit(columns: Array, levels: Array) -> tuple[Array, Array]:
    """Columns of length one, their lengths moved into the levels."""
    norms = np.sqrt(np.einsum("...i,...i->...", columns, columns))
    levels = np.maximum(levels + logarithm(norms), GONE)
    return without_dust(columns / np.where(norms == 0, 1, norms)[..., None]), levels


def _rotate(columns: Array, levels: Array, p: Array, q: Array) -> float:
    """Make columns p orthogonal to columns q, in place; return the largest |cosine| before.

    With lengths 1 and δ ≤ 1 (after taking out the larger) and cosine γ, the rotation's tangent is
    δτ with τ = 2γ / (1 − δ² + √((1 − δ²)² + 4δ²γ²)): the larger column becomes u + δ²τ v and the
    smaller v − τ u, both of ordinary size however small δ is.
    """
    swap = levels[:, p] < levels[:, q]
    u, v = columns[:, p], columns[:, q]
    cosine = np.einsum("bji,bji->bj", u, v)
    worst = float(np.abs(cosine).max())
    with np.errstate(under="ignore"):
        ratio = np.exp2(-2 * np.abs(levels[:, p] - levels[:, q]))
        gap = 1 - ratio
        denominator = gap + np.sqrt(gap * gap + 4 * ratio * cosine * cosine)
        tau = 2 * cosine / np.where(denominator == 0, 1, denominator)
        small = ratio * tau
        shorter = -0.5 * np.log2(1 + small * tau)[..., None]
        on_u = np.where(swap, -tau, small)[..., None]
        on_v = np.where(swap, small, -tau)[..., None]
        new_u, new_v = u + on_u * v, v + on_v * u
    columns[:, p], levels[:, p] = _unit(new_u, levels[:, p] + shorter[..., 0])
    columns[:, q], levels[:, q] = _unit(new_v, levels[:, q] + shorter[..., 0])
    return worst
