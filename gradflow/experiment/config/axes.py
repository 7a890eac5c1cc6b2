"""Axes: the places of an experiment file that may vary, their values, and how they are read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from pydantic import BaseModel

from gradflow.experiment.config import cell
from gradflow.experiment.config.architecture import LayerConfig
from gradflow.experiment.config.by_kind import input_kinds, input_model, loss_kinds, loss_model
from gradflow.experiment.config.cell import CellConfig
from gradflow.experiment.config.checks import (
    check_field,
    check_section,
    keys,
    kind_of_inputs,
    kind_of_loss,
    unknown,
)
from gradflow.experiment.config.sections import Experiment, record_model
from gradflow.experiment.config.text.mistakes import Mistake, got, inside, nearest
from gradflow.experiment.config.text.nodes import Node, Place
from gradflow.experiment.config.train import TrainConfig

__all__ = [
    "MAX_POINTS",
    "PATHS",
    "Axis",
    "Validator",
    "canonical",
    "checker",
    "labels",
    "normal",
    "read_axes",
    "sections",
    "writable",
]  # fmt: skip

Validator: TypeAlias = Callable[[Any], Any]
"""Takes a plain value; returns it validated, or raises a `Mistake`."""

SOME = ["length", "model.cell", "model.hidden", "init.recurrent_gain", "inputs.scale"]
PARTS: dict[str, type[BaseModel]] = {
    name: field.annotation
    for name, field in TrainConfig.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
"""The sections inside the section ``train``."""

FIXED = ("name", "sweep", "record", "check")


def sections() -> dict[str, list[type[BaseModel]]]:
    """The top-level sections, each with the models that it may be."""
    found: dict[str, list[type[BaseModel]]] = {}
    for name, field in Experiment.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[name] = [field.annotation]
    made: dict[str, list[type[BaseModel]]] = {
        "inputs": [input_model(kind) for kind in input_kinds()],
        "loss": [loss_model(kind) for kind in loss_kinds()],
        "record": [record_model()],
        "train": [TrainConfig],
    }
    return found | made


def writable() -> list[str]:
    """Every path that an axis may have, but for the options of cells and the biases by gate."""
    top = [name for name in Experiment.model_fields if name not in FIXED]
    inside = sections()
    paths = [name for name in top if name not in inside]
    for name in top:
        names = [key for model in inside.get(name, []) for key in keys(model)]
        paths += [f"{name}.{key}" for key in dict.fromkeys(names)]
    return paths + [f"train.{name}.{key}" for name, part in PARTS.items() for key in keys(part)]


def checker(key: str) -> Validator:
    """Return the check of single values at a dotted path.

    Raises
    ------
    Mistake
        At the key itself, if no axis may go there.
    """
    path = tuple(key.split("."))
    first, *rest = path
    inside = sections()
    known = writable()
    if first in FIXED:
        raise _lost(key, f"{first} is the same at every point of a sweep", known, "remove the axis")
    if first in inside and not rest:
        example = f"write for instance {next(p for p in known if p.startswith(first))}"
        raise _lost(key, f"{first} is a section: an axis varies one value in it", known, example)
    if path[:2] == ("model", "cell") and len(path) == 3:
        return _cell_option(path[2], key)
    if path[:2] == ("init", "bias") and len(path) == 3:
        return _bias(path[2], key)
    if key not in known:
        near = unknown(key, known)
        raise _lost(key, f"there is nothing at '{key}'", known, near.fix)
    if first == "train" and len(rest) == 2:
        return lambda value: check_field(PARTS[rest[0]], rest[1], value)
    if not rest:
        return lambda value: check_section(first, value)
    if path == ("inputs", "kind"):
        return lambda value: kind_of_inputs(value) and value
    if path == ("loss", "kind"):
        return lambda value: kind_of_loss(value) and value
    owners = [model for model in inside[first] if rest[0] in keys(model)]
    return lambda value: _first_of(owners, rest[0], value)


def _first_of(owners: list[type[BaseModel]], name: str, value: Any) -> Any:
    """Check a value of which it is not known yet in which of several sections it will be."""
    mistakes = []
    for owner in owners:
        try:
            return check_field(owner, name, value)
        except Mistake as mistake:
            mistakes.append(mistake)
    raise mistakes[0]


def _lost(key: str, problem: str, known: list[str], fix: str = "") -> Mistake:
    section = key.split(".")[0]
    offer = [path for path in known if path.startswith(f"{section}.")] or SOME
    expected = f"the path of a single value, such as {', '.join(offer)}"
    return Mistake(problem, expected, fix, (key,), on_key=True)


def _bias(gate: str, key: str) -> Validator:
    def find(value: Any) -> Any:
        try:
            return check_section("init", {"bias": {gate: value}}).bias[gate]
        except Mistake as mistake:
            raise mistake.moved() from None

    try:
        find(0.0)
    except Mistake as mistake:
        raise mistake.moved(key, on_key=True) from None
    return find


def _cell_option(name: str, key: str) -> Validator:
    known = cell.all_options()
    if name == "kind":
        raise _lost(key, "a cell's kind cannot vary alone", writable(), "sweep model.cell instead")
    if name not in known:
        near = nearest(name, known)
        raise Mistake(
            f"no cell has an option '{name}'",
            f"one of {', '.join(known)}",
            f"did you mean {near}?" if near else "`gradflow schema` lists the cells and options",
            (key,),
            on_key=True,
        )
    return lambda value: cell.check_option(known[name][0], name, value)


MAX_POINTS = 100_000
PATHS = (
    ("model", "weights"), ("model", "state"), ("inputs", "path"), ("loss", "path"),
    ("loss", "targets"),
)  # fmt: skip
"""Where a file is named."""


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


def normal(axis: Axis) -> tuple[Any, ...]:
    """Return the values of an axis in their normal form, as plain data."""
    find = checker(axis.key)
    return tuple(_normal(axis, find(node.plain)) for node in axis.values)


def _normal(axis: Axis, value: Any) -> Any:
    if isinstance(value, CellConfig):
        return value.written
    if axis.path == ("model", "layers") and isinstance(value, tuple):
        return tuple(one.written for one in value)
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
    if key == "model.layers":
        return tuple(
            value
            if isinstance(value, int)
            else " → ".join(LayerConfig.model_validate(one).label for one in value)
            for value in values
        )
    return tuple(_label(value) for value in values)


def _label(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"chrono"}:
            return f"chrono({value['chrono']})"
        given = {name: part for name, part in value.items() if part is not None}
        return ",".join(f"{name}={_label(part)}" for name, part in given.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "+".join(map(str, value))
    return value
