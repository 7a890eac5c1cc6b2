"""Scaled adjoints: m · 2^e with one exponent for all parts of a column's state.

An adjoint that has travelled 100,000 steps is 10^±30,000 or so. Each column therefore carries an
integer exponent e beside its mantissas m. Whenever m leaves a safe range it is multiplied by an
exact power of two, so nothing is rounded: the result is, bit for bit, that of the plain recursion
wherever that one stays in range. A cotangent that joins on the way joins at the column's exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradflow.core.typing import Array

__all__ = [
    "LOG10_2",
    "Passed",
    "Scaled",
    "add",
    "in_range",
    "log10_norm",
    "log10_norms",
    "square_norms",
    "zeros_like_columns",
]

LOG10_2 = float(np.log10(2.0))

# Exponents of |m|: at the start of a block m is brought back to about 1 when it is out of `home`;
# inside a block it may go as far as `reach`, where squares and products are still safely normal.
_HOME = {8: 100, 4: 12}
_REACH = {8: 300, 4: 40}
_NOTHING = -(2**28)


@dataclass(frozen=True)
class Scaled:
    """Arrays that stand for ``part · 2**exponent``.

    Parameters
    ----------
    parts : tuple of array
        ``(..., nets, features, columns)``.
    exponent : array of int
        ``(..., nets, 1, columns)``.
    """

    parts: tuple[Array, ...]
    exponent: Array

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The mantissas' type."""
        return self.parts[0].dtype

    def at(self, exponent: Array) -> Scaled:
        """Express the same values at another exponent (broadcast over leading axes)."""
        shift = self.exponent - exponent
        if not shift.any():
            return self
        with np.errstate(over="ignore", under="ignore"):  # callers check the range
            parts = tuple(np.ldexp(part, shift) for part in self.parts)
        return Scaled(parts, self.exponent - shift)

    def magnitude(self) -> Array:
        """Binary exponent of the largest element of a column, the column's exponent included."""
        top: Array = np.abs(self.parts[0]).max(axis=-2, keepdims=True)
        for part in self.parts[1:]:
            top = np.maximum(top, np.abs(part).max(axis=-2, keepdims=True))
        exponent: Array = np.where(top > 0, np.frexp(top)[1] + self.exponent, _NOTHING)
        return exponent

    def normalised(self, joining: Scaled | None = None, *, home: int | None = None) -> Scaled:
        """Bring columns whose mantissas are out of the home range back to about 1.

        A column in range is left as it is. `joining`, a cotangent about to be added, counts.
        """
        home = _HOME[self.dtype.itemsize] if home is None else home
        magnitude = self.magnitude()
        if joining is not None:
            magnitude = np.maximum(magnitude, joining.magnitude())
        astray = np.abs(magnitude - self.exponent) > home
        astray &= magnitude > _NOTHING
        if not astray.any():
            return self
        return self.at(np.where(astray, magnitude, self.exponent).astype(np.int32))


def zeros_like_columns(a: Array) -> Array:
    """Exponent 0 for each column of `a`."""
    return np.zeros((*a.shape[:-2], 1, a.shape[-1]), np.int32)


def grown(a: Array, new: int) -> Array:
    """`a` with `new` more lengths of zeros, the axis of lengths third in memory (see `pull`)."""
    lengths, nets, rows, columns = a.shape
    wide = np.zeros((nets, rows, lengths + new, columns), a.dtype).transpose(2, 0, 1, 3)
    wide[:lengths] = a
    return wide


def add(a: Scaled, b: Scaled) -> Scaled:
    """Return a + b, at an exponent that keeps the larger of the two in range."""
    a = a.normalised(b)
    b = b.at(a.exponent)
    return Scaled(tuple(p + q for p, q in zip(a.parts, b.parts, strict=True)), a.exponent)


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
        each = self._squares[-1] if self._squares else square_norms(list(last))
        squares = sum(each[1:], start=each[0])
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


def log10_norm(squares: Array, exponent: Array) -> Array:
    """log10 of a norm from its mantissa's square; −inf for exact zero.

    Parameters
    ----------
    squares : array
        Σ m² over features, ``(..., nets, columns)``.
    exponent : array of int
        Of the columns, broadcast against `squares`.
    """
    with np.errstate(divide="ignore"):
        logs: Array = 0.5 * np.log10(squares.astype(np.float64))
    logs += exponent * LOG10_2
    return logs


def log10_norms(squares: Array, exponent: Array, arrays: Callable[[], Sequence[Array]]) -> Array:
    """log10 of norms as `log10_norm`, also where a square has left the range, or all but.

    There the norm is taken again from the `arrays` themselves, brought to about 1 each.

    Parameters
    ----------
    squares : array
        ``(steps, ..., nets, columns)``.
    exponent : array of int
        ``([steps,] ..., nets, 1, columns)``.
    arrays : callable
        Makes what the norms are of, ``(..., nets, features, columns)`` for each step.
    """
    exponent = np.broadcast_to(exponent[..., 0, :], squares.shape)
    logs = log10_norm(squares, exponent)
    info = np.finfo(squares.dtype)
    lost = ~((squares > info.tiny / info.eps**2) & (squares < info.max * info.eps))
    if not lost.any():
        return logs
    stack = np.stack(arrays())
    top = np.frexp(np.abs(stack).max(axis=-2))[1]
    stack = np.ldexp(stack, -top[..., None, :])
    again = np.einsum("...fc,...fc->...c", stack, stack, dtype=np.float64)
    return np.where(lost, log10_norm(again, exponent + top), logs)
