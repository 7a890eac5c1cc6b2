"""Singular values of a matrix whose rows differ by any number of decades.

A long product of Jacobians spans 10^±thousands between its directions: far beyond what floats can
hold, and beyond what a plain SVD resolves, which is ε of the *largest* singular value. Written as
diag(2^e) B, with the exponents e kept apart and B well conditioned, each singular value is there to
high relative accuracy, the smallest included, and one-sided Jacobi rotations bring it out.
"""

from __future__ import annotations

import numpy as np

from gradflow.core.scaled import NOTHING, Scaled
from gradflow.core.typing import Array

__all__ = ["graded", "log2_singular_values", "logarithm", "ordered", "times", "without_dust"]

_SWEEPS = 40
_DUST = 2.0**-256


def graded(matrix: Array) -> Scaled:
    """Write an ordinary matrix ``(..., D, D)`` with an exponent for each row."""
    return _tidy(matrix, np.zeros((*matrix.shape[:-1], 1), np.int64))


def times(factor: Array, matrix: Scaled) -> Scaled:
    """Return factor · matrix for an ordinary ``factor`` ``(..., D, D)``."""
    exponent = np.broadcast_to(matrix.exponent.swapaxes(-1, -2), factor.shape)
    level = Scaled((factor,), exponent).level(-1)
    return _tidy(without_dust(level.values) @ matrix.values, level.exponent)


def ordered(matrix: Scaled, order: Array) -> Scaled:
    """Put the rows into another order, ``(..., D)``."""
    values, exponent = (
        np.take_along_axis(a, order[..., None], axis=-2) for a in (matrix.values, matrix.exponent)
    )
    return Scaled((values,), exponent)


def _tidy(values: Array, exponent: Array) -> Scaled:
    """Bring the largest element of each row into [½, 1), exactly."""
    unit = Scaled((values,), exponent).unit()
    return Scaled((without_dust(unit.values),), unit.exponent)


def logarithm(a: Array) -> Array:
    """log2 of what is not negative; `NOTHING` for zero."""
    logs: Array = np.log2(np.where(a > 0, a, 1))
    return np.where(a > 0, logs, NOTHING)


def without_dust(a: Array) -> Array:
    """Put 0 for elements below 2^−256 in arrays of unit size: beneath any rounding.

    Left alone they would soon be subnormal, with which products are a hundred times slower.
    """
    return np.where(np.abs(a) < _DUST, 0, a)


def log2_singular_values(matrix: Scaled) -> Array:
    """log2 of all singular values, descending; −inf for zero.

    With rows sorted by size, a QR of Bᵀ turns diag(2^e) B into a lower triangle, the closer to
    diagonal the more it is graded. One-sided Jacobi rotations make its columns orthogonal; a column
    is a unit vector times 2^level, so that no rotation leaves the range of floats.

    Parameters
    ----------
    matrix : Scaled
        ``(..., D, D)``, an exponent for each row.

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
    matrix = ordered(matrix, np.argsort(-matrix.exponent[..., 0], axis=-1, kind="stable"))
    exponent = matrix.exponent
    upper = np.linalg.qr(matrix.values.swapaxes(-1, -2))[1]
    # Row j of the upper triangle is column j of the lower one, to be scaled by 2^(e_i − e_j).
    across = np.broadcast_to(exponent.swapaxes(-1, -2), upper.shape)
    columns = Scaled((upper,), across).at(exponent).values
    D = columns.shape[-1]
    levels = _jacobi(columns.reshape(-1, D, D), exponent.reshape(-1, D).astype(np.float64))
    levels[levels < NOTHING / 2] = -np.inf
    logs: Array = -np.sort(-levels, axis=-1).reshape(exponent.shape[:-1])
    return logs


def _jacobi(columns: Array, levels: Array) -> Array:
    """Rotate columns ``(batch, D, ·)`` · 2^levels until they are orthogonal; return their levels.

    Each sweep meets every pair once, disjoint pairs at a time (the rounds of a tournament).
    """
    odd = columns.shape[1] % 2
    columns = np.pad(columns, ((0, 0), (0, odd), (0, 0)))
    levels = np.pad(levels, ((0, 0), (0, odd)), constant_values=NOTHING)
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
    levels = np.maximum(levels + logarithm(norms), NOTHING)
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
