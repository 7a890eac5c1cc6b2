"""The registry of cells.

The built-in cells are registered here. A cell of one's own is registered by `register` in Python,
or by the package that defines it through an entry point in the group ``gradflow.cells``::

    [project.entry-points."gradflow.cells"]
    mycell = "mypackage:MyCell"

so that an experiment file can name it without importing code by itself.
"""

from __future__ import annotations

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
]

CELLS: Registry[Cell] = Registry("gradflow.cells", "kind")
"""Every cell by its kind."""

register, names, get = CELLS.add, CELLS.names, CELLS.get

for _cell in (RNN, CEC, LSTM, GRU, MemoryBlock):
    register(_cell)
