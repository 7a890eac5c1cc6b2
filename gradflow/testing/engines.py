"""The two exact engines against each other: backpropagation through time, and RTRL."""

from __future__ import annotations

import math

import numpy as np

from gradflow.core.analyses.rtrl import rtrl
from gradflow.core.cells import Cell
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.record import Gradients, Norms, Timeline
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["rtrl_error"]

INPUTS, STEPS, LAYERS, COLUMNS = 2, 12, 2, 2
STATES = ("h", "c", "s", "x")


def rtrl_error(cell: Cell) -> float:
    """Largest relative difference of a norm or a parameter's gradient, on a stack of the cell."""
    rng = np.random.default_rng(0)
    net = Network.of(cell, INPUTS, LAYERS)
    weights = tuple(
        (
            {
                name: rng.standard_normal((1, *spec.shape)) / math.sqrt(spec.cols)
                for name, spec in net.parameters(layer).items()
            },
        )
        for layer in range(LAYERS)
    )
    x = rng.standard_normal((STEPS, 1, INPUTS, COLUMNS))
    loss = Loss("probe", "all", rng.standard_normal((1, net.outputs, COLUMNS)))
    timeline = Timeline(net, loss, [STEPS], 1, COLUMNS)
    gradients, norms = Gradients(net), Norms(timeline, STATES)
    backpropagate(net, weights, x, loss, [STEPS], [gradients, norms], Schedule(5))
    forward = rtrl(net, weights, x, loss, STEPS, states=STATES)
    series = forward.quantities(0, STEPS)
    errors = [
        _norms(quantity.values, series[name].values)
        for name, quantity in norms.quantities(0, STEPS).items()
    ]
    errors += [_vectors(gradients.sums[at], wanted) for at, wanted in forward.gradients.items()]
    return float(np.max(errors))


def _norms(got: Array, want: Array) -> float:
    """Of log10 norms, where two exact zeros are the same."""
    same = got == want
    gap = np.subtract(got, want, where=~same, out=np.zeros_like(got))
    return float(np.abs(np.expm1(gap * math.log(10))).max())


def _vectors(got: Scaled, want: Scaled) -> float:
    a, b = got.plain, want.plain
    size = float(np.linalg.norm(b))
    gap = float(np.linalg.norm(a - b))
    return gap / size if size else gap
