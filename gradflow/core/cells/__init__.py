"""The registry of cells.

The built-in cells are registered here. A cell of one's own is registered by `register` in Python,
or by the package that defines it through an entry point in the group ``gradflow.cells``::

    [project.entry-points."gradflow.cells"]
    mycell = "mypackage:MyCell"

so that an experiment file can name it without importing code by itself. `variants` makes all cells
of a kind, for what has to hold for each of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gradflow.core.cells.arrays import Drive, affine, blocks, like, product, pull, sigmoid
from gradflow.core.cells.base import Cell
from gradflow.core.cells.block import MemoryBlock
from gradflow.core.cells.cec import CEC
from gradflow.core.cells.gru import GRU
from gradflow.core.cells.lstm import LSTM
from gradflow.core.cells.rnn import RNN
from gradflow.core.cells.terms import Carrousel, MemoryGate, Parameter, State, Summand
from gradflow.core.registry import Registry

__all__ = [  # with what a cell of one's own is written in
    "CEC",
    "CELLS",
    "GRU",
    "LSTM",
    "RNN",
    "Carrousel",
    "Cell",
    "Drive",
    "MemoryBlock",
    "MemoryGate",
    "Parameter",
    "State",
    "Summand",
    "affine",
    "blocks",
    "get",
    "like",
    "names",
    "product",
    "pull",
    "register",
    "sigmoid",
    "variants",
]

CELLS: Registry[Cell] = Registry("gradflow.cells", "kind")
"""Every cell by its kind."""

register, names, get = CELLS.add, CELLS.names, CELLS.get

for _cell in (RNN, CEC, LSTM, GRU, MemoryBlock):
    register(_cell)

MANY = 16
"""Combinations of options from which on the bias varies by itself."""


def variants(cell: type[Cell], hidden: int = 3) -> Iterator[Cell]:
    """All cells of a kind, as far as options are bool, Literal or tuples of Literal.

    What does not meddle with what other options do varies one at a time: nonlinearities, sizes (2
    instead of the default), and the bias where the others make many combinations. Options of
    other types stay at their default; combinations that the cell refuses are left out.
    """
    hints = get_type_hints(cell)
    names = [field.name for field in fields(cell) if field.name != "hidden"]
    defaults = {field.name: field.default for field in fields(cell)}
    values = {name: _values(hints[name]) or [defaults[name]] for name in names}
    apart = {name: values[name] for name in names if name.endswith("activation")}
    apart |= {n: [defaults[n], 2] for n in names if hints[n] is int}
    if math.prod(len(values[n]) for n in names if n not in apart) > MANY and "bias" in names:
        apart["bias"] = values["bias"]
    together = [[defaults[n]] if n in apart else values[n] for n in names]
    chosen = [dict(zip(names, each, strict=True)) for each in itertools.product(*together)]
    chosen += [{name: value} for name in apart for value in apart[name] if value != defaults[name]]
    for options in chosen:
        try:
            yield cell(hidden, **options)
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
