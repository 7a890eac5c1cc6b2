"""What pydantic found, in our words: the problem, what belongs there, what to write."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails, PydanticUndefined

from gradflow.experiment.config.text.mistakes import Mistake, got, is_number, nearest, quote
from gradflow.experiment.config.text.words import describe, noun

__all__ = ["Spot", "complain", "missing"]

BOUNDS = {
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
}
EMPTY = ("too_short", "string_too_short")
EXAMPLES = {
    "cell": "lstm",
    "kind": "noise",
    "path": "data.npy",
    "length": 128,
    "weights": "model.safetensors",
    "flat": 1e-9,
    "assert": "[{state: s, flat: 1e-9}]",
    "bias": "{f: 1.0}",
}
PLAIN = {int: 1, float: 1.0, bool: True}
EXPECTED = {"path": "the path of a .npy, .npz, .csv or .txt file"}


class Spot(NamedTuple):
    """What belongs at a place: the key's name, its type and bounds, its default."""

    name: str
    annotation: Any
    bounds: list[Any]
    default: Any


def complain(detail: ErrorDetails, spot: Spot) -> Mistake:
    """Turn one of pydantic's complaints about the value at `spot` into a mistake there."""
    value, kind = detail["input"], detail["type"]
    expected = EXPECTED.get(spot.name) or describe(spot.annotation, spot.bounds)
    if kind == "finite_number":
        return Mistake(f"{got(value)} is not a finite number", expected, example(spot))
    if kind in BOUNDS:
        return Mistake(f"{got(value)} is {BOUNDS[kind]}", expected, example(spot))
    if kind in EMPTY:
        return Mistake("this is empty", expected, example(spot))
    if kind == "literal_error":
        words = [str(word) for word in get_args(spot.annotation)]
        near = nearest(value, words) if isinstance(value, str) else ""
        fix = f"did you mean {near}?" if near else example(spot) or f"write for instance {words[0]}"
        return Mistake(f"{quote(value)} is not among the choices", expected, fix)
    problem = f"{got(value)} where {noun(spot.annotation)} belongs"
    return Mistake(problem, expected, _mend(value, spot))


def missing(name: str, expected: str) -> Mistake:
    """Say that a key is not there."""
    expected = EXPECTED.get(name, expected)
    return Mistake(f"{name} is missing", expected, f"add {name}: {EXAMPLES.get(name, '...')}")


def example(spot: Spot) -> str:
    """Give something right to write."""
    if isinstance(spot.annotation, type) and issubclass(spot.annotation, BaseModel):
        name, field = next(iter(spot.annotation.model_fields.items()))
        given = EXAMPLES.get(name) if field.is_required() else field.default
        return f"write for instance {{{name}: {given}}}"
    default = spot.default
    if default in (PydanticUndefined, None, {}, ()):
        default = EXAMPLES.get(spot.name, PLAIN.get(spot.annotation))
    if default is None:
        return ""
    if isinstance(default, tuple):
        default = f"[{', '.join(map(str, default))}]"
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"write for instance {spot.name}: {shown}"


def _mend(value: Any, spot: Spot) -> str:
    """Guess what was meant where the type is wrong."""
    target = spot.annotation
    if isinstance(value, tuple) and target in (int, float, bool, str):
        return "write one value here; several go under sweep"
    if target is bool and isinstance(value, str) and value.lower() in ("yes", "on", "no", "off"):
        return "write true" if value.lower() in ("yes", "on") else "write false"
    if target is int and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if target in (int, float) and isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "remove the quotes"
    if target is str and (is_number(value) or isinstance(value, bool)):
        return f'put it in quotes: "{got(value)}"'
    if noun(target) == "a list" and isinstance(value, str):
        return f"write [{value}]"
    return example(spot)
