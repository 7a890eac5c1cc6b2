"""The points of a run: those that are chosen, and the lines of the closing table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradflow.core.quantity import Result
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Point, Run
from gradflow.report.format import axis_names, cell_name, one_of, setting
from gradflow.report.read.rates import Summary, summarise
from gradflow.report.read.records import Group, default_state, groups

__all__ = ["Row", "longest", "row_names", "rows", "rows_with_results", "where"]

_COMMA = re.compile(r",(?![^(\[]*[)\]])")
"""A comma outside of brackets: a cell's label has some inside."""


def where(run: Run, conditions: Iterable[str]) -> Run:
    """Return the points of a run that meet every condition ``KEY=VALUE[,VALUE…]``.

    A key is ``cell``, ``length``, ``seed``, or a swept axis by its dotted path or its last part; a
    value is written as tables write it.

    Raises
    ------
    UserError
        If a condition cannot be read, or a key or value is none of the run's.
    """
    conditions = list(conditions)
    if not conditions:
        return run
    points = run.points
    for condition in conditions:
        key, equals, wanted = condition.partition("=")
        if not equals:
            raise UserError(
                f"--where {condition}: no value\n  fix: for instance --where cell=lstm,gru"
            )
        known = _keys(run.points)
        path = known[one_of("key to choose by", key.strip(), list(known))]
        there = list(dict.fromkeys(_value(point, path) for point in run.points))
        close = {_close(value): value for value in there}
        said = [close.get(_close(one), one.strip()) for one in _COMMA.split(wanted)]
        values = [one_of(f"value of {key}", one, there) for one in said]
        points = tuple(point for point in points if _value(point, path) in values)
    if not points:
        raise UserError(f"{run.name}: no point meets {' and '.join(conditions)}")
    return run.part(points)


def _keys(points: Iterable[Point]) -> dict[str, str]:
    """Paths by all their names."""
    paths = dict.fromkeys(path for point in points for path in point.axes)
    names = axis_names(paths)
    found = {"cell": "cell", "length": "length", "seed": "seed"}
    for path in paths:
        found |= {names[path].replace(" ", "_"): path, path: path}
    return found


def _close(text: str) -> str:
    """Tables write lstm (coupled), for their lines to break."""
    return text.replace(" ", "")


def _value(point: Point, path: str) -> str:
    if path in ("cell", "model.cell"):
        return point.cell
    if path in ("length", "seed"):
        return str(getattr(point, path))
    return setting(point.axes[path]) if path in point.axes else ""


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
