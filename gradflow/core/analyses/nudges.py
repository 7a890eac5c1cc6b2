"""What sensitivities are taken to: parameters, and nudges to states and inputs at a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradflow.core.analyses.jacobian import Jacobian
from gradflow.core.cells import Cell
from gradflow.core.network.stack import Network
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array, DType

__all__ = ["Sources"]


class Sources:
    """The columns of ∂S_t/∂θ: first the parameters, then nudges in the order of their steps.

    Parameters
    ----------
    net : Network
        A unidirectional network.
    states : sequence of str
        What is nudged: any of ``h``, ``c``, ``s``, ``x``.
    parameters : bool
        Whether the parameters are among the sources.
    """

    def __init__(self, net: Network, states: Sequence[str], parameters: bool) -> None:
        self.net, self.states = net, states
        self.cells = [layer.cell for layer in net.layers]
        self.parameters: dict[tuple[int, str], slice] = {}
        self.nudges: dict[tuple[str, int, int], slice] = {}
        self.count = 0
        if parameters:
            for layer in range(len(net.layers)):
                for name, parameter in net.parameters(layer).items():
                    self.parameters[layer, name] = self._take(int(np.prod(parameter.shape)))

    def names(self, states: Sequence[str]) -> list[str]:
        """Those of the states that any layer has."""
        return [name for name in states if name in ("s", "x", *self.net.parts)]

    def nudge(self, step: int) -> int:
        """Nudge states and input at a step; return how many sources that makes."""
        before = self.count
        for layer, cell in enumerate(self.cells):
            joint = self._take(sum(cell.sizes))
            self.nudges["s", layer, step] = joint
            self.nudges["h", layer, step] = slice(joint.start, joint.start + cell.sizes[0])
            for part, size in zip(cell.parts[1:], cell.sizes[1:], strict=True):
                self.nudges[part, layer, step] = self._take(size)
        if "x" in self.states and step > 0:
            self.nudges["x", 0, step] = self._take(self.net.inputs)
        return self.count - before

    def begin(self, nets: int, columns: int, dtype: DType, *, nudge: bool) -> Scaled:
        """∂S_0/∂θ of all layers: 0 but for nudges to the initial state itself."""
        if nudge:
            self.nudge(0)
        shapes = [(nets, columns, sum(cell.sizes), self.count) for cell in self.cells]
        M = [np.zeros(shape, dtype) for shape in shapes]
        if nudge:
            for layer, (cell, own) in enumerate(zip(self.cells, M, strict=True)):
                own[..., self.nudges["s", layer, 0]] = np.eye(own.shape[2])
                for part, rows in zip(cell.parts[1:], _rows(cell)[1:], strict=True):
                    size = rows.stop - rows.start
                    own[..., rows, self.nudges[part, layer, 0]] = np.eye(size)
        return Scaled(tuple(M), np.zeros((nets, columns, 1, self.count), np.int64))

    def joining(self, layer: int, map_: Jacobian, step: int, nets: int, columns: int) -> Array:
        """∂⁺S_t/∂θ of a layer: what a step adds through its parameters and nudges."""
        D = map_.state.shape[-1]
        out = np.zeros((nets, columns, D, self.count), map_.state.dtype)
        for name, each in map_.parameters.items():
            own = self.parameters[layer, name]
            np.concatenate(each, axis=-1, out=out[..., own])
        if ("s", layer, step) in self.nudges:
            out[..., self.nudges["s", layer, step]] = np.eye(D)
            for part, total in zip(self.cells[layer].parts[1:], map_.totals, strict=True):
                out[..., self.nudges[part, layer, step]] = total
        if layer == 0 and ("x", 0, step) in self.nudges:
            out[..., self.nudges["x", 0, step]] = map_.x
        return out

    def _take(self, width: int) -> slice:
        self.count += width
        return slice(self.count - width, self.count)


def _rows(cell: Cell) -> list[slice]:
    """Where each part stands in the joint state."""
    ends = np.cumsum(cell.sizes)
    return [slice(end - size, end) for size, end in zip(cell.sizes, ends, strict=True)]
