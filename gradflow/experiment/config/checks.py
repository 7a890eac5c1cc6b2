"""One section at a time: a plain value in, a model or a `Mistake` out."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from gradflow.experiment.config.fields import Mistake, got, is_number, nearest
from gradflow.experiment.config.inputs import INPUTS
from gradflow.experiment.config.models import Experiment
from gradflow.experiment.config.words import bare, choices, describe, noun
from gradflow.experiment.nodes import Path

__all__ = ["check", "check_field", "check_model", "keys", "unknown"]

M = TypeVar("M", bound=BaseModel)
BOUNDS = {
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
}
EMPTY = ("too_short", "string_too_short")


class Spot(NamedTuple):
    """What belongs at a place in a section."""

    name: str
    annotation: Any
    bounds: list[Any]
    default: Any
    owner: type[BaseModel]


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by the names they have in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def check(name: str, value: Any) -> Any:
    """Validate the section or setting `name` of an experiment.

    Raises
    ------
    Mistake
        Seen from inside the section.
    """
    if name == "inputs":
        return check_model(_kind_of_inputs(value), value)
    field = Experiment.model_fields[name]
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return check_model(field.annotation, value)
    return check_field(Experiment, name, value)


def check_model(model: type[M], value: Any) -> M:
    """Validate a section against its model."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _first(error, Spot("", model, [], None, model)) from None


def check_field(model: type[BaseModel], name: str, value: Any) -> Any:
    """Validate one value against the field of a section that it belongs to."""
    field = keys(model)[name]
    kind: Any = (
        Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    )
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise _first(error, _spot(name, field, model)) from None


def unknown(name: str, known: list[str], fix: str = "") -> Mistake:
    """Say that there is no such key, and which one is nearest."""
    near = nearest(name, known)
    fix = f"did you mean {near}?" if near else fix or "remove it"
    return Mistake(f"unknown key '{name}'", f"one of {', '.join(known)}", fix, on_key=True)


def _kind_of_inputs(value: Any) -> type[BaseModel]:
    kinds = choices(INPUTS)
    if not isinstance(value, dict):
        raise Mistake(
            f"{got(value)} where a mapping belongs",
            "a mapping with kind, sequences, seed and the options of that kind",
            f"write {{kind: {value}}}" if value in tuple(INPUTS) else "write {kind: noise}",
        )
    if "kind" not in value:
        near = nearest("kind", value)
        fix = f"rename {near} to kind" if near else "add for instance kind: noise"
        raise Mistake("kind is missing", kinds, fix, (near,) if near else (), on_key=True)
    kind = value["kind"]
    if not isinstance(kind, str) or kind not in INPUTS:
        near = nearest(kind, INPUTS) if isinstance(kind, str) else ""
        fix = f"did you mean {near}?" if near else "write for instance kind: noise"
        raise Mistake(f"{got(kind)} is no kind of inputs", kinds, fix, ("kind",))
    return INPUTS[kind]


def _first(error: ValidationError, spot: Spot) -> Mistake:
    """Put the first complaint into words; an unknown key comes first, it may explain the others."""
    details = error.errors(include_url=False)
    detail = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    loc: Path = detail["loc"]
    for step in loc:
        if (inner := _inside(spot, step)) is None:
            break
        spot = inner
    cause = detail.get("ctx", {}).get("error")
    mistake = cause if isinstance(cause, Mistake) else _words(detail, spot)
    return mistake.under(*loc)


def _spot(name: str, field: FieldInfo, owner: type[BaseModel]) -> Spot:
    return Spot(name, bare(field.annotation), field.metadata, field.default, owner)


def _inside(spot: Spot, step: str | int) -> Spot | None:
    if isinstance(spot.annotation, type) and issubclass(spot.annotation, BaseModel):
        field = keys(spot.annotation).get(str(step))
        return _spot(str(step), field, spot.annotation) if field else None
    part = get_args(spot.annotation)[0 if isinstance(step, int) else 1]
    return Spot(str(step), part, [], None, spot.owner)


def _words(detail: ErrorDetails, spot: Spot) -> Mistake:
    value, kind = detail["input"], detail["type"]
    expected = describe(spot.annotation, spot.bounds)
    if kind == "extra_forbidden":
        return _extra(str(detail["loc"][-1]), spot)
    if kind == "missing":
        return _missing(str(detail["loc"][-1]), spot, expected)
    if kind == "finite_number":
        return Mistake(f"{got(value)} is not a finite number", expected, _example(spot))
    if kind in BOUNDS:
        return Mistake(f"{got(value)} is {BOUNDS[kind]}", expected, _example(spot))
    if kind in EMPTY:
        return Mistake("this is empty", expected, _example(spot))
    if kind == "literal_error" and isinstance(value, str):
        near = nearest(value, map(str, get_args(spot.annotation)))
        fix = f"did you mean {near}?" if near else _example(spot)
        return Mistake(f"{got(value)} is not among the choices", expected, fix)
    return Mistake(
        f"{got(value)} where {noun(spot.annotation)} belongs", expected, _mend(value, spot)
    )


def _extra(name: str, spot: Spot) -> Mistake:
    """Explain a key that the section does not have."""
    known = list(keys(spot.annotation))
    owners = [kind for kind, model in INPUTS.items() if name in model.model_fields]
    if spot.annotation in INPUTS.values() and owners and not nearest(name, known):
        return Mistake(
            f"'{name}' is an option of {choices(owners, 'and')} only",
            f"one of {', '.join(known)}",
            "remove it, or choose another kind",
            on_key=True,
        )
    homes = [
        f"{section}.{name}"
        for section, field in Experiment.model_fields.items()
        if isinstance(part := field.annotation, type)
        and issubclass(part, BaseModel)
        and name in keys(part)
    ]
    return unknown(name, known, f"it belongs to {choices(homes)}" if homes else "")


def _missing(name: str, spot: Spot, expected: str) -> Mistake:
    fix = {"cell": "add for instance cell: lstm", "path": "add for instance path: data.npy"}
    return Mistake(f"{name} is missing", expected, fix.get(name, f"add {name}"))


def _example(spot: Spot) -> str:
    default = spot.default
    if default is PydanticUndefined or default is None or isinstance(default, dict | BaseModel):
        return ""
    if isinstance(default, tuple):
        return f"write for instance [{', '.join(map(str, default))}]" if default else "write []"
    return (
        f"write for instance {spot.name}: {got(default).removeprefix('the text ').strip(chr(39))}"
    )


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
    return _example(spot)
