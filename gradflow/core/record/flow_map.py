"""The flow map: the derivative of every step's loss by every step's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.norms import Norms
from gradflow.core.record.series import Timeline, recorded_steps
from gradflow.core.scaled import Scaled

__all__ = ["FlowMap"]

AXES = ("layer", "direction", "sequence", "loss_step", "step")


class FlowMap:
    """log10 ‖∂ℓ_t/∂h_k‖, and so on, for all loss steps t and steps k at once.

    The losses ℓ_t of one unrolling go back side by side, as lengths do: run `backpropagate` with
    `lengths` and `at` of this observer. Of a unidirectional net ℓ_t knows nothing of k > t, and the
    map is −inf there; a bidirectional net's is not.

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
        self.lengths = [length if self.net.bidirectional else t for t in self.at]
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
            axes = ("layer", "direction", "step", "exists")
            coords = {axis: whole.coords[axis] for axis in axes if axis in whole.coords}
            coords["loss_step"] = np.array(self.at)
            *places, steps = whole.values.shape
            values = np.full((*places, len(self.at), steps), -np.inf)
            values[~series.exists] = np.nan
            for j, each in enumerate(series.values):
                values[..., j, : each.shape[-1]] = each[net]
            result[f"flow.{name}"] = Quantity(f"flow.{name}", AXES, values, coords)
        return result
