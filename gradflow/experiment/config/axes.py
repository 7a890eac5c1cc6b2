"""The axes of a sweep: dotted paths into the experiment file, and the values along them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from pydantic import BaseModel

from gradflow.experiment.config.cells import CellConfig
from gradflow.experiment.config.dotted import checker
from gradflow.experiment.config.text.mistakes import Mistake, got, inside
from gradflow.experiment.config.text.nodes import Node, Place

__all__ = ["MAX_POINTS", "PATHS", "Axis", "canonical", "labels", "normal", "read_axes"]

MAX_POINTS = 100_000
PATHS = (("model", "weights"), ("inputs", "path"))


@dataclass(frozen=True)
class Axis:
    """One axis.

    Parameters
    ----------
    path : tuple of str
        Where its values go.
    values : tuple of Node
        The values as they were written.
    place : Place
        Where the axis' key stands.
    """

    path: tuple[str, ...]
    values: tuple[Node, ...]
    place: Place

    @property
    def key(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


def read_axes(sweep: Node) -> tuple[Axis, ...]:
    """Read the section ``sweep``, every value checked by itself.

    Raises
    ------
    Mistake
        Seen from inside the section.
    """
    if sweep.value is None:
        return ()
    if not isinstance(sweep.value, dict):
        raise Mistake(
            f"{got(sweep.plain)} where a mapping belongs",
            "axes: dotted paths into this file, each with a list of values",
            "write for instance {length: [8, 16, 32]}",
        )
    axes = tuple(
        Axis(tuple(key.split(".")), _values(key, node), sweep.keys[key])
        for key, node in sweep.value.items()
    )
    size = prod(len(axis.values) for axis in axes)
    if size > MAX_POINTS:
        raise Mistake(
            f"the sweep has {size:,} points",
            f"at most {MAX_POINTS:,}",
            "shorten an axis, or split the sweep into several experiments",
        )
    for axis in axes:
        _check_axis(axis)
    return axes


def _values(key: str, node: Node) -> tuple[Node, ...]:
    """The values along an axis; ``seed: 5`` is short for five seeds from 0."""
    number = node.value
    if key == "seed" and isinstance(number, int) and not isinstance(number, bool):
        if not 1 <= number <= MAX_POINTS:
            expected = f"how many seeds, from 1 to {MAX_POINTS:,}, or a list of seeds"
            raise Mistake(f"{number} seeds", expected, "write for instance seed: 5", (key,))
        return tuple(Node(seed, node.place) for seed in range(number))
    if not isinstance(number, tuple):
        fix = "write the values in brackets" if isinstance(number, dict) else f"write [{number}]"
        fix = fix if number is not None else "write values in brackets, or remove the axis"
        raise Mistake(f"{got(node.plain)} where a list belongs", "a list of values", fix, (key,))
    if not number:
        raise Mistake("this axis is empty", "at least one value", "remove the axis", (key,))
    return number


def _check_axis(axis: Axis) -> None:
    seen: dict[str, int] = {}
    find = checker(axis.key)
    for i, node in enumerate(axis.values):
        with inside(axis.key, i):
            value = find(node.plain)
        first = seen.setdefault(canonical(value), i)
        if first != i:
            problem = f"this is the same as value {first + 1} of the axis"
            raise Mistake(problem, fix="remove one of the two", at=(axis.key, i))


def normal(axis: Axis, node: Node) -> Any:
    """Return a value of an axis in its normal form, as plain data."""
    value = checker(axis.key)(node.plain)
    if isinstance(value, CellConfig):
        return value.written
    if axis.path in PATHS and value is not None:
        return value
    return value.model_dump() if isinstance(value, BaseModel) else value


def canonical(value: Any) -> str:
    """Write a value as JSON in a form that equal values share."""
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else str(value)


def labels(key: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Name the values of an axis, briefly and each differently."""
    if tuple(key.split(".")) in PATHS:
        folder = os.path.commonpath([os.path.dirname(v) for v in values if v] or [""])
        return tuple(v and os.path.relpath(v, folder) for v in values)
    if key == "model.cell":
        return tuple(CellConfig.model_validate(value).label for value in values)
    return tuple(_label(value) for value in values)


def _label(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"chrono"}:
            return f"chrono({value['chrono']})"
        return ",".join(f"{name}={_label(part)}" for name, part in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "+".join(map(str, value))
    return value
