"""The flow map: the derivative of every step's loss by every step's state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.norms import Norms
from gradflow.core.record.track import Every, existing, recorded_steps
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
    net : Network
        The network that is observed.
    length : int
        Steps T.
    nets, columns : int
        How many independent nets and sequences there are.
    states : sequence of str
        Any of ``h``, ``c``, ``s``, ``x``.
    every : int or "log"
        Which loss steps and steps.
    """

    needs = Keep.NOTHING

    def __init__(
        self,
        net: Network,
        length: int,
        nets: int,
        columns: int,
        states: Sequence[str],
        every: Every = 1,
    ) -> None:
        self.net, self.length = net, length
        steps = recorded_steps(length, every)
        self.at = [int(t) for t in steps[steps > 0][::-1]]
        self.lengths = [length if net.bidirectional else t for t in self.at]
        self._norms = Norms(net, self.lengths, nets, columns, states, every)
        self.needs_inputs = self._norms.needs_inputs
        for tracks in self._norms.tracks.values():
            for track in tracks:
                first = 1 if track.steps[0] > 0 else 0
                track.steps = steps[(steps >= first) & (steps <= track.steps[-1])]
                shape = (*track.values.shape[:-1], len(track.steps))
                track.values = np.full(shape, -np.inf)

    def block(self, block: Block) -> None:
        """Record a block."""
        self._norms.block(block)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Record ∂ℓ_t/∂x."""
        self._norms.inputs(first, dx)

    def quantities(self, net: int, length: int, loss: Loss) -> Result:
        """One map for each state, named ``flow.h`` and so on; a column is one loss step's run."""
        result: Result = {}
        for name, tracks in self._norms.tracks.items():
            steps = tracks[0].steps
            shape = (*tracks[0].values.shape[1:-1], len(self.at), len(steps))
            values = np.full(shape, -np.inf)
            for j, track in enumerate(tracks):
                values[..., j, : len(track.steps)] = track.values[net]
            layers, both = self._norms.layers[name], name == "x" and self.net.bidirectional
            coords = {
                "layer": np.array(layers),
                "direction": np.array(("both",) if both else self.net.directions),
                "loss_step": np.array(self.at),
                "step": steps,
            }
            exists = existing(self.net, layers)
            if name != "x" and not exists.all():
                coords["exists"] = exists
                values[~exists] = np.nan
            result[f"flow.{name}"] = Quantity(f"flow.{name}", AXES, values, coords)
        return result
