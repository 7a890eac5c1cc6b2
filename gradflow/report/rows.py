"""The lines of the closing table: a summary for each point of a sweep, its seeds together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradflow.report.format import setting
from gradflow.report.rates import Summary, summarise
from gradflow.report.records import Group, Run, default_state, groups, length_of

__all__ = ["Row", "longest", "rows"]


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
    state = default_state(run, state)
    found: list[Row] = []
    for group in groups(run) if every else longest(run):
        first = run.result(group.points[0])
        if state not in first:
            continue
        length = length_of(group.points[0], first)
        results = (first if p is group.points[0] else run.result(p) for p in group.points)
        found += [Row(group.cell, length, group.axes, one) for one in summarise(results, state)]
    return found


def longest(run: Run) -> list[Group]:
    """Choose, among groups equal in all but length, the one of the greatest."""
    best: dict[tuple[str, ...], Group] = {}
    for group in groups(run):
        key = (group.cell, *map(setting, group.axes.values()))
        if key not in best or _reach(group) >= _reach(best[key]):
            best[key] = group
    return list(best.values())


def _reach(group: Group) -> float:
    return math.inf if group.length is None else group.length
