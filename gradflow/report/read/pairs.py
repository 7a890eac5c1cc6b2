"""Two runs side by side: what differs in what was asked for, and in what was found.

Points belong together that have the same value along everything that takes several values in
either run, swept there or not. What has one value in each, be it another cell, is then a difference
between the runs and no reason to tell their points apart. Of lengths that both have the greatest is
compared; where they have none in common, the greatest of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradflow.core.quantity import Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Point, Run
from gradflow.report.format import setting
from gradflow.report.read.bands import quantile
from gradflow.report.read.keys import KeyChange, key_changes, surroundings
from gradflow.report.read.rates import Summary, summarise
from gradflow.report.read.records import COLUMNS, Group, curves, default_state, groups, judged

__all__ = ["RUN", "Comparison", "Gap", "Pair", "Side", "compare_runs", "overlaid"]

RUN = "run"
"""The axis along which two runs lie in a figure of both."""


@dataclass(frozen=True)
class Side:
    """A run that is compared, and what it is called."""

    label: str
    run: Run


@dataclass(frozen=True)
class Gap:
    """The largest distance of two median curves: `b` over `a` in decades, and at which lag."""

    decades: float
    lag: int


@dataclass(frozen=True)
class Pair:
    """A line of the comparison; a side that has no such point is None.

    Parameters
    ----------
    labels : mapping
        Cell, length and swept axes that tell it from other lines.
    place : tuple of int and str
        Layer and direction.
    lengths : tuple of int
        Of each side that there is.
    a, b : Summary or None
        What each side found.
    gap : Gap or None
        Where the two curves are farthest apart, of the lags that both have recorded.
    """

    labels: Mapping[str, str]
    place: tuple[int, str]
    lengths: tuple[int, ...]
    a: Summary | None
    b: Summary | None
    gap: Gap | None

    @property
    def change(self) -> float | None:
        """Decades of the second over the first; infinite where one of them is exactly zero."""
        if self.a is None or self.b is None:
            return None
        return _minus(self.b.decades, self.a.decades)

    @property
    def overturned(self) -> bool:
        """Whether the verdict is another one."""
        return self.a is not None and self.b is not None and self.a.verdict != self.b.verdict


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs.

    Parameters
    ----------
    a, b : Side
        The two, the older or expected one first.
    state : str
        The norm that is compared.
    keys : tuple of KeyChange or None
        Of the configuration; None where one side, a baseline, keeps none.
    surroundings : tuple of KeyChange
        The code that measured, and the versions of what it ran in.
    pairs : tuple of Pair
        In the order of the second's sweep.
    """

    a: Side
    b: Side
    state: str
    keys: tuple[KeyChange, ...] | None
    surroundings: tuple[KeyChange, ...]
    pairs: tuple[Pair, ...]


def compare_runs(a: Side, b: Side, state: str | None = None, *, every: bool = False) -> Comparison:
    """Compare two runs in one state (default ``s``), at the greatest length or at `every` one.

    Raises
    ------
    UserError
        If a side has no points, or the two have recorded no state in common.
    """
    for side in (a, b):
        if not side.run.points:
            raise UserError(
                f"{side.label}: no points are stored; run it first: gradflow run CONFIG"
            )
    state = default_state(a.run, state)
    default_state(b.run, state)
    told = all(point.settings for side in (a, b) for point in side.run.points)
    return Comparison(
        a=a,
        b=b,
        state=state,
        keys=tuple(key_changes(a.run.points, b.run.points)) if told else None,
        surroundings=tuple(surroundings(a.run, b.run)) if told else (),
        pairs=tuple(
            pair
            for labels, one, other in _matched(a.run, b.run, every=every)
            for pair in _pairs(labels, a, one, b, other, state)
        ),
    )


def overlaid(a: Side, b: Side, x: str = "lag", *, every: bool = False) -> Run:
    """Return both runs as one, whose further axis `RUN` says which of the two a point is of.

    Only points that both have are in it, at the greatest length in common or at `every` one.

    Raises
    ------
    UserError
        If there are none, or curves of different lengths are to lie over one another by step.
    """
    points: list[Point] = []
    for labels, one, other in _matched(a.run, b.run, every=every):
        if one is None or other is None:
            continue
        if one.length != other.length and x == "step":
            raise UserError(
                f"{a.label} has length {one.length}, {b.label} {other.length}: by step they do "
                "not lie over one another\n  fix: --x lag"
            )
        axes = {key: value for key, value in labels.items() if key not in COLUMNS}
        cell = " | ".join(dict.fromkeys([one.cell, other.cell]))
        length = max(one.length, other.length)
        points += [
            replace(
                point,
                axes={**axes, RUN: side.label},
                net={**point.net, "cell": cell},
                length=length,
            )
            for side, group in ((a, one), (b, other))
            for point in group.points
        ]
    if not points:
        raise UserError(f"{a.label} and {b.label} have no point in common to draw")
    origin = {
        (side.label, point.hash): (side.run, point) for side in (a, b) for point in side.run.points
    }

    def load(point: Point) -> Result:
        run, own = origin[point.axes[RUN], point.hash]
        return run.result(own)

    return Run(f"{a.label} and {b.label}", tuple(points), load=load, path=a.run.path)


