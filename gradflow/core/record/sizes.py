"""Norms of scaled vectors, apart from their exponents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradflow.core.scaled import LOG10_2, Scaled
from gradflow.core.typing import Array

__all__ = ["Sized"]


@dataclass(frozen=True)
class Sized:
    """Vectors whose largest element is about 1, and what they have to be multiplied with.

    Parameters
    ----------
    values : array
        ``(..., features, columns)``.
    exponent : array of int
        ``(..., columns)``; far below any other where a vector is zero.
    """

    values: Array
    exponent: Array

    @classmethod
    def of(cls, scaled: Scaled) -> Sized:
        """Bring vectors to about 1, exactly."""
        exponent = scaled.magnitude()
        return cls(scaled.at(exponent).parts[0], exponent[..., 0, :])

    @cached_property
    def norms(self) -> Array:
        """Norms of the values, ``(..., columns)``: their squares cannot leave the range."""
        squares = np.einsum("...fc,...fc->...c", self.values, self.values, dtype=np.float64)
        norms: Array = np.sqrt(squares)
        return norms

    @property
    def log10(self) -> Array:
        """log10 of the vectors' norms; −inf for exact zero."""
        with np.errstate(divide="ignore"):
            logs: Array = np.log10(self.norms) + self.exponent * LOG10_2
        return logs
