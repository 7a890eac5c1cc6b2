"""What the gate remembers of a curve: golden values at a few lags, slope, extremes, class.

Of an ill-conditioned case (see `gradflow.gate.twins`) it also remembers how far its slope may
differ, and the same curve at a shorter length, which is not ill-conditioned. Nothing else would
show a digit of these that has changed, so their line carries a checksum.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Run
from gradflow.gate.naming import named_curves
from gradflow.report.read.rates import slopes
from gradflow.report.read.records import Curves

__all__ = [
    "LAGS",
    "VARIES",
    "Case",
    "Early",
    "cases_of",
    "measure_case",
    "rounded",
]

LAGS = 16
"""About how many lags are remembered: 0, and the rest spaced evenly in log."""

DIGITS = 12
"""Decimals of a decade that are kept: far below any tolerance, above the noise of rounding."""

VARIES = "varies"
"""The class of an ill-conditioned case that is not always of one class."""


@dataclass(frozen=True)
class Early:
    """A case at a shorter length."""

    length: int
    case: Case


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
        For an ill-conditioned case, by how much its slope may differ; of all its steps it is then
        judged by that and its class alone. None for all others.
    early : Early or None
        For an ill-conditioned case, what else it is judged by: the greatest of some shorter
        lengths at which it is not. None where there is no such length.
    """

    kind: str
    lags: tuple[int, ...]
    values: tuple[float, ...]
    slope: float | None
    low: float | None
    high: float | None
    slack: float | None = None
    early: Early | None = None

    @property
    def span(self) -> int:
        """How many steps the curve covers: turns a slope into decades."""
        return max(1, self.lags[-1] - self.lags[0])

    def as_json(self) -> str:
        """Write the case on one line, keys sorted; infinities are text."""
        fields = self._fields()
        if self.slack is not None:
            own: dict[str, Any] = {"slope_within": self.slack}
            if self.early is not None:
                own["early"] = {"length": self.early.length, **self.early.case._fields()}
            own["sum"] = _checksum(fields | {"ill_conditioned": own})
            fields["ill_conditioned"] = own
        return json.dumps(fields, sort_keys=True, allow_nan=False)

    def _fields(self) -> dict[str, Any]:
        return {
            "class": self.kind,
            "high": self.high,
            "lags": self.lags,
            "log10": [value if np.isfinite(value) else str(value) for value in self.values],
            "low": self.low,
            "slope": self.slope,
        }

    @classmethod
    def from_json(cls, fields: Any) -> Case:
        """Read what `as_json` wrote.

        Raises
        ------
        ValueError
            If a field is missing, of another type, or contradicts another one.
        """
        line = _Line.model_validate(fields)
        own = line.ill_conditioned
        if own is None:
            return line.case()
        if own.sum != _checksum(fields):
            raise ValueError("the line is not what was written: its sum is another one")
        early = Early(own.early.length, own.early.case()) if own.early else None
        return line.case(own.slope_within, early)


def _checksum(fields: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits of a line, its own sum left out."""
    own = {k: v for k, v in fields["ill_conditioned"].items() if k != "sum"}
    text = json.dumps({**fields, "ill_conditioned": own}, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Numbers(_Strict):
    """A case in the file. What is not finite is let in: it differs from what is."""

    kind: str = Field(alias="class")
    lags: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    log10: tuple[float, ...]
    slope: float | None
    low: float | None
    high: float | None

    def case(self, slack: float | None = None, early: Early | None = None) -> Case:
        if len(self.lags) != len(self.log10) or sorted(set(self.lags)) != list(self.lags):
            raise ValueError("lags have to ascend, with one value of log10 each")
        numbers = (self.lags, self.log10, self.slope, self.low, self.high)
        return Case(self.kind, *numbers, slack, early)


class _Early(_Numbers):
    length: int = Field(ge=1)


class _IllConditioned(_Strict):
    slope_within: float = Field(gt=0, allow_inf_nan=False)
    early: _Early | None = None
    sum: str


class _Line(_Numbers):
    ill_conditioned: _IllConditioned | None = None


def measure_case(one: Curves) -> Case:
    """Condense a curve."""
    finite = np.isfinite(one.values)
    at = _golden(tuple(one.lag.tolist()))
    fits = slopes(one.lag, one.values)
    known = one.values[finite]
    return Case(
        kind="finite" if finite.all() else _kind(one.values),
        lags=tuple(one.lag[at].tolist()),
        values=_means(one.values[:, at], finite[:, at]),
        slope=rounded(fits.mean()) if fits.size else None,
        low=rounded(known.min()) if known.size else None,
        high=rounded(known.max()) if known.size else None,
    )


def cases_of(run: Run) -> dict[str, Case]:
    """Condense every curve of a run, by name."""
    return {
        one.name: measure_case(one.curves)
        for point in run.points
        for one in named_curves(point, run.result(point))
    }


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


def _means(values: Array, finite: Array) -> tuple[float, ...]:
    """The mean over sequences at each lag, of what is finite; what there is, if nothing is."""
    if finite.all():
        # Lags first: each mean is then added up as it is for a lag alone, to the last bit.
        return tuple(map(rounded, np.ascontiguousarray(values.T).mean(axis=1).tolist()))
    columns = zip(values.T, finite.T, strict=True)
    return tuple(
        rounded(column[known].mean()) if known.any() else float(column[~np.isnan(column)][0])
        for column, known in columns
    )


def rounded(value: Any) -> float:
    """Round to `DIGITS` decimals."""
    return round(float(value), DIGITS) + 0.0
