"""Where the formats of floating point end, and at which lag a curve gets there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gradflow.core.typing import Array

__all__ = ["FLAT", "LIMITS", "Horizon", "Limits", "horizon"]

FLAT = 1e-12
"""Slopes below this, in decades per step, are rounding: the curve never gets anywhere."""


@dataclass(frozen=True)
class Limits:
    """The ends of a format, as log10: norms up to `zero` round to 0, those from `inf` on to ∞."""

    zero: float
    inf: float


def _limits(largest_exponent: int, smallest_subnormal: int, precision: int) -> Limits:
    """Round to nearest, ties to even: half the smallest subnormal is 0, max + ½ ulp is ∞."""
    return Limits(
        zero=(smallest_subnormal - 1) * math.log10(2),
        inf=(largest_exponent + 1) * math.log10(2)
        + math.log1p(-(2.0 ** -(precision + 1))) / math.log(10),
    )


LIMITS: Mapping[str, Limits] = {
    "float16": _limits(15, -24, 11),
    "float32": _limits(127, -149, 24),
    "float64": _limits(1023, -1074, 53),
}
"""The formats of IEEE 754: largest exponent, smallest subnormal, bits of precision."""


@dataclass(frozen=True)
class Horizon:
    """The lag at which a format reads 0 or ∞.

    Parameters
    ----------
    lag : float
        In steps; ∞ where a flat curve never gets there.
    reads : {"0", "inf", "never"}
        What the format holds from there on.
    extrapolated : bool
        The curve ends before: continued with the slope.
    """

    lag: float
    reads: Literal["0", "inf", "never"]
    extrapolated: bool


def horizon(lag: Array, curve: Array, slope: float | None, limits: Limits) -> Horizon | None:
    """Find where `curve`, continued with `slope`, passes a limit; None for a lag alone."""
    lost = (curve <= limits.zero) | (curve >= limits.inf)
    if lost.any():
        first = int(lost.argmax())
        return Horizon(float(lag[first]), "0" if curve[first] <= limits.zero else "inf", False)
    if slope is None:
        return None
    if abs(slope) < FLAT:
        return Horizon(math.inf, "never", True)
    end = limits.zero if slope < 0 else limits.inf
    return Horizon(float(lag[-1] + (end - curve[-1]) / slope), "0" if slope < 0 else "inf", True)
