"""Types in words: what the person who wrote the file should have written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel

__all__ = ["bare", "choices", "describe", "noun"]


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
