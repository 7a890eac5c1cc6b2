"""How PyTorch and Keras draw their recurrent layers, unless they are told otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from gradflow.core.cells.base import Cell
from gradflow.core.typing import Array

__all__ = ["FRAMEWORKS", "Law", "keras", "orthogonal", "pytorch"]

Streams: TypeAlias = Callable[..., np.random.Generator]
"""The random stream that belongs to some words."""

Law: TypeAlias = Callable[[Cell, int, Streams], dict[str, Array]]
"""Draws all parameters of a cell that reads so many features."""


def pytorch(cell: Cell, inputs: int, streams: Streams) -> dict[str, Array]:
    """Draw as ``torch.nn.RNNBase.reset_parameters`` does.

    ::

        every weight and bias ~ U(−1/√H, 1/√H)

    PyTorch has two biases, b_ih and b_hh, where there is one here: b is their sum, but for the
    candidate of a GRU whose b_hh stands behind the reset gate (``b_rec``).
    """
    bound = 1 / math.sqrt(cell.hidden)
    parameters = cell.parameters(inputs)
    apart = {gate for name, part in parameters.items() if name == "b_rec" for gate in part.blocks}
    drawn = {}
    for name, part in parameters.items():
        blocks = []
        for gate in part.blocks:
            sums = 2 if name == "b" and gate not in apart else 1
            each = streams(name, gate).uniform(-bound, bound, (sums, part.rows, part.cols))
            blocks.append(each.sum(axis=0))
        drawn[name] = np.concatenate(blocks)
    return drawn


def keras(cell: Cell, inputs: int, streams: Streams) -> dict[str, Array]:
    """Draw as ``keras.layers.LSTM``, ``GRU`` and ``SimpleRNN`` do.

    ::

        U ~ U(−a, a), a = √(6 / (inputs + gates · H))    Glorot over all gates at once
        WᵀW = I                                          orthogonal over all gates at once
        b = 0, but 1 for an LSTM's forget gate           unit_forget_bias
    """
    keeping = {gate for gate, sign, _ in cell.memory_gates if sign > 0}
    drawn = {}
    for name, part in cell.parameters(inputs).items():
        rows, cols = part.shape
        if part.role == "bias":
            ones = [float(name == "b" and gate in keeping) for gate in part.blocks]
            drawn[name] = np.repeat(ones, part.rows)[:, None]
        elif part.role == "input":
            bound = math.sqrt(6 / (rows + cols))
            drawn[name] = streams(name).uniform(-bound, bound, (rows, cols))
        else:
            drawn[name] = orthogonal(streams(name), rows, cols)
    return drawn


def orthogonal(rng: np.random.Generator, rows: int, cols: int) -> Array:
    """Orthonormal columns, or rows where there are fewer of these, uniform over all such."""
    wide = cols > rows
    q, r = np.linalg.qr(rng.standard_normal((cols, rows) if wide else (rows, cols)))
    # The sign makes R's diagonal positive, and only then is Q uniform (Mezzadri 2007).
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q.T) if wide else q


FRAMEWORKS: dict[str, Law] = {"pytorch": pytorch, "keras": keras}
"""By the name under ``init.like``."""
