"""From which lag on a norm is not what it is, if gradients are held in a format of floating point.

Below its smallest normal number a format has a fixed grain u, the smallest subnormal. Rounding to
nearest does not let a slow decay end in zero: an entry g whose next value is ρg comes back as g as
soon as (1 − ρ) g < u/2, and freezes there. From entries of u / (2 (1 − ρ)) on, and so from norms of
√n times that for n entries, the format's number is wrong by about a tenth, and soon by all its
digits; a fast decay, ρ < 1/2, is lost to zero soon after. An exact zero is right in every format.
"""

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
    """The ends of a format, as log10.

    Parameters
    ----------
    grain : float
        The smallest subnormal.
    normal : float
        The smallest normal number.
    inf : float
        From here on numbers round to ∞.
    """

    grain: float
    normal: float
    inf: float

    @property
    def zero(self) -> float:
        """What rounds to 0: half the smallest subnormal, ties to even."""
        return self.grain - math.log10(2)

    def wrong(self, slope: float | None, entries: int) -> float:
        """Below which norm of so many entries a decay of so many decades per step is rounded off.

        Where the slope is none of a decay, one grain in each entry.
        """
        lost = -math.expm1(slope * math.log(10)) if slope is not None and slope < -FLAT else 0.5
        entry = min(self.grain - math.log10(2 * lost), self.normal)
        return entry + math.log10(entries) / 2


def _limits(largest_exponent: int, smallest_subnormal: int, precision: int) -> Limits:
    """Round to nearest, ties to even: max + ½ ulp is ∞."""
    return Limits(
        grain=smallest_subnormal * math.log10(2),
        normal=(1 - largest_exponent) * math.log10(2),
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
    """The lag from which a format's number is wrong.

    Parameters
    ----------
    lag : float
        In steps; ∞ where a flat curve never gets there.
    reads : {"rounded", "inf", "never"}
        What the format holds from there on: what rounding left, or ∞.
    extrapolated : bool
        The curve ends before: continued with the slope.
    """

    lag: float
    reads: Literal["rounded", "inf", "never"]
    extrapolated: bool


def horizon(
    lag: Array,
    curve: Array,
    slope: float | None,
    limits: Limits,
    *,
    entries: int = 1,
    straight: bool = True,
) -> Horizon | None:
    """Find where a curve passes a limit of a format.

    Parameters
    ----------
    lag, curve : array (n,)
        Ascending lags, and log10 norms of so many `entries`.
    slope : float or None
        Decades per step.
    limits : Limits
        Of the format.
    entries : int
        Numbers in the vector whose norm it is.
    straight : bool
        Whether the curve may be continued with its slope.

    Returns
    -------
    Horizon or None
        None where the curve does not get there and nothing says how it goes on.
    """
    low = limits.wrong(slope, entries)
    lost = ((curve <= low) & (curve > -math.inf)) | (curve >= limits.inf)
    if lost.any():
        first = int(lost.argmax())
        return Horizon(float(lag[first]), "inf" if curve[first] > low else "rounded", False)
    if slope is None or not straight:
        return None
    if abs(slope) < FLAT:
        return Horizon(math.inf, "never", True)
    end = low if slope < 0 else limits.inf
    reads: Literal["rounded", "inf"] = "rounded" if slope < 0 else "inf"
    return Horizon(float(lag[-1] + (end - curve[-1]) / slope), reads, True)