def _matched(
    a: Run, b: Run, *, every: bool = False
) -> Iterator[tuple[dict[str, str], Group | None, Group | None]]:
    """Yield the groups that belong together, with what tells them from others."""
    paths = dict.fromkeys(path for run in (a, b) for p in run.points for path in p.axes)
    dims = [dim for dim in ("model.cell", *paths) if dim not in COLUMNS[1:]]
    dims = [dim for dim in dims if not dim.startswith("model.cell.")]
    told = [
        dim
        for dim in dict.fromkeys(dims)
        if any(len({_value(point, dim) for point in run.points}) > 1 for run in (a, b))
    ]
    sides: list[dict[tuple[str, ...], dict[int, Group]]] = []
    for run in (a, b):
        found: dict[tuple[str, ...], dict[int, Group]] = {}
        for group in groups(run):
            key = tuple(_value(group.points[0], dim) for dim in told)
            found.setdefault(key, {})[group.length] = group
        sides.append(found)
    for key in dict.fromkeys([*sides[1], *sides[0]]):
        one, other = (side.get(key, {}) for side in sides)
        labels = dict(zip(told, key, strict=True))
        common = sorted(one.keys() & other.keys())
        if not common:
            yield labels, _longest(one), _longest(other)
        for length in common if every else common[-1:]:
            yield labels, one[length], other[length]


def _longest(by_length: Mapping[int, Group]) -> Group | None:
    return by_length[max(by_length)] if by_length else None


def _pairs(
    labels: Mapping[str, str], a: Side, one: Group | None, b: Side, other: Group | None, state: str
) -> Iterator[Pair]:
    lengths = tuple(dict.fromkeys(group.length for group in (one, other) if group))
    found = [_found(side.run, group, state) for side, group in ((a, one), (b, other))]
    for place in dict.fromkeys([*found[0], *found[1]]):
        left, right = (each.get(place) for each in found)
        gap = _gap(left[1], right[1]) if left and right else None
        yield Pair(labels, place, lengths, left and left[0], right and right[0], gap)


def _found(
    run: Run, group: Group | None, state: str
) -> dict[tuple[int, str], tuple[Summary, dict[int, float]]]:
    """Summary and median curve by lag, at each layer and direction."""
    results = [run.result(point) for point in group.points] if group else []
    results = [result for result in results if state in result]
    medians = _medians(results, state)
    return {
        (one.layer, one.direction): (one, medians[one.layer, one.direction])
        for one in summarise(results, state)
    }


def _medians(results: Sequence[Result], state: str) -> dict[tuple[int, str], dict[int, float]]:
    """Medians over sequences, then over seeds, by lag."""
    each: dict[tuple[int, str], list[tuple[Array, Array]]] = {}
    for result in results:
        for one in curves(judged(result, state)):
            seed = one.lag, quantile(one.values, 0.5)
            each.setdefault((one.layer, one.direction), []).append(seed)
    return {
        place: dict(
            zip(
                seeds[0][0].tolist(),
                quantile(np.stack([curve for _, curve in seeds]), 0.5).tolist(),
                strict=True,
            )
        )
        for place, seeds in each.items()
    }


def _gap(a: Mapping[int, float], b: Mapping[int, float]) -> Gap | None:
    gaps = [Gap(_minus(b[lag], a[lag]), lag) for lag in a if lag in b]
    return max(gaps, key=lambda gap: abs(gap.decades), default=None)


def _minus(b: float, a: float) -> float:
    """Subtract log10 norms; two exact zeros are the same."""
    return 0.0 if a == b or (math.isnan(a) and math.isnan(b)) else b - a


def _value(point: Point, path: str) -> str:
    """Write what a point is along a path of the file, swept or not."""
    if path == "model.cell":
        return point.cell
    found: Any = point.settings or {path: point.axes.get(path)}
    for part in path.split(".") if point.settings else [path]:
        found = found.get(part) if isinstance(found, Mapping) else None
    return setting(found)
