"""What sensitivities are taken to: parameters, and nudges to states and inputs at a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradflow.core.analyses.jacobian import Jacobian
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
        self.parameters: dict[tuple[int, str], slice] = {}
        self.nudges: dict[tuple[str, int, int], slice] = {}
        self.count = 0
        if parameters:
            for layer in range(net.layers):
                for name, parameter in net.parameters(layer).items():
                    self.parameters[layer, name] = self._take(int(np.prod(parameter.shape)))

    def names(self, states: Sequence[str]) -> list[str]:
        """Those of the states that the cell has."""
        return [name for name in states if name in ("s", "x", *self.net.cell.parts)]

    def nudge(self, step: int) -> int:
        """Nudge states and input at a step; return how many sources that makes."""
        cell, before = self.net.cell, self.count
        for layer in range(self.net.layers):
            joint = self._take(len(cell.parts) * cell.hidden)
            self.nudges["s", layer, step] = joint
            self.nudges["h", layer, step] = slice(joint.start, joint.start + cell.hidden)
            for part in cell.parts[1:]:
                self.nudges[part, layer, step] = self._take(cell.hidden)
        if "x" in self.states and step > 0:
            self.nudges["x", 0, step] = self._take(self.net.inputs)
        return self.count - before

    def begin(self, nets: int, columns: int, dtype: DType, *, nudge: bool) -> Scaled:
        """∂S_0/∂θ of all layers: 0 but for nudges to the initial state itself."""
        if nudge:
            self.nudge(0)
        cell = self.net.cell
        D = len(cell.parts) * cell.hidden
        M = [np.zeros((nets, columns, D, self.count), dtype) for _ in range(self.net.layers)]
        if nudge:
            for layer, own in enumerate(M):
                own[..., self.nudges["s", layer, 0]] = np.eye(D)
                for index, part in enumerate(cell.parts[1:], start=1):
                    rows = slice(index * cell.hidden, (index + 1) * cell.hidden)
                    own[..., rows, self.nudges[part, layer, 0]] = np.eye(cell.hidden)
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
            for part, total in zip(self.net.cell.parts[1:], map_.totals, strict=True):
                out[..., self.nudges[part, layer, step]] = total
        if layer == 0 and ("x", 0, step) in self.nudges:
            out[..., self.nudges["x", 0, step]] = map_.x
        return out

    def _take(self, width: int) -> slice:
        self.count += width
        return slice(self.count - width, self.count)
