"""The norms of the state's and the input's derivatives along time, of all losses or of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.squares import log10_norms, square_norms
from gradflow.core.engine.tape import Keep
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.series import Series, Timeline, recorded_steps
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["FlowMap", "Norms", "norm_series"]

Arrays: TypeAlias = Callable[[], list[Array]]
"""The arrays that norms are of, made only if they are needed again."""


class Norms:
    """log10 of ‖∂L/∂h_k‖, ‖∂L/∂c_k‖, ‖∂L/∂s_k‖ and ‖∂L/∂x_k‖ at the recorded steps.

    Parameters
    ----------
    timeline : Timeline
        Whose, and at which steps.
    states : sequence of str
        Any of ``h``, ``c``, ``s``, ``x``; ``c`` is passed over where no cell has it.
    """

    needs = Keep.NOTHING

    def __init__(self, timeline: Timeline, states: Sequence[str]) -> None:
        net = timeline.net
        names = [n for n in states if n in ("h", "s", "x") or n in net.parts]
        self.needs_inputs = "x" in names
        self.series = {name: norm_series(timeline, name) for name in names}

    def block(self, block: Block) -> None:
        """Record the states after the block's steps, and state 0 where the block starts there."""
        exponent, place = block.swept.exponent, (block.layer, block.direction)
        known: dict[str, Array] = {}
        for name, series in self.series.items():
            if name not in ("s", *block.cell.parts):
                continue
            same = "h" if block.cell.parts == ("h",) else name  # s is h there
            if same not in known:
                known[same] = _logs(_series(name, block), exponent)
            series.put(place, block.first + 1, known[same])
            if block.first == 0:
                series.put(place, 0, _logs(_origin(name, block), exponent))

    def inputs(self, first: int, dx: Scaled) -> None:
        """Record ∂L/∂x."""
        if self.needs_inputs:
            each = list(dx.values)
            logs = _logs((square_norms(each), lambda: each), dx.exponent)
            self.series["x"].put((0, 0), first + 1, logs)

    def quantities(self, net: int, length: int) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        return {name: series.quantity(net, length) for name, series in self.series.items()}


def norm_series(timeline: Timeline, name: str) -> Series:
    """Make the series of a norm of ``h``, ``s``, another part of the state, or ``x``."""
    net = timeline.net
    if name == "x":
        return Series(timeline, name, first=1, inputs=True, entries=[net.inputs])
    layers = net.having(name)
    cells = [net.layers[layer].cell for layer in layers]
    entries = [
        sum(cell.sizes) if name == "s" else cell.sizes[cell.parts.index(name)] for cell in cells
    ]
    return Series(timeline, name, layers=layers, entries=entries)


def _logs(found: tuple[Array, Arrays], exponent: Array) -> Array:
    squares, arrays = found
    return log10_norms(squares, exponent, arrays)


def _origin(name: str, block: Block) -> tuple[Array, Arrays]:
    """The same of step 0, where a part's total derivative is what it carries."""
    before = block.swept.before
    parts = before if name == "s" else before[block.cell.parts.index(name) :][:1]
    array = np.concatenate(parts, axis=-2)
    return square_norms([array]), lambda: [array]


def _series(name: str, block: Block) -> tuple[Array, Arrays]:
    """Square norms of a quantity after each step of a block, and the arrays themselves."""
    swept, parts = block.swept, block.cell.parts
    if name == "s":
        return swept.state_squares, lambda: [np.concatenate(s, axis=-2) for s in swept.dstates]
    which = parts.index(name)
    if name == "h":
        return swept.squares[which], lambda: [state[which] for state in swept.dstates]
    return swept.total_squares[which - 1], lambda: [total[which - 1] for total in swept.totals]


AXES = ("layer", "direction", "sequence", "loss_step", "step")


class FlowMap:
    """log10 ‖∂ℓ_t/∂h_k‖, and so on, for all loss steps t and steps k at once.

    The losses ℓ_t of one unrolling go back side by side, as lengths do: run `backpropagate` with
    `lengths` and `at` of this observer. Of a unidirectional net ℓ_t knows nothing of k > t, and the
    map is −inf there; a bidirectional net's is not. It is NaN where t or k comes after the end of a
    sequence that has a length of its own.

    Parameters
    ----------
    timeline : Timeline
        Whose, of one length, and at which loss steps and steps; where its loss stands has no say.
    states : sequence of str
        Any of ``h``, ``c``, ``s``, ``x``.
    """

    needs = Keep.NOTHING

    def __init__(self, timeline: Timeline, states: Sequence[str]) -> None:
        self.net = timeline.net
        (length,) = timeline.lengths
        steps = recorded_steps(length, timeline.every)
        self.at = [int(t) for t in steps[steps > 0][::-1]]
        self._own = timeline.own_lengths
        whole = self.net.bidirectional or self._own is not None
        self.lengths = [length if whole else t for t in self.at]
        self._norms = Norms(replace(timeline, lengths=self.lengths, grid=steps), states)
        self.needs_inputs = self._norms.needs_inputs

    def block(self, block: Block) -> None:
        """Record a block."""
        self._norms.block(block)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Record ∂ℓ_t/∂x."""
        self._norms.inputs(first, dx)

    def quantities(self, net: int, length: int) -> Result:
        """One map for each state, named ``flow.h`` and so on; a column is one loss step's run."""
        result: Result = {}
        for name, series in self._norms.series.items():
            whole = series.quantity(net, length)
            axes = ("layer", "direction", "step", "exists", "length")
            coords = {axis: whole.coords[axis] for axis in axes if axis in whole.coords}
            coords["loss_step"] = np.array(self.at)
            *places, steps = whole.values.shape
            values = np.full((*places, len(self.at), steps), -np.inf)
            values[~series.exists] = np.nan
            for j, each in enumerate(series.values):
                values[..., j, : each.shape[-1]] = each[net]
            if self._own is not None:
                ended = np.array(self.at) > self._own[:, None]
                values[np.broadcast_to(ended[..., None], values.shape)] = np.nan
            result[f"flow.{name}"] = Quantity(f"flow.{name}", AXES, values, coords)
        return result
