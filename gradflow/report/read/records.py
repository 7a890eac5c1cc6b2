"""What the report side reads: the points of a run, grouped, and their norms as curves over lag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.quantity import SERIES, Quantity, Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Point, Run
from gradflow.report.format import setting

__all__ = [
    "Curves",
    "Group",
    "by_lag",
    "curves",
    "default_state",
    "groups",
    "judged",
    "original_step",
    "other_axes",
    "states",
]

COLUMNS = ("model.cell", "length", "seed")
"""Axes that every table and export has a column for, swept or not."""


@dataclass(frozen=True)
class Curves:
    """Log10 norms against lag at one layer and direction, one row for each sequence.

    Parameters
    ----------
    layer : int
        Counted from 0.
    direction : str
        ``forward``, ``backward`` or, for the inputs of a bidirectional network, ``both``.
    lag : array (n,)
        Steps back from the last loss step, ascending, none negative.
    step : array (n,)
        The direction's own time of each lag.
    values : array (sequences, n)
        log10 of the norm; −inf is an exact zero, NaN where a sequence does not reach so far back.
    entries : int
        Numbers in the vector whose norm it is; 1 where that was not recorded.
    """

    layer: int
    direction: str
    lag: Array
    step: Array
    values: Array
    entries: int = 1


def by_lag(quantity: Quantity) -> Quantity:
    """Return a series in which each lag has one place, where sequences have lengths of their own.

    At each lag every sequence has its own step; NaN where it has none. ``step``, (direction, n), is
    that of the longest.
    """
    lags = np.asarray(quantity.coords.get("lag", 0))
    if lags.ndim < 3:
        return quantity
    steps, own = (np.asarray(quantity.coords[name]) for name in ("step", "length"))
    way, column = (quantity.dims.index(name) for name in ("direction", "sequence"))
    there = steps <= own[:, None]
    known = np.unique(lags[(lags >= 0) & there])
    source = np.moveaxis(quantity.values, (way, column), (0, 1))
    found = np.full((*source.shape[:-1], known.size), np.nan)
    for place in np.ndindex(lags.shape[:2]):
        kept = (lags[place] >= 0) & there[place[1]]
        at = np.searchsorted(known, lags[place][kept])
        found[place][..., at] = source[place][..., kept]
    ends = (lags + steps)[:, int(own.argmax()), :1]
    coords = {**quantity.coords, "lag": np.tile(known, (len(lags), 1)), "step": ends - known}
    values = np.moveaxis(found, (0, 1), (way, column))
    return Quantity(quantity.name, quantity.dims, values, coords, quantity.unit)


def curves(quantity: Quantity) -> Iterator[Curves]:
    """Split a norm series by layer and direction, without the steps after the last loss."""
    quantity = by_lag(quantity)
    steps = np.asarray(quantity.coords["step"])
    layers = np.asarray(quantity.coords.get("layer", np.arange(quantity.values.shape[0])))
    exists = np.asarray(quantity.coords.get("exists", np.ones(quantity.values.shape[:2], bool)))
    entries = np.asarray(quantity.coords.get("entries", np.ones(len(layers), int)))
    for i, layer in enumerate(layers.tolist()):
        for j, direction in enumerate(np.asarray(quantity.coords["direction"]).tolist()):
            lag = np.asarray(quantity.coords["lag"])[j]
            order = np.argsort(lag, kind="stable")
            order = order[lag[order] >= 0]
            order = order[~np.isnan(quantity.values[i, j][:, order]).all(axis=0)]
            if order.size and exists[i, j]:
                values, size = quantity.values[i, j][:, order], int(entries[i])
                step = (steps[j] if steps.ndim > 1 else steps)[order]
                yield Curves(layer, direction, lag[order], step, values, size)


def states(result: Result) -> list[str]:
    """Names of the norm series in a result, in the order of recording: a part of the state, or x.

    What else was recorded along time has a longer name (``path_gates``, ``flow.h``).
    """
    return [name for name, q in result.items() if q.dims == SERIES and name.isalpha()]


def judged(result: Result, state: str) -> Quantity:
    """Return what a state is judged by: where L is a sum over steps, the last loss alone.

    The norm of a sum is dominated by the losses near each step and says nothing of how far error
    reaches.
    """
    return result.get(f"{state}.last", result[state])


def default_state(run: Run, state: str | None = None) -> str:
    """Check the name of a state, or choose one: ``s`` where it was recorded, else the first.

    Raises
    ------
    UserError
        If no point of the run has recorded it.
    """
    recorded: dict[str, None] = {}
    for group in groups(run):
        recorded.update(dict.fromkeys(states(run.result(group.points[0]))))
        if (state or "s") in recorded:
            return state or "s"
    if not recorded:
        raise UserError(f"{run.name}: no norms are stored; run it first: gradflow run CONFIG")
    if state is None:
        return next(iter(recorded))
    raise UserError(
        f"{run.name}: no state {state!r} was recorded; there is {', '.join(recorded)}\n"
        f"  fix: add it to record.states and run again"
    )


def original_step(step: Array, direction: str, length: int) -> Array:
    """Turn a direction's own time into that of the inputs: backward, j is T + 1 − j."""
    return length + 1 - step if direction == "backward" else step


@dataclass(frozen=True)
class Group:
    """Points that differ in nothing but the seed.

    Parameters
    ----------
    cell : str
        The cell's label.
    length : int
        Steps of the inputs.
    axes : mapping
        The other swept axes, leaving out the cell's options: its label shows them.
    points : tuple
        One for each seed.
    """

    cell: str
    length: int
    axes: Mapping[str, Any]
    points: tuple[Point, ...]


def groups(run: Run) -> list[Group]:
    """Group the points of a run by everything but the seed, in the order of the plan."""
    found: dict[tuple[object, ...], list[Point]] = {}
    for point in run.points:
        swept = tuple((path, setting(value)) for path, value in other_axes(point).items())
        key = (point.cell, point.length, *swept)
        found.setdefault(key, []).append(point)
    return [
        Group(one.cell, one.length, other_axes(one), tuple(points))
        for points in found.values()
        for one in points[:1]
    ]


def other_axes(point: Point) -> dict[str, Any]:
    """Return the swept axes but for length, seed and the cell's options: its label shows them."""
    return {
        path: value
        for path, value in point.axes.items()
        if path not in COLUMNS and not path.startswith("model.cell.")
    }
