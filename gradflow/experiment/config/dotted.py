"""The places of an experiment file that an axis may vary, and the check of a value there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import BaseModel

from gradflow.experiment.config import cells
from gradflow.experiment.config.checks import check, check_field, keys, kind_of_inputs, unknown
from gradflow.experiment.config.inputs import input_kinds, input_model
from gradflow.experiment.config.models import Experiment, record_model
from gradflow.experiment.config.text.mistakes import Mistake, nearest
from gradflow.experiment.config.training import TrainConfig

__all__ = ["Check", "checker", "sections", "writable"]

Check: TypeAlias = Callable[[Any], Any]
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


def checker(key: str) -> Check:
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
        return lambda value: check(first, value)
    if path == ("inputs", "kind"):
        return lambda value: kind_of_inputs(value) and value
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


def _bias(gate: str, key: str) -> Check:
    def find(value: Any) -> Any:
        try:
            return check("init", {"bias": {gate: value}}).bias[gate]
        except Mistake as mistake:
            raise mistake.moved() from None

    try:
        find(0.0)
    except Mistake as mistake:
        raise mistake.moved(key, on_key=True) from None
    return find


def _cell_option(name: str, key: str) -> Check:
    known = cells.all_options()
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
    return lambda value: cells.check_option(known[name][0], name, value)
