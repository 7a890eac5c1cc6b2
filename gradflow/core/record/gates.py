"""How far the gates are open."""

from __future__ import annotations

import numpy as np

from gradflow.core.cells.base import gates_of
from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.quantity import Result
from gradflow.core.record.series import Series, Timeline
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Gates"]

_SHUT, _OPEN = 0.1, 0.9


class Gates:
    """Mean, spread and saturated share of every gate over the units, at each recorded step.

    ::

        gate_mean        (1/H) Σ_j γ_j             γ one of f, i, o, z, r
        gate_spread      √((1/H) Σ_j (γ_j − mean)²)
        gate_saturated   share of units with γ_j < 0.1 or γ_j > 0.9

    They are read from what the forward pass has left for the way back, so they stand beside the
    norms at no cost but their own. The steps are 1..T: at step 0 no gate has opened yet.

    Parameters
    ----------
    timeline : Timeline
        Whose, and at which steps; all lengths share gates as they share the forward pass.

    Raises
    ------
    ValueError
        If no cell has gates.

    References
    ----------
    A. Karpathy, J. Johnson and L. Fei-Fei, Visualizing and understanding recurrent networks, ICLR
    2016 workshop (arXiv 2015), section 4.2: saturated is "less than 0.1 or more than 0.9".
    """

    needs = Keep.CACHES
    needs_inputs = False

    def __init__(self, timeline: Timeline) -> None:
        self.gates = timeline.net.where(gates_of)
        layers, gates = list(self.gates), list(self.gates.values())
        self.series = [
            Series(timeline, name, "1", layers=layers, gates=gates, first=1)
            for name in ("gate_mean", "gate_spread", "gate_saturated")
        ]

    def block(self, block: Block) -> None:
        """Read the gates of the block's steps."""
        if block.layer not in self.gates:
            return
        caches = block.tape.caches[block.swept.start : block.swept.stop]
        opened = [block.cell.open_gates(cache) for cache in caches]
        for gate in self.gates[block.layer]:
            each = [_statistics(gates[gate]) for gates in opened]
            for series, values in zip(self.series, zip(*each, strict=True), strict=True):
                place = (block.layer, block.direction, series.gates.index(gate))
                series.put(place, block.first + 1, np.stack(values))

    def inputs(self, first: int, dx: Scaled) -> None:
        """Gates do not depend on ∂L/∂x."""

    def quantities(self, net: int, length: int) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        return {series.name: series.quantity(net, length) for series in self.series}


def _statistics(gate: Array) -> tuple[Array, Array, Array]:
    """Mean, standard deviation and saturated share over units."""
    saturated = (gate < _SHUT) | (gate > _OPEN)
    return gate.mean(axis=-2), gate.std(axis=-2), saturated.mean(axis=-2)
