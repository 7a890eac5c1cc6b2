"""Numbers that no range holds: m · 2^e, the exponent apart.

An adjoint that has travelled 100,000 steps is 10^±30,000 or so, and a product of Jacobians differs
by as much between its rows. Elements that belong together (a column's state, a row, a matrix) share
an integer exponent e beside their mantissas m. Mantissas are brought into range by exact powers of
two alone, so nothing is rounded: sums and products are, bit for bit, the plain ones wherever those
stay in range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gradflow.core.typing import Array

__all__ = ["LOG10_2", "NOTHING", "Scaled", "concatenated", "cosine", "log10_rms", "stacked"]

LOG10_2 = float(np.log10(2.0))

NOTHING = -(2**40)
"""Exponent of zero: below any other, and what it is added to or subtracted from stays finite."""

Axes: TypeAlias = int | tuple[int, ...]

# Exponents of |m| beyond which columns are brought back to about 1, by size of the type.
_HOME = {8: 100, 4: 12}

# A shift beyond any range, and within what `ldexp` takes.
_FAR = 1 << 14


@dataclass(frozen=True)
class Scaled:
    """Arrays that stand for ``part · 2**exponent``.

    Parameters
    ----------
    parts : tuple of array
        One array, or several that share their exponents: ``(..., nets, features, columns)``.
    exponent : array of int
        As many axes as a part; of size 1 along those whose elements share an exponent, such as
        ``(..., nets, 1, columns)``.
    """

    parts: tuple[Array, ...]
    exponent: Array

    @classmethod
    def of(cls, *parts: Array) -> Scaled:
        """Take ordinary arrays as they are, with one exponent for each column."""
        first = parts[0]
        return cls(parts, np.zeros((*first.shape[:-2], 1, first.shape[-1]), np.int64))

    @property
    def values(self) -> Array:
        """The mantissas of the only part."""
        (values,) = self.parts
        return values

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The mantissas' type."""
        return self.parts[0].dtype

    @property
    def plain(self) -> Array:
        """m · 2^e as ordinary numbers: 0 or infinite beyond their range."""
        return _shifted(self.values, self.exponent)

    @property
    def log10(self) -> Array:
        """log10 of what is not negative, in float64; −inf for exact zero."""
        with np.errstate(divide="ignore"):
            logs: Array = np.log10(self.values, dtype=np.float64)
        logs += self.exponent * LOG10_2
        return logs

    def __getitem__(self, where: Any) -> Scaled:
        """Choose along axes of which every element has an exponent."""
        return Scaled(tuple(part[where] for part in self.parts), self.exponent[where])

    def __add__(self, other: Scaled) -> Scaled:
        """The sum, at exponents that keep the larger of both in range."""
        a = self.normalised(other)
        b = other.at(a.exponent)
        return Scaled(tuple(p + q for p, q in zip(a.parts, b.parts, strict=True)), a.exponent)

    def __neg__(self) -> Scaled:
        return Scaled(tuple(-part for part in self.parts), self.exponent)

    def __mul__(self, other: Scaled) -> Scaled:
        """The product, element by element; of mantissas about 1 (see `unit`)."""
        return Scaled((self.values * other.values,), self.exponent + other.exponent)

    def __truediv__(self, other: Scaled) -> Scaled:
        """The quotient, element by element; NaN for 0/0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.values / other.values
        return Scaled((ratio,), self.exponent - other.exponent)

    def at(self, exponent: Array) -> Scaled:
        """Express the same values at another exponent (broadcast over leading axes)."""
        shift = self.exponent - exponent
        if not shift.any():
            return self
        return Scaled(tuple(_shifted(part, shift) for part in self.parts), self.exponent - shift)

    def magnitude(self) -> Array:
        """Binary exponent of the largest of the elements that share one; `NOTHING` for zeros."""
        sizes = []
        for part in self.parts:
            each = zip(self.exponent.shape, part.shape, strict=True)
            shared = tuple(axis for axis, (own, all_) in enumerate(each) if own != all_)
            sizes.append(np.abs(part).max(axis=shared, keepdims=True))
        top = sizes[0]
        for size in sizes[1:]:
            top = np.maximum(top, size)
        exponent: Array = np.where(top > 0, np.frexp(top)[1] + self.exponent, NOTHING)
        return exponent

    def normalised(self, joining: Scaled | None = None, *, home: int | None = None) -> Scaled:
        """Bring mantissas that are out of the home range back to about 1.

        What is in range is left as it is. `joining`, which is about to be added, counts.
        """
        home = _HOME[self.dtype.itemsize] if home is None else home
        magnitude = self.magnitude()
        if joining is not None:
            magnitude = np.maximum(magnitude, joining.magnitude())
        astray = np.abs(magnitude - self.exponent) > home
        astray &= magnitude > NOTHING
        if not astray.any():
            return self
        return self.at(np.where(astray, magnitude, self.exponent))

    def unit(self) -> Scaled:
        """Bring the largest of the elements that share an exponent into [½, 1), all of them."""
        return self.at(self.magnitude())

    def level(self, axis: Axes) -> Scaled:
        """Let the elements along some axes share their exponent, that of the largest."""
        axes = axis if isinstance(axis, tuple) else (axis,)
        if all(self.exponent.shape[each] == 1 for each in axes):
            return self
        top = self.magnitude().max(axis=axes, keepdims=True)
        return Scaled(self.at(top).parts, top)

    def sum(self, axis: Axes) -> Scaled:
        """Sum over axes, which go."""
        level = self.level(axis)
        total = tuple(part.sum(axis=axis) for part in level.parts)
        return Scaled(total, level.exponent.squeeze(axis))

    def norm(self, axis: int = -2) -> Scaled:
        """Euclidean norms along an axis, which goes, in float64: their squares stay in range."""
        one = self.level(axis).unit()
        m = np.moveaxis(one.values, axis, -2)
        squares = np.einsum("...fc,...fc->...c", m, m, dtype=np.float64)
        return Scaled((np.sqrt(squares),), one.exponent.squeeze(axis))

    def grown(self, new: int) -> Scaled:
        """With `new` more lengths of zeros, the axis of lengths second to last in memory."""
        if not new:
            return self
        return Scaled(tuple(_grown(part, new) for part in self.parts), _grown(self.exponent, new))


def stacked(each: Sequence[Scaled]) -> Scaled:
    """Put numbers of one part side by side along a new first axis."""
    return Scaled(
        (np.stack([one.values for one in each]),), np.stack([one.exponent for one in each])
    )


def concatenated(each: Sequence[Scaled]) -> Scaled:
    """Join numbers of one part along the features, which then share their exponents."""
    level = [one.level(-2) for one in each]
    top = np.max([one.magnitude() for one in level], axis=0)
    return Scaled((np.concatenate([one.at(top).values for one in level], -2),), top)


def cosine(a: Scaled, b: Scaled) -> Array:
    """a·b / ‖a‖‖b‖ over features, ``(..., columns)``; NaN where one of them is zero."""
    a, b = a.unit(), b.unit()
    with np.errstate(invalid="ignore"):
        found: Array = np.einsum("...fc,...fc->...c", a.values, b.values) / (
            a.norm().values * b.norm().values
        )
    return found


def _shifted(a: Array, shift: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):  # callers check the range
        shifted: Array = np.ldexp(a, np.clip(shift, -_FAR, _FAR).astype(np.int32))
    return shifted


def _grown(a: Array, new: int) -> Array:
    """The layout is what `pull` asks for."""
    wide = np.moveaxis(np.zeros((*a.shape[1:-1], len(a) + new, a.shape[-1]), a.dtype), -2, 0)
    wide[: len(a)] = a
    return wide


def log10_rms(logs: Array, axis: int, weights: Array | None = None) -> Array:
    """½ log10 of the mean of 10^(2 logs) along an axis, of whatever size; −inf where all are."""
    top = np.maximum(logs.max(axis=axis, keepdims=True), np.finfo(float).min)
    with np.errstate(under="ignore", divide="ignore"):
        mean = np.average(100 ** (logs - top), axis=axis, weights=weights)
        rms: Array = np.log10(mean) / 2 + top.squeeze(axis)
    return rms
