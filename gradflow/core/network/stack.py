"""Stacks and directions: compositions of cells, not cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np

from gradflow.core.cells import Cell, Parameter, State
from gradflow.core.typing import Array, DType, Params

__all__ = ["Layer", "Network", "States", "Weights", "reads", "states_among"]

States: TypeAlias = tuple[tuple[State, ...], ...]
"""States by layer and direction."""

Weights: TypeAlias = tuple[tuple[Params, ...], ...]
"""Parameters by layer and direction; arrays are ``(nets, rows, cols)``."""


T = TypeVar("T")


@dataclass(frozen=True)
class Layer:
    """One storey of a stack: a cell that runs forward, or one for each direction.

    Parameters
    ----------
    cell : Cell
        The cell of each direction.
    bidirectional : bool
        Whether the layer also runs from T to 1; its output is then [h→_t; h←_t] at each time t.

    References
    ----------
    M. Schuster and K. K. Paliwal, Bidirectional recurrent neural networks, IEEE Transactions on
    Signal Processing 45 (1997).
    """

    cell: Cell
    bidirectional: bool = False

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions in order."""
        return ("forward", "backward") if self.bidirectional else ("forward",)

    @property
    def outputs(self) -> int:
        """Features of the layer's output."""
        return self.cell.sizes[0] * len(self.directions)


@dataclass(frozen=True)
class Network:
    """A stack of layers, each with a cell, a size and directions of its own.

    Layer l reads the outputs of layer l − 1.

    Parameters
    ----------
    inputs : int
        Features of the input x_t.
    layers : tuple of Layer
        The stack, bottom up.
    """

    inputs: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.layers:
            raise ValueError("a network has at least one input feature and one layer")

    @classmethod
    def of(cls, cell: Cell, inputs: int, depth: int = 1, bidirectional: bool = False) -> Network:
        """Stack `depth` layers that are all alike."""
        return cls(inputs, (Layer(cell, bidirectional),) * depth)

    def of_cells(self, change: Callable[[Cell], Cell]) -> Network:
        """Return the same stack with other cells of the same sizes."""
        layers = tuple(replace(layer, cell=change(layer.cell)) for layer in self.layers)
        return replace(self, layers=layers)

    @property
    def label(self) -> str:
        """The cells' labels, bottom up; one where all are the same."""
        each = [layer.cell.label for layer in self.layers]
        return each[0] if len(set(each)) == 1 else " → ".join(each)

    @property
    def bidirectional(self) -> bool:
        """Whether any layer also runs backward."""
        return any(layer.bidirectional for layer in self.layers)

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions that any layer has, in order."""
        return max((layer.directions for layer in self.layers), key=len)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a state that any layer has, ``h`` first."""
        return tuple(dict.fromkeys(part for layer in self.layers for part in layer.cell.parts))

    @property
    def most_gates(self) -> int:
        """Gates of the layer that has most."""
        return max(len(layer.cell.gates) for layer in self.layers)

    @property
    def joint(self) -> int:
        """Size of the states of all layers and directions together."""
        return sum(sum(self.layers[layer].cell.sizes) for layer, _ in self.places())

    @property
    def outputs(self) -> int:
        """Features of the top layer's output."""
        return self.layers[-1].outputs

    def having(self, state: str) -> list[int]:
        """Layers whose state has a part; all have ``h``, and ``s``, the state itself."""
        return [k for k, one in enumerate(self.layers) if state in ("s", *one.cell.parts)]

    def where(self, ask: Callable[[Cell], T]) -> dict[int, T]:
        """Put a question to the cell of each layer, one that not all may have an answer to.

        Raises
        ------
        ValueError
            If none has; says why the lowest has not.
        """
        found, refused = {}, []
        for index, layer in enumerate(self.layers):
            try:
                found[index] = ask(layer.cell)
            except ValueError as error:
                refused.append(error)
        if not found:
            raise refused[0]
        return found

    def width(self, part: str) -> int:
        """Features of a part of the top layer's state, of all its directions."""
        top = self.layers[-1]
        return top.cell.sizes[top.cell.parts.index(part)] * len(top.directions)

    def features(self, layer: int) -> int:
        """Features that a layer reads."""
        return self.layers[layer - 1].outputs if layer else self.inputs

    def parameters(self, layer: int) -> dict[str, Parameter]:
        """Shapes of the parameters of one direction of a layer."""
        return self.layers[layer].cell.parameters(self.features(layer))

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
        one = self.layers[layer]
        way = f", {one.directions[direction]}" if one.bidirectional else ""
        return f"{one.cell.label} (layer {layer}{way})"

    def places(self) -> Iterator[tuple[int, int]]:
        """All (layer, direction) pairs, bottom up."""
        for index, layer in enumerate(self.layers):
            for direction in range(len(layer.directions)):
                yield index, direction

    def initial(self, nets: int, columns: int, dtype: DType, given: States | None = None) -> States:
        """State 0 of every layer and direction: zero, or as it is given.

        Parameters
        ----------
        nets, columns : int
            Independent nets and sequences.
        dtype : dtype
            Of the states.
        given : States, optional
            Arrays ``(nets or 1, size, columns or 1)``: 1 where all share them.

        Raises
        ------
        ValueError
            If a given state does not fit.
        """
        found = []
        for layer, direction in self.places():
            sizes = self.layers[layer].cell.sizes
            own = [np.zeros(1)] * len(sizes) if given is None else given[layer][direction]
            found.append(
                [
                    self._filled(part, (nets, size, columns), dtype, (layer, direction))
                    for part, size in zip(own, sizes, strict=True)
                ]
            )
        each = iter(map(tuple, found))
        return tuple(tuple(next(each) for _ in layer.directions) for layer in self.layers)

    def _filled(
        self, part: Array, shape: tuple[int, ...], dtype: DType, place: tuple[int, int]
    ) -> Array:
        try:
            return np.broadcast_to(part, shape).astype(dtype)
        except ValueError:
            raise ValueError(
                f"the initial state of {self.name(*place)} is shaped {part.shape}, expected {shape}"
            ) from None


def states_among(states: States | None, columns: slice) -> States | None:
    """The states of some of the sequences; None, which stands for 0, stays None."""
    return states and tuple(
        tuple(tuple(part[..., columns] for part in state) for state in layer) for layer in states
    )


def reads(direction: int, sequence: Array, own_lengths: Array | None = None) -> Array:
    """Put a sequence (time first) into a direction's own order, or back: an involution.

    Parameters
    ----------
    direction : int
        0 forward, 1 backward.
    sequence : array
        ``(steps, ..., columns)``.
    own_lengths : array of int, optional
        Where each sequence ends, ``(columns,)``: it is turned about its own middle, and what stands
        after its end stays there.
    """
    if not direction or own_lengths is None:
        return sequence[::-1] if direction else sequence
    t = np.arange(len(sequence))[:, None]
    rows = np.where(t < own_lengths, own_lengths - 1 - t, t)
    index = rows.reshape(len(rows), *(1,) * (sequence.ndim - 2), -1)
    return np.take_along_axis(sequence, index, axis=0)
