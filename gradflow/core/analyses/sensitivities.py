"""One step's exact derivatives as matrices, and what sensitivities are taken to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.cells import Cell, State, Summand
from gradflow.core.engine.tape import Taken
from gradflow.core.network.stack import Network
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array, DType, Params

__all__ = ["Jacobian", "Sources", "jacobian"]


@dataclass(frozen=True)
class Jacobian:
    """Derivatives of a step's next state, all its parts in one: D rows.

    Parameters
    ----------
    state : array
        ∂s_t/∂s_{t−1}, ``(nets, columns, D, D)``.
    x : array
        ∂s_t/∂x_t, ``(nets, columns, D, inputs)``.
    totals : tuple of array
        For each part after ``h``, ∂s_t/∂ of that part of s_t where other parts of the same step
        depend on it (for an LSTM h_t on c_t), ``(nets, columns, D, hidden)``.
    parameters : dict of str to list of array
        ∂s_t/∂θ for each row block of each parameter: ``(nets, columns, D, rows · cols)``.
    """

    state: Array
    x: Array
    totals: tuple[Array, ...]
    parameters: dict[str, list[Array]]


def jacobian(cell: Cell, p: Params, taken: Taken, *, parameters: bool = True) -> Jacobian:
    """Transpose `Cell.step_vjp`: a unit cotangent for each component of s_t gives a row.

    O(D · gates · H²) operations for each column, one call of `step_vjp` in all.
    """
    local = cell.linearise(p, taken.cache)
    units = _units(taken.after)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        before, da, totals = cell.step_vjp(p, local, units)
        dx = cell.drive_vjp(p, da)
        found = {}
        if parameters:
            summands = cell.summands(p, taken.cache, da, taken.before, taken.after, taken.x)
            found = {name: [_block(summand) for summand in each] for name, each in summands.items()}
    state = _rows(np.concatenate(before, axis=-2))
    return Jacobian(state, _rows(dx), tuple(_rows(total) for total in totals), found)


def _units(state: State) -> State:
    """Unit vectors of the joint state, by part: ``(D, nets, hidden, columns)``."""
    ends = np.cumsum([part.shape[1] for part in state])
    eye = np.eye(ends[-1], dtype=state[0].dtype)[:, None, :, None]
    each = np.split(eye, ends[:-1], axis=2)
    return tuple(
        np.broadcast_to(own, (len(eye), *part.shape)) for own, part in zip(each, state, strict=True)
    )


def _rows(a: Array) -> Array:
    """(D, nets, features, columns) → (nets, columns, D, features)."""
    return np.ascontiguousarray(a.transpose(1, 3, 0, 2))


def _block(summand: Summand) -> Array:
    """left ⊗ right of each unit cotangent, flattened: ``(nets, columns, D, rows · cols)``."""
    _, form, left, right = summand
    if right is not None and form == "outer":
        each = left[:, :, :, None] * right[:, None]
    else:
        each = (left if right is None else left * right)[:, :, :, None]
    D, nets, rows, cols, columns = each.shape
    flat: Array = each.transpose(1, 4, 0, 2, 3).reshape(nets, columns, D, rows * cols)
    return flat


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
                for part, rows in zip(cell.parts[1:], _places(cell)[1:], strict=True):
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


def _places(cell: Cell) -> list[slice]:
    """Where each part stands in the joint state."""
    ends = np.cumsum(cell.sizes)
    return [slice(end - size, end) for size, end in zip(cell.sizes, ends, strict=True)]
