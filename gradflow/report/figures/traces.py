"""What figures are drawn from: medians and bands over seeds and sequences, thinned to the eye."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.sites import Site
from gradflow.report.read.bands import Band, band, finite_range
from gradflow.report.read.rates import slopes
from gradflow.report.read.records import Group, by_lag, groups, judged, original_step, states
from gradflow.report.read.rows import longest

__all__ = [
    "Curve",
    "NotRecordedError",
    "Part",
    "Trace",
    "Traces",
    "by_place",
    "condense",
    "extent",
    "none_recorded",
    "norm_curves",
    "pools",
    "thin",
    "traces",
]  # fmt: skip

LAGS = 800
"""About how many lags of a curve are drawn: more than a printed column resolves."""

Part = tuple[str, str]
"""A quantity's name and the gate it belongs to, or ``""``."""


@dataclass(frozen=True)
class Trace(Band):
    """The median of a quantity along time and its band; NaN where there is nothing.

    Parameters
    ----------
    lag, step : array (n,)
        Ascending lags, and their steps in original time.
    """

    lag: Array
    step: Array

    def along(self, x: str) -> Array:
        """Return what stands on the x axis: ``lag`` or ``step``."""
        return {"lag": self.lag, "step": self.step}[x]

    @property
    def start(self) -> float:
        """The number at the loss end: of norms the first above zero, else 0."""
        alive = self.median[np.isfinite(self.median)]
        return float(alive[0]) if alive.size else 0.0


@dataclass(frozen=True)
class Curve(Site):
    """The norms of a state at one place.

    Parameters
    ----------
    trace : Trace
        log10 norms.
    slopes : array (seeds,)
        Decades per step of each seed: the median over its sequences. A seed without is left out.
    """

    trace: Trace
    slopes: Array


@dataclass(frozen=True)
class Traces(Site):
    """The quantities at one place of the longest sequences of a point, by name and gate."""

    of: Mapping[Part, Trace]

    def gates(self, name: str) -> list[str]:
        """Return the gates that a quantity has been recorded of."""
        return [gate for key, gate in self.of if key == name]


def norm_curves(
    run: Run, wanted: Collection[str] | None = None, *, alone: bool = False
) -> dict[str, list[Curve]]:
    """Read every result once and condense its norms, by state (default: all) in plan order.

    Where L is a sum over steps, the norms of its last loss are a state of their own, ``s.last``;
    or they stand for the state if `alone` is asked for, as for everything that judges.
    """
    found: dict[str, list[Curve]] = {}
    for group in groups(run):
        names: dict[str, None] = {}
        results: list[Result] = []
        for point in group.points:
            result = run.result(point)
            own = {name: judged(result, name) for name in states(result)}
            if not alone:
                own = {name: result[name] for name in own} | {q.name: q for q in own.values()}
            own = {name: q for name, q in own.items() if wanted is None or name in wanted}
            names.update(dict.fromkeys(own))
            results.append(own)
        for name in names:
            each = [
                _split_norms(result[name], group.length) for result in results if name in result
            ]
            for place in dict.fromkeys(place for one in each for place in one):
                parts = [one[place] for one in each if place in one]
                lag, step, _, _ = parts[0]
                site = (group.cell, group.length, group.axes, place, len(parts), len(parts[0][2]))
                fits = np.array([fit for *_, fit in parts if fit is not None])
                trace = condense(lag, step, [values for _, _, values, _ in parts])
                found.setdefault(name, []).append(Curve(*site, trace, fits))
    return found


def _split_norms(
    quantity: Quantity, length: int
) -> dict[tuple[int, str], tuple[Array, Array, Array, float | None]]:
    """Lag, step and values of a norm by place, and the median slope of its sequences."""
    found = {}
    for place, _, lag, step, values in by_place(quantity, length, every=True):
        fits = slopes(lag, values)
        at = thin(lag)
        fit = float(np.median(fits)) if fits.size else None
        found[place] = (lag[at], step[at], values[:, at], fit)
    return found


