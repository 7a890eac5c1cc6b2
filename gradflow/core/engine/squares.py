"""Square norms of what goes by on the way back, and whether their range can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from gradflow.core.scaled import LOG10_2, Scaled
from gradflow.core.typing import Array

__all__ = ["SMALL", "Passed", "in_range", "joint_squares", "log10_norms", "square_norms"]

# Exponents of |m| as far as which squares and products are still safely normal.
_REACH = {8: 300, 4: 40}

SMALL = 1 << 12
"""Elements below which one call over a stack of arrays beats a call for each of them."""


def square_norms(arrays: list[Array]) -> Array:
    """Σ m² over features for each of the arrays: ``(steps, ..., nets, columns)``."""
    if arrays[0].size >= SMALL:
        with np.errstate(over="ignore", under="ignore"):  # callers check the range
            return np.array([_square_norm(a) for a in arrays])[..., 0, :]
    stack = np.array(arrays)
    squares: Array = np.einsum("...fc,...fc->...c", stack, stack)
    return squares


def joint_squares(parts: tuple[Array, ...]) -> Array:
    """Σ m² over all features of all parts of a state, ``(..., nets, columns)``."""
    total: Array
    if len({part.shape for part in parts}) == 1:
        total = square_norms(list(parts)).sum(axis=0)
        return total
    each = [square_norms([part])[0] for part in parts]
    total = sum(each[1:], start=each[0])
    return total


def _square_norm(a: Array) -> Array:
    """As one row, a product with ones: BLAS is faster than einsum where arrays are large."""
    row: Array = _ones(a.shape[-2], a.dtype) @ (a * a)
    return row


@lru_cache
def _ones(columns: int, dtype: np.dtype[np.generic]) -> Array:
    return np.ones((1, columns), dtype)


class Passed:
    """Tuples of arrays as they go by on the way back, and their square norms.

    Large arrays are squared at once, while they are in the processor's cache, and only once where
    the same tuple goes by again (a CEC's adjoint does not change); small ones all together.
    """

    def __init__(self) -> None:
        self._each: list[tuple[Array, ...]] = []
        self._squares: list[tuple[Array, ...]] = []

    def add(self, arrays: tuple[Array, ...]) -> None:
        """Let the next one pass, one step earlier in time."""
        if arrays and arrays[0].size >= SMALL:
            same = self._each and self._each[-1] is arrays
            new = self._squares[-1] if same else tuple(_square_norm(a) for a in arrays)
            self._squares.append(new)
        self._each.append(arrays)

    def in_time(self) -> list[tuple[Array, ...]]:
        """Return all of them, forward in time."""
        return self._each[::-1]

    def squares(self) -> tuple[Array, ...]:
        """Σ m² over features of each member, ``(steps, ..., nets, columns)``."""
        if self._squares:
            each = zip(*self._squares, strict=True)
            return tuple(np.array(part[::-1])[..., 0, :] for part in each)
        return tuple(square_norms(list(part[::-1])) for part in zip(*self._each, strict=True))

    def comfortable(self) -> bool:
        """Whether some more steps can do no harm to the range of the mantissas."""
        last = self._each[-1]
        if self._squares:
            squares = sum(self._squares[-1][1:], start=self._squares[-1][0])
        else:
            squares = joint_squares(last)
        return _within(squares, 2.0 ** _REACH[last[0].dtype.itemsize])


def in_range(squares: Array, dtype: np.dtype[np.generic]) -> bool:
    """Whether all square norms of consecutive steps, the latest last, could be trusted.

    Zero is trusted only where it is not fresh: a column that vanishes between two steps of one
    block may have underflowed.
    """
    if not _within(squares, 2.0 ** (2 * _REACH[dtype.itemsize])):
        return False
    zero = squares == 0
    return not (zero.any() and (zero[:-1] & ~zero[1:]).any())


def _within(squares: Array, reach: float) -> bool:
    """Whether all lie in 1/reach … reach or are zero; most have no zeros, and two looks suffice."""
    if not squares.max(initial=0) <= reach:  # NaN is not
        return False
    least = 1 / reach
    return bool(squares.min(initial=1) >= least or ((squares >= least) | (squares == 0)).all())


def log10_norms(squares: Array, exponent: Array, arrays: Callable[[], Sequence[Array]]) -> Array:
    """log10 of norms from their mantissas' squares; −inf for exact zero.

    Where a square has left the range, or all but, the norm is taken again from the `arrays`
    themselves, brought to about 1 each.

    Parameters
    ----------
    squares : array
        ``(steps, ..., nets, columns)``.
    exponent : array of int
        ``([steps,] ..., nets, 1, columns)``.
    arrays : callable
        Makes what the norms are of, ``(..., nets, features, columns)`` for each step.
    """
    with np.errstate(divide="ignore"):
        logs: Array = 0.5 * np.log10(squares.astype(np.float64))
    logs += exponent[..., 0, :] * LOG10_2
    info = np.finfo(squares.dtype)
    lost = ~((squares > info.tiny / info.eps**2) & (squares < info.max * info.eps))
    if not lost.any():
        return logs
    stack = np.stack(arrays())
    exponent = np.broadcast_to(exponent, (*stack.shape[:-2], 1, stack.shape[-1]))
    return np.where(lost, Scaled((stack,), exponent).norm().log10, logs)
