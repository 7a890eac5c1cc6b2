"""What the gate remembers of a curve: golden values at a few lags, slope, extremes, class."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gradflow.core.quantity import Result
from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Point, Run
from gradflow.report.format import setting
from gradflow.report.read.rates import slopes
from gradflow.report.read.records import Curves, curves, other_axes, states

__all__ = [
    "LAGS",
    "Case",
    "NamedCurve",
    "cases_of",
    "judged_by_slope",
    "measure_case",
    "meets",
    "named_curves",
    "possible_names",
    "prefix",
]

LAGS = 16
"""About how many lags are remembered: 0, and the rest spaced evenly in log."""

DIGITS = 12
"""Decimals of a decade that are kept: far below any tolerance, above the noise of rounding."""

SENSITIVE = 0.1
"""The part of the tolerance that 1e-13 of input noise may move a well-conditioned case by."""

SLOPE_SHARE = 0.01
"""Relative slack of an ill-conditioned case's slope: two processors agree to about 0.002."""


@dataclass(frozen=True)
class Case:
    """One curve of one point, in log10.

    Parameters
    ----------
    kind : str
        Its class: ``finite``, or how many norms are finite, −inf and NaN.
    lags : tuple of int
        Where `values` are taken.
    values : tuple of float
        The mean over sequences; −inf where all of them are.
    slope : float or None
        Decades per step, the mean over sequences.
    low, high : float or None
        The smallest and largest finite norm at any lag of any sequence.
    slack : float or None
        For an ill-conditioned case, by how much its slope may differ; it is then judged by that
        and its class alone. None for all others.
    """

    kind: str
    lags: tuple[int, ...]
    values: tuple[float, ...]
    slope: float | None
    low: float | None
    high: float | None
    slack: float | None = None

    @property
    def span(self) -> int:
        """How many steps the curve covers: turns a slope into decades."""
        return max(1, self.lags[-1] - self.lags[0])

    def as_json(self) -> str:
        """Write the case on one line, keys sorted; infinities are text."""
        fields: dict[str, Any] = {
            "class": self.kind,
            "high": self.high,
            "lags": self.lags,
            "log10": [value if np.isfinite(value) else str(value) for value in self.values],
            "low": self.low,
            "slope": self.slope,
        }
        if self.slack is not None:
            fields["ill_conditioned"] = {"slope_within": self.slack}
        return json.dumps(fields, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, fields: Any) -> Case:
        """Read what `as_json` wrote.

        Raises
        ------
        ValueError
            If a field is missing, of another type, or contradicts another one.
        """
        line = _Line.model_validate(fields)
        if len(line.lags) != len(line.log10) or sorted(set(line.lags)) != list(line.lags):
            raise ValueError("lags have to ascend, with one value of log10 each")
        slack = line.ill_conditioned.slope_within if line.ill_conditioned else None
        return cls(line.kind, line.lags, line.log10, line.slope, line.low, line.high, slack)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _IllConditioned(_Strict):
    slope_within: float = Field(gt=0, allow_inf_nan=False)


class _Line(_Strict):
    """A case in the file. What is not finite is let in: it differs from what is."""

    kind: str = Field(alias="class")
    lags: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    log10: tuple[float, ...]
    slope: float | None
    low: float | None
    high: float | None
    ill_conditioned: _IllConditioned | None = None


@dataclass(frozen=True)
class NamedCurve:
    """A recorded curve and where it belongs; `name` identifies it in a baseline."""

    name: str
    cell: str
    kind: str
    state: str
    curves: Curves
    top: bool = True


def prefix(point: Point) -> str:
    """Return how the names of a point's cases begin."""
    words = [point.cell, f"length={point.length}", f"seed={point.seed}"]
    words += [f"{path}={setting(value)}" for path, value in other_axes(point).items()]
    return " ".join(words) + " "


def possible_names(point: Point) -> Iterator[str]:
    """Name every curve that may be recorded at a point, before anything is measured."""
    for state in point.settings["record"]["states"]:
        yield prefix(point) + state
        for i, layer in enumerate(point.net["layers"]):
            for way in (*layer["directions"], "both"):
                yield f"{prefix(point)}{state} layer={i} {way}"


def meets(name: str, patterns: Collection[str]) -> bool:
    """Whether a case's name holds one of some texts, in which ``*`` stands for any; none: it does.

    Capitals make no difference.
    """
    found = (".*".join(map(re.escape, text.split("*"))) for text in patterns)
    return not patterns or any(re.search(one, name, re.IGNORECASE) for one in found)


def named_curves(point: Point, result: Result) -> Iterator[NamedCurve]:
    """Name every norm recorded at a point, by layer and direction."""
    cell, kind = point.cell, point.net.get("kind", point.cell)
    for state in states(result):
        found = list(curves(result[state]))
        for one in found:
            part = f" layer={one.layer} {one.direction}" if len(found) > 1 else ""
            top = one.layer == found[-1].layer
            yield NamedCurve(prefix(point) + state + part, cell, kind, state, one, top)


def measure_case(one: Curves) -> Case:
    """Condense a curve."""
    finite = np.isfinite(one.values)
    at = _golden(tuple(one.lag.tolist()))
    fits = slopes(one.lag, one.values)
    known = one.values[finite]
    return Case(
        kind=_kind(one.values),
        lags=tuple(one.lag[at].tolist()),
        values=tuple(_mean(one.values[:, i]) for i in at),
        slope=_rounded(fits.mean()) if fits.size else None,
        low=_rounded(known.min()) if known.size else None,
        high=_rounded(known.max()) if known.size else None,
    )


def cases_of(run: Run) -> dict[str, Case]:
    """Condense every norm of a run, by name."""
    return {
        one.name: measure_case(one.curves)
        for point in run.points
        for one in named_curves(point, run.result(point))
    }


def judged_by_slope(case: Case, probed: Case, tolerance: float) -> Case:
    """Mark `case` as ill-conditioned if `probed`, from inputs with 1e-13 of noise, differs."""
    pairs = [
        *zip(case.values, probed.values, strict=True),
        (case.low or 0.0, probed.low or 0.0),
        (case.high or 0.0, probed.high or 0.0),
    ]
    moved = max(abs(a - b) for a, b in pairs if a != b) if any(a != b for a, b in pairs) else 0.0
    if moved <= SENSITIVE * tolerance and case.kind == probed.kind:
        return case
    a, b = case.slope or 0.0, probed.slope or 0.0
    return replace(case, slack=_rounded(max(tolerance, SLOPE_SHARE * abs(a), 10 * abs(a - b))))


@lru_cache(maxsize=64)
def _golden(lags: tuple[int, ...]) -> list[int]:
    """Indices of about `LAGS` of the ascending lags, the first and the last among them."""
    wanted, lag = np.geomspace(1, max(1, lags[-1]), LAGS - 1), np.array(lags)
    return sorted({int(np.abs(lag - target).argmin()) for target in (0.0, *wanted)})


def _kind(values: Array) -> str:
    names = np.where(np.isfinite(values), "finite", np.where(np.isnan(values), "nan", "-inf"))
    counts = Counter(names.ravel().tolist())
    if len(counts) == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts))


def _mean(column: Array) -> float:
    finite = column[np.isfinite(column)]
    return _rounded(finite.mean()) if finite.size else float(column[~np.isnan(column)][0])


def _rounded(value: Any) -> float:
    return round(float(value), DIGITS) + 0.0
