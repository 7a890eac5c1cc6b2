"""One section at a time: a plain value in, a model or a `Mistake` out."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gradflow.experiment.config.by_kind import (
    Inputs,
    LossConfig,
    input_kinds,
    input_model,
    loss_kinds,
    loss_model,
)
from gradflow.experiment.config.sections import Experiment, record_model
from gradflow.experiment.config.text.mistakes import (
    Mistake,
    Spot,
    bare,
    choices,
    complain,
    describe,
    got,
    inside,
    missing,
    nearest,
    quote,
)
from gradflow.experiment.config.text.nodes import Path
from gradflow.experiment.config.train import TrainConfig

__all__ = [
    "check_field",
    "check_model",
    "check_section",
    "keys",
    "kind_of_inputs",
    "kind_of_loss",
    "unknown",
]

M = TypeVar("M", bound=BaseModel)

CELL = "the name of a cell, or a mapping with its kind and options"


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by the names they have in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def check_section(name: str, value: Any) -> Any:
    """Validate the section or setting `name` of an experiment.

    Raises
    ------
    Mistake
        Seen from inside the section.
    """
    if name == "inputs":
        return check_model(_kind_of_inputs(value), value)
    if name == "loss":
        return check_model(_kind_of_loss(value), value)
    if name == "record":
        return check_model(record_model(), value)
    if name == "train" and value is not None:
        return check_model(TrainConfig, value)
    field = Experiment.model_fields[name]
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return check_model(field.annotation, value)
    return check_field(Experiment, name, value)


def check_model(model: type[M], value: Any) -> M:
    """Validate a section against its model."""
    try:
        return model.model_validate(value, context=check_model)
    except ValidationError as error:
        raise _first(error, Spot("", model, [], None)) from None


def check_field(model: type[BaseModel], name: str, value: Any) -> Any:
    """Validate one value against the field of a section that it belongs to."""
    try:
        return _adapter(model, name).validate_python(value, strict=True, context=check_model)
    except ValidationError as error:
        raise _first(error, _spot(name, keys(model)[name])) from None


@cache
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    field = keys(model)[name]
    whole: Any = field.annotation
    return TypeAdapter(Annotated[(whole, *field.metadata)] if field.metadata else whole)


def unknown(name: str, known: list[str], fix: str = "") -> Mistake:
    """Say that there is no such key, and which one is nearest."""
    near = nearest(name, known)
    fix = f"did you mean {near}?" if near else fix or "remove it"
    return Mistake(f"unknown key '{name}'", f"one of {', '.join(known)}", fix, on_key=True)


def _kind_of_inputs(value: Any) -> type[BaseModel]:
    if not isinstance(value, dict):
        raise Mistake(
            f"{got(value)} where a mapping belongs",
            "a mapping with kind, sequences, seed and the options of that kind",
            f"write {{kind: {value}}}" if value in input_kinds() else "write {kind: noise}",
        )
    if "kind" not in value:
        near = nearest("kind", value)
        fix = f"rename {near} to kind" if near else "add for instance kind: noise"
        raise Mistake(
            "kind is missing", choices(input_kinds()), fix, (near or "kind",), on_key=bool(near)
        )
    with inside("kind"):
        return kind_of_inputs(value["kind"])


def kind_of_inputs(kind: Any) -> type[Inputs]:
    """Return the model of a kind of inputs."""
    return input_model(_known(kind, input_kinds(), "inputs", "noise"))


def _kind_of_loss(value: Any) -> type[BaseModel]:
    plain = LossConfig.model_fields["kind"].default
    with inside("kind"):
        return kind_of_loss(value.get("kind", plain) if isinstance(value, dict) else plain)


def kind_of_loss(kind: Any) -> type[LossConfig]:
    """Return the model of a kind of loss."""
    return loss_model(_known(kind, loss_kinds(), "loss", "probe"))


def _known(kind: Any, kinds: tuple[str, ...], what: str, example: str) -> str:
    if isinstance(kind, str) and kind in kinds:
        return kind
    near = nearest(kind, kinds) if isinstance(kind, str) else ""
    fix = f"did you mean {near}?" if near else f"write for instance kind: {example}"
    raise Mistake(f"{quote(kind)} is no kind of {what}", choices(kinds), fix)


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
    name = str(loc[-1]) if loc else ""
    if isinstance(cause, Mistake):
        mistake = cause
    elif detail["type"] == "extra_forbidden":
        mistake = _extra(name, spot)
    elif detail["type"] == "missing":
        mistake = missing(name, CELL if name == "cell" else describe(spot.annotation))
    else:
        mistake = complain(detail, spot)
    return mistake.under(*loc)


def _spot(name: str, field: FieldInfo) -> Spot:
    return Spot(name, bare(field.annotation), field.metadata, field.default)


def _inside(spot: Spot, step: str | int) -> Spot | None:
    if isinstance(spot.annotation, type) and issubclass(spot.annotation, BaseModel):
        field = keys(spot.annotation).get(str(step))
        return _spot(str(step), field) if field else None
    part = get_args(spot.annotation)[0 if isinstance(step, int) else 1]
    return Spot(str(step), part, [], None)


def _owners(name: str, section: type[BaseModel]) -> list[str]:
    """The kinds of such a section that have an option of that name."""
    if issubclass(section, Inputs):
        return [kind for kind in input_kinds() if name in input_model(kind).model_fields]
    if issubclass(section, LossConfig):
        return [kind for kind in loss_kinds() if name in loss_model(kind).model_fields]
    return []


def _extra(name: str, spot: Spot) -> Mistake:
    """Explain a key that the section does not have."""
    known = list(keys(spot.annotation))
    owners = _owners(name, spot.annotation)
    if owners and not nearest(name, known):
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
