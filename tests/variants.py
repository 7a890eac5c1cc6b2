"""Every cell of the registry with every combination of its options, and weights to try them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from gradflow.core import cells
from gradflow.core.cells import Cell

Array = np.ndarray[Any, Any]


def values(hint: Any) -> list[Any]:
    """All values of an option's type, as far as it is finite: bool, Literal, tuples of Literal."""
    if hint is bool:
        return [False, True]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return list(arguments)
    if origin in (Union, UnionType):
        return [value for argument in arguments for value in values(argument)]
    if origin is tuple:
        each = values(arguments[0])
        sizes = range(len(each) + 1)
        return [chosen for size in sizes for chosen in itertools.combinations(each, size)]
    return []


def combinations(kind: str, hidden: int) -> Iterator[Cell]:
    """All cells of a kind; combinations that the cell refuses are left out."""
    cell = cells.get(kind)
    hints = get_type_hints(cell)
    options = {
        field.name: values(hints[field.name]) or [field.default]
        for field in fields(cell)
        if field.name != "hidden"
    }
    for chosen in itertools.product(*options.values()):
        try:
            yield cell(hidden, **dict(zip(options, chosen, strict=True)))
        except ValueError:
            continue


def every_cell(hidden: int) -> list[Cell]:
    return [cell for kind in cells.names() for cell in combinations(kind, hidden)]


def draw(
    cell: Cell,
    rng: np.random.Generator,
    *,
    inputs: int,
    layers: int = 1,
    directions: int = 1,
    nets: int = 1,
    gain: float = 1.0,
) -> tuple[tuple[dict[str, Array], ...], ...]:
    """Weights [layer][direction], each array (nets, rows, cols), none of them special."""

    def one(features: int) -> dict[str, Array]:
        return {
            name: gain * rng.normal(size=(nets, *spec.shape)) / np.sqrt(spec.cols)
            for name, spec in cell.parameters(features).items()
        }

    sizes = [inputs] + [directions * cell.hidden] * (layers - 1)
    return tuple(tuple(one(size) for _ in range(directions)) for size in sizes)
