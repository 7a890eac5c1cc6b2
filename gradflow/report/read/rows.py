"""The lines of the closing table: a summary for each point of a sweep, its seeds together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradflow.core.quantity import Result
from gradflow.experiment.store.runs import Run
from gradflow.report.format import axis_names, cell_name, setting
from gradflow.report.read.rates import Summary, summarise
from gradflow.report.read.records import Group, default_state, groups

__all__ = ["Row", "longest", "row_names", "rows", "rows_with_results"]


@dataclass(frozen=True)
class Row:
    """A line of the closing table: a point of the sweep, its seeds together, and a summary."""

    cell: str
    length: int
    axes: Mapping[str, Any]
    summary: Summary


def rows(run: Run, state: str | None = None, *, every: bool = False) -> list[Row]:
    """Summarise a run: of each cell and setting the greatest length, or `every` length.

    Points that did not record `state` (only an LSTM has a ``c``) have no row.
    """
    return [row for _, row, _ in rows_with_results(run, state, every=every)]


def rows_with_results(
    run: Run, state: str | None = None, *, every: bool = False
) -> Iterator[tuple[Group, Row, list[Result]]]:
    """Yield the rows of `rows` with the points and the results that they stand for."""
    state = default_state(run, state)
    for group in groups(run) if every else longest(run):
        results = [run.result(point) for point in group.points]
        if state not in results[0]:
            continue
        for one in summarise(results, state):
            yield group, Row(group.cell, group.length, group.axes, one), results


def longest(run: Run) -> list[Group]:
    """Choose, among groups equal in all but length, the one of the greatest."""
    best: dict[tuple[str, ...], Group] = {}
    for group in groups(run):
        key = (group.cell, *map(setting, group.axes.values()))
        if key not in best or group.length >= best[key].length:
            best[key] = group
    return list(best.values())


def row_names(rows: Sequence[Row]) -> list[str]:
    """Name each row by its cell and what else tells rows apart."""
    names = axis_names(dict.fromkeys(path for row in rows for path in row.axes))
    each = [
        {
            "cell": cell_name(row.cell),
            **{path: f"{names[path]} {setting(value)}" for path, value in row.axes.items()},
            "length": f"length {row.length}",
            "layer": f"layer {row.summary.layer}",
            "direction": row.summary.direction,
        }
        for row in rows
    ]
    told = [key for key in ("length", "layer", "direction") if len({one[key] for one in each}) > 1]
    return [", ".join(one[k] for k in ("cell", *names, *told) if k in one) for one in each]
