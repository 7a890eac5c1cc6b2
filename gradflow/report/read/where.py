"""A part of a run, chosen by what its points are: ``cell=lstm,gru``, ``length=256``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gradflow.errors import UserError
from gradflow.experiment.store.runs import Point, Run
from gradflow.report.format import axis_names, one_of, setting

__all__ = ["where"]

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
        values = [one_of(f"value of {key}", one.strip(), there) for one in _COMMA.split(wanted)]
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


def _value(point: Point, path: str) -> str:
    if path in ("cell", "model.cell"):
        return point.cell
    if path in ("length", "seed"):
        return str(getattr(point, path))
    return setting(point.axes[path]) if path in point.axes else ""
