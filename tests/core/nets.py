"""Nets whose slopes are held against theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradflow.core.cells import Cell
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.initialise import Init, draw_parameters
from gradflow.core.network.losses import Probe
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record import Norms, Timeline

Array = np.ndarray[Any, Any]


def weights_of(cell: Cell, init: Init, nets: int) -> Weights:
    each = [draw_parameters(cell, 1, init, seed, 0, "forward") for seed in range(nets)]
    return (({name: np.stack([p[name] for p in each]) for name in each[0]},),)


def curves(cell: Cell, weights: Weights, x: Array) -> Array:
    """log10‖∂L/∂s_k‖ for k = 0..T, ``(nets, T + 1)``, of the first sequence."""
    net, T = Network.of(cell, 1), len(x)
    nets = len(weights[0][0]["U"])
    rng = np.random.default_rng(1)
    v = rng.standard_normal((nets, cell.sizes[0], 1))
    loss = Probe(v / np.linalg.norm(v, axis=1, keepdims=True))
    norms = Norms(Timeline(net, loss, [T], nets, 1), ["s"])
    backpropagate(net, weights, x, loss, [T], [norms], Schedule(32))
    return np.stack([norms.quantities(n, T)["s"].values[0, 0, 0] for n in range(nets)])


def measured(cell: Cell, weights: Weights, x: Array, settle: int = 50) -> tuple[float, float]:
    """The slope per step back, its mean over nets and that mean's standard error."""
    curve = curves(cell, weights, x)
    each = (curve[:, settle] - curve[:, -1 - settle]) / (curve.shape[1] - 1 - 2 * settle)
    return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each)))


def first_of(weights: Weights) -> dict[str, Array]:
    return {name: a[:1] for name, a in weights[0][0].items()}


def noise(steps: int) -> Array:
    return np.random.default_rng(0).standard_normal((steps, 1, 1, 1))


def kicked(steps: int) -> Array:
    x = np.zeros((steps, 1, 1, 1))
    x[0] = 1
    return x
