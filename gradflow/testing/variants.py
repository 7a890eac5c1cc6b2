"""All variants of a kind of cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gradflow.core.cells import Cell

__all__ = ["variants"]


def variants(cell: type[Cell], hidden: int = 3) -> Iterator[Cell]:
    """All cells of a kind, as far as options are bool, Literal or tuples of Literal.

    Other options stay at their default; combinations that the cell refuses are left out.
    """
    hints = get_type_hints(cell)
    names = [field.name for field in fields(cell) if field.name != "hidden"]
    defaults = {field.name: field.default for field in fields(cell)}
    each = [_values(hints[name]) or [defaults[name]] for name in names]
    for chosen in itertools.product(*each):
        try:
            yield cell(hidden, **dict(zip(names, chosen, strict=True)))
        except ValueError:
            continue


def _values(hint: Any) -> list[Any]:
    if hint is bool:
        return [False, True]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return list(arguments)
    if origin in (Union, UnionType):
        return [value for argument in arguments for value in _values(argument)]
    if origin is tuple:
        words = _values(arguments[0])
        sizes = range(len(words) + 1)
        return [chosen for size in sizes for chosen in itertools.combinations(words, size)]
    return []
