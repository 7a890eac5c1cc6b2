"""Any recorded quantity in a few numbers: what an experiment asked for beyond norms, to look at.

The last axis of the quantity lies along the columns: lags back from the last loss and vectors (0 or
1, 2, 5, 10, … of those recorded, and the last), steps of a flow map, gates. Every other axis makes
rows. Numbers are medians over sequences, then over seeds, NaN left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradflow.core.quantity import MASKED, Quantity, Result
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.format import cell_name, setting
from gradflow.report.read.bands import quantile
from gradflow.report.read.lessons import side_by_side
from gradflow.report.read.records import by_lag
from gradflow.report.read.rows import longest

__all__ = ["Digest", "Line", "digest"]

FEW = 5
"""Rows at most of an axis without names (steps, loss steps)."""

MANY = 12
"""Columns at most of a flow map."""


@dataclass(frozen=True)
class Line:
    """One row: where it belongs, and a number for each column that it has."""

    labels: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True)
class Digest:
    """A quantity of a run: its name, its unit, what the columns count, and the rows."""

    quantity: str
    unit: str
    along: str
    lines: tuple[Line, ...]


def digest(run: Run, name: str) -> Digest:
    """Gather a quantity at the greatest length of each cell and setting.

    Raises
    ------
    UserError
        If no point has recorded it.
    """
    lines: list[Line] = []
    known: dict[str, None] = {}
    found: Quantity | None = None
    for group in longest(run):
        results: list[Result] = [run.result(point) for point in group.points]
        known.update(dict.fromkeys(results[0]))
        if name not in results[0]:
            continue
        found = results[0][name]
        front = {"cell": cell_name(group.cell)} | {
            path: setting(v) for path, v in group.axes.items()
        }
        lines += [
            Line(front | place, values) for place, values in _reduced([r[name] for r in results])
        ]
    if found is None:
        raise UserError(
            f"{run.name}: no quantity {name!r} was recorded; there is {', '.join(sorted(known))}\n"
            "  fix: ask for it under `record` and run again"
        )
    dims = [dim for dim in found.dims if dim != "sequence"]
    along = dims[-1] if dims else ""
    if along == "step" and "lag" in found.coords:
        along = "lag"
    return Digest(name, found.unit, along, tuple(lines))


def _reduced(seeds: Sequence[Quantity]) -> list[tuple[dict[str, str], dict[str, float]]]:
    """Rows of a quantity: labels, and medians by column."""
    seeds = _on_one_grid([by_lag(one) for one in seeds])
    first = seeds[0]
    where = first.dims.index("sequence") if "sequence" in first.dims else None
    each = [q.values if where is None else quantile(q.values, 0.5, where) for q in seeds]
    values = quantile(np.stack(each), 0.5)
    dims = [dim for dim in first.dims if dim != "sequence"]
    if not dims:
        return [({}, {"value": float(values)})]
    rows = []
    for place in np.ndindex(values.shape[:-1]):
        picked = zip(dims[:-1], place, values.shape, strict=False)
        if not all(i in _few(dim, size, FEW) for dim, i, size in picked):
            continue
        if not first.exists(**dict(zip(dims, place, strict=False))):
            continue
        at = {
            dim: _label(first, dim, i)
            for dim, i, size in zip(dims[:-1], place, values.shape, strict=False)
            if size > 1
        }
        columns = _columns(first, dims, place, values.shape[-1])
        rows.append((at, {label: float(values[place][i]) for label, i in columns.items()}))
    return rows


def _on_one_grid(seeds: Sequence[Quantity]) -> Sequence[Quantity]:
    """What was seen by update, on the same ones: a net that has stopped keeps its last number."""
    if "update" not in seeds[0].dims:
        return seeds
    axis = seeds[0].dims.index("update")
    moved = [np.moveaxis(one.values, axis, -1) for one in seeds]
    grid, values = side_by_side([np.asarray(one.coords["update"]) for one in seeds], moved)
    return [
        replace(one, values=np.moveaxis(own, -1, axis), coords={**one.coords, "update": grid})
        for one, own in zip(seeds, values, strict=True)
    ]


def _columns(one: Quantity, dims: list[str], place: tuple[int, ...], size: int) -> dict[str, int]:
    """Index of each column by its label."""
    if dims[-1] == "step" and "lag" in one.coords:
        lags = np.atleast_2d(one.coords["lag"])
        way = place[dims.index("direction")] if "direction" in dims else 0
        lag = lags[way if len(lags) > 1 else 0]
        return {str(lag[i]): i for i in _spaced(lag)}
    if dims[-1] == "vector":
        return {str(i + 1): i for i in _spaced(np.arange(1, size + 1))}
    return {_label(one, dims[-1], i): i for i in _few(dims[-1], size, MANY)}


def _spaced(along: Array) -> list[int]:
    """Indices of the numbers closest to 0, 1, 2, 5, 10, … and of the last, ascending."""
    top = int(along.max())
    wanted = [0, *(m * 10**e for e in range(len(str(top))) for m in (1, 2, 5)), top]
    chosen = {int(np.abs(along - each).argmin()) for each in wanted if each <= top}
    return sorted(chosen, key=lambda i: int(along[i]))


def _few(dim: str, size: int, most: int) -> list[int]:
    """All of an axis with names; of one without end, about evenly spaced ones."""
    if dim in MASKED or size <= most:
        return list(range(size))
    return sorted({round(i) for i in np.linspace(0, size - 1, most)})


def _label(one: Quantity, dim: str, index: int) -> str:
    if dim in one.coords:
        known = np.asarray(one.coords[dim])
        return str(known[..., index].flat[0])
    return str(index)
