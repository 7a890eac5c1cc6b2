"""The cell of an experiment: a kind from the registry and that kind's own options.

Nothing here names a cell: what may be written follows from the registered dataclasses' fields.
"""

from __future__ import annotations

from dataclasses import Field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from gradflow.errors import OptionError
from gradflow.experiment.config.text.mistakes import (
    Mistake,
    Spot,
    choices,
    complain,
    got,
    nearest,
    quote,
)

if TYPE_CHECKING:
    from gradflow.core.cells import Cell

__all__ = [
    "CellConfig",
    "all_options",
    "check_option",
    "gates",
    "kinds",
    "known_states",
    "option_schemas",
]


class CellConfig(BaseModel):
    """A kind of cell; further attributes are the options that are not at their default."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str

    @model_validator(mode="before")
    @classmethod
    def _check(cls, value: Any) -> Any:
        return value if isinstance(value, CellConfig) else _checked(value)

    def __hash__(self) -> int:
        return hash((self.kind, *sorted(self.options.items())))

    @property
    def options(self) -> dict[str, Any]:
        """The options that are not at their default."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def label(self) -> str:
        """The name that tables and plots use, e.g. ``lstm(peephole=diagonal)``."""
        return self.build(1).label

    @property
    def written(self) -> str | dict[str, Any]:
        """The shortest spelling in an experiment file."""
        return {"kind": self.kind, **self.options} if self.options else self.kind

    def build(self, hidden: int) -> Cell:
        """Make the cell with `hidden` units."""
        from gradflow.core import cells

        return cells.get(self.kind)(hidden=hidden, **self.options)


def _registry() -> dict[str, type[Cell]]:
    from gradflow.core import cells

    return {kind: cells.get(kind) for kind in cells.names()}


def kinds() -> tuple[str, ...]:
    """Every known kind of cell."""
    return tuple(_registry())


def option_schemas(kind: str) -> dict[str, Any]:
    """JSON Schemas of a kind's options."""
    own = _fields(_registry()[kind])
    return {
        name: TypeAdapter(annotation).json_schema()
        | {"default": field.default, "description": field.metadata.get("summary", "")}
        for name, (field, annotation) in own.items()
    }


def known_states() -> tuple[str, ...]:
    """What norms may be of: every part of any cell's state, the state s itself, and the input x."""
    return _states(kinds())


@cache
def _states(kinds: tuple[str, ...]) -> tuple[str, ...]:
    from gradflow.core.cells import variants

    registry = _registry()
    parts = (part for kind in kinds for one in variants(registry[kind], 1) for part in one.parts)
    return tuple(dict.fromkeys((*parts, "s", "x")))


def gates() -> tuple[str, ...]:
    """Every gate of any cell, in the order of the registry."""
    known = [gate for cell in _registry().values() for gate in cell(hidden=1).gates]
    return tuple(dict.fromkeys(known))


@cache
def _fields(cell: type[Cell]) -> dict[str, tuple[Field[Any], Any]]:
    """Options of a class: the dataclass field and its resolved type."""
    types = get_type_hints(cell)
    return {f.name: (f, types[f.name]) for f in fields(cell) if f.name != "hidden" and f.init}


def all_options() -> dict[str, list[str]]:
    """Every option of any cell, with the kinds that have it."""
    known: dict[str, list[str]] = {}
    for kind, cell in _registry().items():
        for name in _fields(cell):
            known.setdefault(name, []).append(kind)
    return known


def check_option(kind: str, name: str, value: Any) -> Any:
    """Validate one option of a kind of cell by itself."""
    try:
        return _option(kind, _registry()[kind], name, value)
    except Mistake as mistake:
        raise mistake.moved(*mistake.at[1:]) from None


def _checked(value: Any) -> dict[str, Any]:
    known = tuple(_registry())
    at: tuple[str, ...] = ("kind",)
    if isinstance(value, str):
        value, at = {"kind": value}, ()
    if not isinstance(value, dict):
        fix = f"write {known[0]}"
        if isinstance(value, tuple):
            fix = "several cells go under sweep, as model.cell: [rnn, lstm]"
        expected = f"a cell ({choices(known)}), or a mapping with its kind and options"
        raise Mistake(f"{got(value)} where a cell belongs", expected, fix)
    if "kind" not in value:
        near = nearest("kind", value)
        fix = f"rename '{near}' to kind" if near else f"add for instance kind: {known[0]}"
        raise Mistake("the cell's kind is missing", f"kind: {choices(known)}", fix)
    kind = value["kind"]
    if kind not in known:
        near = nearest(kind, known) if isinstance(kind, str) else ""
        fix = f"did you mean {near}?" if near else "`gradflow schema` lists the cells and options"
        raise Mistake(f"unknown cell {quote(kind)}", choices(known), fix, at)
    cell = _registry()[kind]
    options = {
        name: _option(kind, cell, name, given) for name, given in value.items() if name != "kind"
    }
    try:
        cell(hidden=1, **options)
    except OptionError as error:
        fix = error.fix or f"change or remove {error.option}"
        raise Mistake(error.problem, error.expected, fix, error.path) from None
    except ValueError as error:
        raise Mistake(str(error), f"options of {kind} that go together") from None
    default = {name: field.default for name, (field, _) in _fields(cell).items()}
    return {"kind": kind} | {
        n: options[n] for n in default if options.get(n, default[n]) != default[n]
    }


def _option(kind: str, cell: type[Cell], name: str, value: Any) -> Any:
    own = _fields(cell)
    if name not in own:
        owners = all_options().get(name, [])
        near = nearest(name, own)
        if owners:
            problem = f"'{name}' is an option of {choices(owners, 'and')}, {kind} has none such"
            fix = "remove it, or choose another cell"
        else:
            problem = f"{kind} has no option '{name}'"
            fix = f"did you mean {near}?" if near else "remove it"
        raise Mistake(problem, _offer(kind, own), fix, (name,), on_key=True)
    annotation = own[name][1]
    try:
        checked = TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        inside = bool(detail["loc"]) and get_origin(annotation) is tuple
        part = get_args(annotation)[0] if inside else annotation
        spot = Spot(name, part, [], None if inside else own[name][0].default)
        raise complain(detail, spot).under(name, *(detail["loc"] if inside else ())) from None
    order = _literals(annotation)
    return (
        tuple(sorted(checked, key=order.index)) if order and isinstance(checked, tuple) else checked
    )


def _offer(kind: str, own: dict[str, Any]) -> str:
    return f"one of {kind}'s options: {', '.join(own)}" if own else f"{kind} has no options"


def _literals(annotation: Any) -> tuple[str, ...]:
    """The words that a Literal, or a tuple of one, allows."""
    if get_origin(annotation) is tuple:
        return _literals(get_args(annotation)[0])
    return tuple(str(word) for word in get_args(annotation) if isinstance(word, str))
