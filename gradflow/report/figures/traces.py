"""Quantities along time, other than the norms: medians and bands over seeds and sequences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.report.figures.data import HIGH, LOW, thin
from gradflow.report.figures.spots import Place, Spot
from gradflow.report.read.bands import quantile
from gradflow.report.read.records import Group, Run, length_of, original_step
from gradflow.report.read.rows import longest

__all__ = [
    "Key", "Trace", "Traces", "condense", "extent", "none_recorded", "pools", "split", "traces",
]  # fmt: skip

Key = tuple[str, str]
"""A quantity's name and the gate it belongs to, or ``""``."""


@dataclass(frozen=True)
class Trace:
    """The median of a quantity along time, and its 10–90 % band; NaN where there is nothing."""

    lag: Array
    step: Array
    low: Array
    median: Array
    high: Array


@dataclass(frozen=True)
class Traces(Spot):
    """The quantities at one place of the longest sequences of a point, by name and gate."""

    of: Mapping[Key, Trace]

    def gates(self, name: str) -> list[str]:
        """Return the gates that a quantity has been recorded of."""
        return [gate for key, gate in self.of if key == name]


def none_recorded(run: Run, record: str, what: str) -> UserError:
    """Say that a run lacks what a kind of figure shows, and which key of the file records it."""
    return UserError(
        f"{run.name}: {what} were not recorded\n"
        f"  fix: set  record.{record}: true  on a cell that has them, and run again"
    )


def pools(run: Run, wanted: Callable[[str], bool]) -> Iterator[tuple[Group, int, list[Result]]]:
    """Read the longest sequences of each point: the length, and a part of every seed's result."""
    for group in longest(run):
        found: list[Result] = []
        length = 0
        for point in group.points:
            result = run.result(point)
            length = length_of(point, result)
            found.append({name: result[name] for name in result if wanted(name)})
        if any(found):
            yield group, length, found


def traces(run: Run, wanted: Collection[str]) -> list[Traces]:
    """Condense some quantities of a run, in the order of the plan."""
    made: list[Traces] = []
    for group, length, results in pools(run, lambda name: name in wanted):
        pooled: dict[Place, dict[Key, list[Array]]] = {}
        grids: dict[tuple[Place, Key], tuple[Array, Array]] = {}
        sequences = 1
        for result in results:
            for quantity in result.values():
                for place, key, lag, step, values in split(quantity, length):
                    pooled.setdefault(place, {}).setdefault(key, []).append(values)
                    grids[place, key] = (lag, step)
                    sequences = len(values)
        for place, by_key in pooled.items():
            of = {key: condense(*grids[place, key], values) for key, values in by_key.items()}
            made.append(Traces(group.cell, length, group.axes, place, len(results), sequences, of))
    return made


def extent(shown: Sequence[Traces], keys: Collection[Key] | None = None) -> tuple[float, float]:
    """Return the least and the greatest number of some traces, infinite ones left out."""
    every = [
        part
        for one in shown
        for key, trace in one.of.items()
        if keys is None or key in keys
        for part in (trace.low, trace.median, trace.high)
    ]
    values = np.concatenate(every) if every else np.empty(0)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def split(quantity: Quantity, length: int) -> Iterator[tuple[Place, Key, Array, Array, Array]]:
    """Take a quantity apart by place and gate: lag, original step, values ``(sequences, n)``."""
    at: dict[str, list[Any]] = {"layer": [0], "direction": ["forward"], "gate": [""]}
    at |= {name: np.asarray(quantity.coords[name]).tolist() for name in at if name in quantity.dims}
    steps = np.asarray(quantity.coords["step"])
    lags = np.asarray(quantity.coords.get("lag", steps[-1] - steps)).reshape(-1, steps.size)
    every = quantity.values.reshape(*map(len, at.values()), -1, steps.size)
    for j, way in enumerate(at["direction"]):
        order = np.argsort(lags[j], kind="stable")
        order = order[lags[j][order] >= 0]
        order = order[thin(lags[j][order])]
        lag, step = lags[j][order], original_step(steps[order], way, length)
        for (i, layer), (g, gate) in itertools.product(
            enumerate(at["layer"]), enumerate(at["gate"])
        ):
            yield (layer, way), (quantity.name, gate), lag, step, every[i, j, g][:, order]


def condense(lag: Array, step: Array, values: list[Array]) -> Trace:
    """Pool arrays ``(sequences, n)`` of several seeds; a missing number (NaN) is left out."""
    every = np.concatenate(values)
    if not np.isnan(every).any():
        low, median, high = (quantile(every, q) for q in (LOW, 0.5, HIGH))
        return Trace(lag, step, low, median, high)
    low, median, high = (np.full(lag.shape, np.nan) for _ in range(3))
    for k, column in enumerate(every.T):
        there = column[~np.isnan(column)]
        if there.size:
            low[k], median[k], high[k] = (quantile(there, q) for q in (LOW, 0.5, HIGH))
    return Trace(lag, step, low, median, high)
