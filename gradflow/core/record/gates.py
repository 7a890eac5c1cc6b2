"""How far the gates are open, and what the carrousel keeps by them."""

from __future__ import annotations

import numpy as np

from gradflow.core.cells.base import carrousel_of, gates_of
from gradflow.core.engine.observe import Block
from gradflow.core.engine.tape import Keep
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.series import Series, Timeline
from gradflow.core.scaled import Scaled, log10_rms
from gradflow.core.typing import Array

__all__ = ["Gates", "Kept"]

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


class Kept:
    """What the carrousel alone would leave of the error, unit by unit, over the steps on the way.

    With keep_tj = ∂c_tj/∂c_{t−1,j} at fixed gates (see `Carrousel`), over the n steps t after which
    ∂L/∂s_t is not zero, and m_j = |Π_t keep_tj|^(1/n)::

        keep_mean      (1/H) Σ_j m_j
        keep_spread    √((1/H) Σ_j (m_j − mean)²)
        keep_decades   ½ log10 (1/H) Σ_j Π_t keep_tj²

    Where gates differ from unit to unit, the slow units outlive the others: keep_decades is more
    than n log10 keep_mean. All units count alike, as for an error that comes in evenly.

    Parameters
    ----------
    timeline : Timeline
        Whose; all its steps count, recorded or not.

    Raises
    ------
    ValueError
        If no cell has a carrousel.
    """

    needs = Keep.LOCAL
    needs_inputs = False

    def __init__(self, timeline: Timeline) -> None:
        self.timeline, self.net = timeline, timeline.net
        self.cells = {layer: self.net.layers[layer].cell for layer in self.net.where(carrousel_of)}
        self.lengths = sorted(timeline.lengths, reverse=True)
        many, nets, columns = len(self.lengths), timeline.nets, timeline.columns
        self.logs = {
            (layer, direction): np.zeros((many, nets, self.cells[layer].sizes[-1], columns))
            for layer, direction in self.net.places()
            if layer in self.cells
        }
        self.steps = {place: np.zeros((many, nets, 1, columns)) for place in self.logs}

    def block(self, block: Block) -> None:
        """Add the block's steps."""
        swept, place = block.swept, (block.layer, block.direction)
        if place not in self.logs:
            return
        passed = swept.state_squares[..., None, :] > 0
        passed = passed if passed.ndim == 5 else passed[:, None]
        joined = slice(passed.shape[1])
        local = block.tape.local[swept.start : swept.stop]
        each = list(zip(local, passed, strict=True))
        for own, on_the_way in reversed(each):  # one order of summation, however blocks are cut
            with np.errstate(divide="ignore"):
                log = np.log10(np.abs(carrousel_of(block.cell, own).keep))
            self.logs[place][joined] += np.where(on_the_way, log, 0)
            self.steps[place][joined] += on_the_way

    def inputs(self, first: int, dx: Scaled) -> None:
        """Nothing of it depends on ∂L/∂x."""

    def quantities(self, net: int, length: int) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        j, layers = self.lengths.index(length), list(self.cells)
        exists = self.timeline.existing(layers)
        found = np.full((3, *exists.shape, self.timeline.columns), np.nan)
        for (layer, direction), logs in self.logs.items():
            row = layers.index(layer)
            found[:, row, direction] = _kept(logs[j, net], self.steps[layer, direction][j, net])
        gates = [[gate.keeps for gate in cell.memory_gates] for cell in self.cells.values()]
        coords = {
            "layer": np.array(layers),
            "direction": np.array(self.net.directions),
            "gate": np.array([" and ".join(each) for each in gates]),
            "above": np.array([layer + 1 < len(self.net.layers) for layer in layers]),
        } | ({} if exists.all() else {"exists": exists})
        units = {"keep_mean": "1", "keep_spread": "1", "keep_decades": "decades"}
        return {
            name: Quantity(name, ("layer", "direction", "sequence"), values, coords, unit)
            for (name, unit), values in zip(units.items(), found, strict=True)
        }


def _kept(logs: Array, steps: Array) -> tuple[Array, Array, Array]:
    """Mean and spread over units of what a step keeps, and the decades that all steps leave."""
    with np.errstate(under="ignore"):
        kept = 10 ** (logs / np.maximum(steps, 1))
    return kept.mean(axis=-2), kept.std(axis=-2), log10_rms(logs, -2)
