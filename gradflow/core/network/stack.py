"""Stacks and directions: compositions of cells, not cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradflow.core.cells import Cell, Parameter, State
from gradflow.core.typing import Array, DType, Params

__all__ = ["Network", "Weights", "reads"]

Weights: TypeAlias = tuple[tuple[Params, ...], ...]
"""Parameters by layer and direction; arrays are ``(nets, rows, cols)``."""


@dataclass(frozen=True)
class Network:
    """A stack of layers of one cell, each running forward or in both directions.

    Layer l reads the outputs of layer l − 1; with both directions, [h→_t; h←_t] at the same time t.

    Parameters
    ----------
    cell : Cell
        The cell of every layer and direction.
    inputs : int
        Features of the input x_t.
    layers : int
        Depth of the stack.
    bidirectional : bool
        Whether each layer also runs from T to 1.

    References
    ----------
    M. Schuster and K. K. Paliwal, Bidirectional recurrent neural networks, IEEE Transactions on
    Signal Processing 45 (1997).
    """

    cell: Cell
    inputs: int
    layers: int = 1
    bidirectional: bool = False

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.layers < 1:
            raise ValueError("a network has at least one input feature and one layer")

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions in order."""
        return ("forward", "backward") if self.bidirectional else ("forward",)

    @property
    def outputs(self) -> int:
        """Features of each layer's output."""
        return self.cell.hidden * len(self.directions)

    def features(self, layer: int) -> int:
        """Features that a layer reads."""
        return self.inputs if layer == 0 else self.outputs

    def parameters(self, layer: int) -> dict[str, Parameter]:
        """Shapes of the parameters of one direction of a layer."""
        return self.cell.parameters(self.features(layer))

    @property
    def size(self) -> int:
        """Number of parameters of all layers and directions."""
        return sum(
            math.prod(parameter.shape)
            for layer, _ in self.places()
            for parameter in self.parameters(layer).values()
        )

    def name(self, layer: int, direction: int) -> str:
        """Name a layer and direction in a message."""
        way = f", {self.directions[direction]}" if self.bidirectional else ""
        return f"{self.cell.label} (layer {layer}{way})"

    def places(self) -> Iterator[tuple[int, int]]:
        """All (layer, direction) pairs, bottom up."""
        for layer in range(self.layers):
            for direction in range(len(self.directions)):
                yield layer, direction

    def initial(self, nets: int, columns: int, dtype: DType) -> tuple[tuple[State, ...], ...]:
        """State 0 of every layer and direction."""
        shape = (nets, self.cell.hidden, columns)
        return tuple(
            tuple(tuple(np.zeros(shape, dtype) for _ in self.cell.parts) for _ in self.directions)
            for _ in range(self.layers)
        )


def reads(direction: int, sequence: Array) -> Array:
    """Put a sequence (time first) into a direction's own order, or back: an involution."""
    return sequence[::-1] if direction else sequence
