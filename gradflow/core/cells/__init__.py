"""The registry of cells.

The built-in cells are registered here. A cell of one's own is registered by `register` in Python,
or by the package that defines it through an entry point in the group ``gradflow.cells``::

    [project.entry-points."gradflow.cells"]
    mycell = "mypackage:MyCell"

so that an experiment file can name it without importing code by itself.
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from gradflow.core.cells.arrays import Drive, affine, blocks, like, product, pull, sigmoid
from gradflow.core.cells.base import Cell
from gradflow.core.cells.cec import CEC
from gradflow.core.cells.gru import GRU
from gradflow.core.cells.lstm import LSTM
from gradflow.core.cells.rnn import RNN
from gradflow.core.cells.terms import Carrousel, MemoryGate, Parameter, State, Summand

__all__ = [  # with what a cell of one's own is written in
    "CEC",
    "GRU",
    "LSTM",
    "RNN",
    "Carrousel",
    "Cell",
    "Drive",
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
]

_REGISTRY: dict[str, type[Cell]] = {}


def register(cell: type[Cell]) -> type[Cell]:
    """Make a cell known under its ``kind``; usable as a class decorator.

    Raises
    ------
    ValueError
        If the class is abstract, or its kind belongs to another class already.
    """
    if inspect.isabstract(cell):
        missing = ", ".join(sorted(cell.__abstractmethods__))
        raise ValueError(f"{cell.__name__} cannot be registered: it does not define {missing}")
    if _REGISTRY.setdefault(cell.kind, cell) is not cell:
        raise ValueError(f"the kind {cell.kind!r} belongs to {_REGISTRY[cell.kind].__name__}")
    return cell


for _cell in (RNN, CEC, LSTM, GRU):
    register(_cell)


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="gradflow.cells")}


def names() -> tuple[str, ...]:
    """Kinds of all known cells: the built-in ones, then others in order of registration."""
    return (*_REGISTRY, *(name for name in _installed() if name not in _REGISTRY))


def get(kind: str) -> type[Cell]:
    """Return the cell class of a kind.

    Raises
    ------
    KeyError
        If no cell of that kind is registered or installed.
    """
    if kind not in _REGISTRY and kind in _installed():
        register(_installed()[kind].load())
    return _REGISTRY[kind]
