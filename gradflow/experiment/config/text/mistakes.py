"""Wrong values in words, what pydantic found included: the problem, what belongs there, the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic_core import ErrorDetails, PydanticUndefined

from gradflow.experiment.config.text.nodes import Path

__all__ = [
    "Mistake", "Spot", "bare", "choices", "complain", "describe", "got", "inside", "is_number",
    "is_step", "is_whole", "missing", "nearest", "noun", "quote",
]  # fmt: skip


class Mistake(ValueError):
    """A wrong value, in our words, before it is known where it stands.

    Parameters
    ----------
    problem, expected, fix : str
        As in `gradflow.errors.ConfigError`.
    at : tuple
        The way from the value under validation to the offending part.
    on_key : bool
        Whether the key itself is wrong, not its value.
    """

    def __init__(
        self,
        problem: str,
        expected: str = "",
        fix: str = "",
        at: Path = (),
        *,
        on_key: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem, self.expected, self.fix = problem, expected, fix
        self.at, self.on_key = at, on_key

    def under(self, *path: str | int) -> Mistake:
        """Return the same mistake as seen from further out."""
        at = (*path, *self.at)
        return Mistake(self.problem, self.expected, self.fix, at, on_key=self.on_key)

    def moved(self, *path: str | int, on_key: bool = False) -> Mistake:
        """Return the same mistake at a place of one's own choosing."""
        return Mistake(self.problem, self.expected, self.fix, path, on_key=on_key)


@contextmanager
def inside(*path: str | int) -> Iterator[None]:
    """Let mistakes made within be seen from further out."""
    try:
        yield
    except Mistake as mistake:
        raise mistake.under(*path) from None


def got(value: Any) -> str:
    """Say what was found: ``the text 'abc'``, ``a list``, ``true``, ``64.0``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{value if len(value) <= 40 else value[:37] + '...'}'"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, tuple) else f"{value}"


def quote(value: Any) -> str:
    """Say what was chosen where a name belongs: ``'lstn'``."""
    return got(value).removeprefix("the text ")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known name that `word` was probably meant to be, else ''."""
    plain = {_plain(name): name for name in known}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def is_number(value: object) -> bool:
    """Whether a value is an int or a float and nothing else."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_step(value: object) -> bool:
    """Whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def choices(words: Iterable[Any], last: str = "or") -> str:
    """``a, b or c``."""
    *rest, final = [str(word) for word in words]
    return f"{', '.join(rest)} {last} {final}" if rest else final


def noun(annotation: Any) -> str:
    """Name a type in a word or two."""
    annotation = bare(annotation)
    origin = get_origin(annotation)
    if origin is tuple:
        return "a list"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "a mapping"
    if origin is Literal:
        return "one of a few names"
    names: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text",
    }
    return names.get(annotation, "another value")


def describe(annotation: Any, bounds: Sequence[Any] = ()) -> str:
    """Say what a type with bounds allows: ``a whole number from 1 to 64``."""
    inner = bare(annotation)
    origin, parts = get_origin(inner), get_args(inner)
    if origin is Literal:
        words = choices(parts)
    elif origin is tuple and get_origin(parts[0]) is Literal:
        words = f"a list of any of {', '.join(map(str, get_args(parts[0])))}"
    elif isinstance(inner, type) and issubclass(inner, BaseModel):
        words = f"a mapping with {', '.join(_keys(inner))}"
    elif origin is dict:
        words = f"a mapping from names to {noun(parts[1]).removeprefix('a ')}s"
    else:
        words = noun(inner) + _range(bounds)
    return words + (" or null" if inner is not annotation else "")


def bare(annotation: Any) -> Any:
    """Without None, where a value may be null."""
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return parts[0] if len(parts) == 1 else annotation
    return annotation


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _size(number: Any) -> str:
    if number == 2**63 - 1:
        return "2^63 - 1"
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _range(bounds: Sequence[Any]) -> str:
    least = next((bound.ge for bound in bounds if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in bounds if isinstance(bound, Le)), None)
    above = next((bound.gt for bound in bounds if isinstance(bound, Gt)), None)
    if least is not None and most is not None:
        return f" from {least} to {_size(most)}"
    if above is not None:
        return f" above {above}" + (f", at most {most}" if most is not None else "")
    return f" of at least {least}" if least is not None else ""


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
    "k1": 4,
    "k2": "[4, 16]",
}
FORMS = {"truncation": "{k1: 4, k2: [4, 16]}", "clip": "{norm: 1.0}"}
"""Examples of mappings whose first key alone, as it is by default, would not do."""
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
    if spot.name in FORMS:
        return f"write for instance {spot.name}: {FORMS[spot.name]}"
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
    kind = getattr(bare(target), "model_fields", {}).get("kind")
    if kind is not None and value in get_args(kind.annotation):
        return f"write {{kind: {value}}}"
    return example(spot)
