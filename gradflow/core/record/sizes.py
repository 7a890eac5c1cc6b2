"""Norms of scaled vectors, apart from their exponents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Sized"]

LOG10_2 = float(np.log10(2.0))


@dataclass(frozen=True)
class Sized:
    """Vectors whose largest element is about 1, and what they have to be multiplied with.

    Parameters
    ----------
    values : array
        ``(..., features, columns)``.
    norms : array
        Their norms, ``(..., columns)``: neither squares nor norms leave the range.
    exponent : array of int
        ``(..., columns)``; far below any other where a vector is zero.
    """

    values: Array
    norms: Array
    exponent: Array

    @classmethod
    def of(cls, scaled: Scaled) -> Sized:
        """Bring vectors to about 1, exactly."""
        exponent = scaled.magnitude()
        values = scaled.at(exponent).parts[0]
        norms = np.sqrt(np.einsum("...fc,...fc->...c", values, values, dtype=np.float64))
        return cls(values, norms, exponent[..., 0, :])

    @property
    def log10(self) -> Array:
        """log10 of the vectors' norms; −inf for exact zero."""
        with np.errstate(divide="ignore"):
            logs: Array = np.log10(self.norms) + self.exponent * LOG10_2
        return logs