def thin(lag: Array) -> Array:
    """Choose all early lags, and later ones evenly."""
    if lag.size <= LAGS:
        return np.arange(lag.size)
    even = np.linspace(0, lag.size - 1, LAGS * 3 // 4).round().astype(int)
    return np.union1d(even, np.arange(LAGS // 4))


class NotRecordedError(UserError):
    """A run does not hold what a kind of figure shows."""


def none_recorded(run: Run, record: str, what: str, value: str = "true") -> NotRecordedError:
    """Say that a run lacks what a kind of figure shows, and what in the file records it."""
    return NotRecordedError(
        f"{run.name}: {what} were not recorded\n"
        f"  fix: set  record.{record}: {value}  on a cell that has them, and run again"
    )


def pools(run: Run, wanted: Callable[[str], bool]) -> Iterator[tuple[Group, int, list[Result]]]:
    """Read the longest sequences of each point: the length, and a part of every seed's result."""
    for group in longest(run):
        found: list[Result] = []
        for point in group.points:
            result = run.result(point)
            found.append({name: result[name] for name in result if wanted(name)})
        if any(found):
            yield group, group.length, found


def traces(run: Run, wanted: Collection[str]) -> list[Traces]:
    """Condense some quantities of a run, in the order of the plan."""
    made: list[Traces] = []
    for group, length, results in pools(run, lambda name: name in wanted):
        pooled: dict[tuple[int, str], dict[Part, list[Array]]] = {}
        grids: dict[tuple[tuple[int, str], Part], tuple[Array, Array]] = {}
        sequences = 1
        for result in results:
            for quantity in result.values():
                for place, key, lag, step, values in by_place(quantity, length):
                    pooled.setdefault(place, {}).setdefault(key, []).append(values)
                    grids[place, key] = (lag, step)
                    sequences = len(values)
        for place, by_key in pooled.items():
            of = {key: condense(*grids[place, key], values) for key, values in by_key.items()}
            made.append(Traces(group.cell, length, group.axes, place, len(results), sequences, of))
    return made


def extent(shown: Collection[Traces], keys: Collection[Part] | None = None) -> tuple[float, float]:
    """Return the least and the greatest number of some traces, infinite ones left out."""
    return finite_range(
        trace for one in shown for key, trace in one.of.items() if keys is None or key in keys
    )


def by_place(
    quantity: Quantity, length: int, *, every: bool = False
) -> Iterator[tuple[tuple[int, str], Part, Array, Array, Array]]:
    """Take a quantity apart by place and gate: lag, original step, values ``(sequences, n)``.

    Lags are thinned, unless `every` is wanted.
    """
    quantity = by_lag(quantity)
    at: dict[str, list[Any]] = {"layer": [0], "direction": ["forward"], "gate": [""]}
    at |= {name: np.asarray(quantity.coords[name]).tolist() for name in at if name in quantity.dims}
    steps = np.asarray(quantity.coords["step"])
    lags = np.asarray(quantity.coords.get("lag", steps[-1] - steps)).reshape(-1, steps.shape[-1])
    values = quantity.values.reshape(*map(len, at.values()), -1, steps.shape[-1])
    steps = np.broadcast_to(steps, lags.shape)
    for j, way in enumerate(at["direction"]):
        order = np.argsort(lags[j], kind="stable")
        order = order[lags[j][order] >= 0]
        order = order if every else order[thin(lags[j][order])]
        if not order.size:
            continue
        lag, step = lags[j][order], original_step(steps[j][order], way, length)
        for (i, layer), (g, gate) in itertools.product(
            enumerate(at["layer"]), enumerate(at["gate"])
        ):
            if not quantity.exists(layer=i, direction=j, gate=g):
                continue
            yield (layer, way), (quantity.name, gate), lag, step, values[i, j, g][:, order]


def condense(lag: Array, step: Array, values: list[Array]) -> Trace:
    """Pool arrays ``(sequences, n)`` of several seeds; a missing number (NaN) is left out."""
    pooled = band(np.concatenate(values))
    return Trace(pooled.low, pooled.median, pooled.high, lag, step)
