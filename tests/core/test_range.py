"""No number is lost to range: steps that lose or gain hundreds of decades, parts far apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe
from gradflow.core.network.stack import Network
from tests.flow import norms, unit

Array = np.ndarray[Any, Any]

BLOCKS = pytest.mark.parametrize("block", [1, 3, 64])


def scalar_linear(U: float, W: float, steps: int, block: int, at: Any = "last") -> dict[str, Array]:
    net = Network.of(cells.get("rnn")(1, activation="identity", bias=False), 1)
    weights = (({"U": np.full((1, 1, 1), U), "W": np.full((1, 1, 1), W)},),)
    x = np.zeros((steps, 1, 1, 1))
    loss = Probe(np.ones((1, 1, 1)), at=at)
    return norms(net, weights, x, loss, schedule=Schedule(block))


@BLOCKS
@pytest.mark.parametrize("W", [1e-300, 1e-170, 1e-90, 1e90, 1e160, 1e300])
def test_a_step_of_hundreds_of_decades(W: float, block: int):
    steps = 6
    h = scalar_linear(1.0, W, steps, block)["h"][0, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(h, lag * np.log10(W), rtol=1e-14, atol=1e-12)


@BLOCKS
@pytest.mark.parametrize("U", [1e-300, 1.2345e-161, 1e-155, 1e155, 1e300])
def test_input_weights_far_from_one(U: float, block: int):
    x = scalar_linear(U, 0.5, 5, block)["x"][0, 0, 0, 0]
    lag = 5 - np.arange(1, 6)
    np.testing.assert_allclose(x, np.log10(U) - lag * np.log10(2), rtol=1e-14, atol=1e-12)


@BLOCKS
def test_losses_far_apart_in_size(block: int):
    """Each step shrinks by 1e-200 what came before, and the loss joins anew at steps 2 and 5."""
    h = scalar_linear(1.0, 1e-200, 6, block, at=(2, 5))["h"][0, 0, 0, 0]
    wanted = [-400.0, -200.0, 0.0, -400.0, -200.0, 0.0, -np.inf]
    np.testing.assert_allclose(h, wanted, rtol=1e-14, atol=1e-12)


def saturated(drive: list[float], activation: str, block: int) -> tuple[Array, Array]:
    """A unit without recurrence but for W = 1, and log10 of the product of its slopes."""
    net = Network.of(cells.get("rnn")(1, activation=activation, bias=False), 1)
    one = np.ones((1, 1, 1))
    x = np.array(drive).reshape(-1, 1, 1, 1)
    h = norms(net, (({"U": one, "W": one},),), x, schedule=Schedule(block))["h"][0, 0, 0, 0]
    s, logs = 0.0, []
    for u in drive:
        a = u + s
        s = np.tanh(a) if activation == "tanh" else np.exp(-np.logaddexp(0, -a))
        two = 2 if activation == "tanh" else 1
        slope = -two * abs(a) - 2 * np.log1p(np.exp(-two * abs(a))) + np.log(two**2)
        logs.append(slope / np.log(10))
    return h, np.append(np.cumsum(logs[::-1])[::-1], 0)


@BLOCKS
@pytest.mark.parametrize(
    "drive",
    [[-5.0, -30.0, -80.0], [-700.0] * 5, [-700.0, -300.0, -700.0, -60.0, -60.0], [-700.0, -60.0]],
    ids=str,
)
def test_a_sigmoid_far_below_zero(drive: list[float], block: int):
    """σ′ = e^−|a| there, down to 1e-304 in a single step."""
    h, wanted = saturated(drive, "sigmoid", block)
    np.testing.assert_allclose(h, wanted, rtol=1e-12)


@BLOCKS
def test_an_lstm_whose_forget_gates_are_shut(block: int):
    steps, b = 6, -700.0
    cell = cells.get("lstm")(2)
    net = Network.of(cell, 1)
    layout = cell.parameters(1)
    p = {name: np.zeros((1, *spec.shape)) for name, spec in layout.items()}
    rows = layout["b"].blocks.index("f") * 2 + np.arange(2)
    p["b"][:, rows] = b
    x = np.zeros((steps, 1, 1, 1))
    c = norms(net, ((p,),), x, unit(net, 1, 1), schedule=Schedule(block))["c"][0, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(c - c[-1], lag * b * np.log10(np.e), rtol=1e-12, atol=1e-12)


@BLOCKS
@pytest.mark.parametrize("W", [1e-155, 1e-161, 1e-170, 1e-300])
def test_parts_of_a_state_far_apart(W: float, block: int):
    """∂L/∂h_k is W times what ∂L/∂c_{k+1} is: its logarithm follows, with no digits lost."""
    cell = cells.get("lstm")(1)
    net, rng = Network.of(cell, 1), np.random.default_rng(0)
    p = {name: rng.normal(size=(1, *spec.shape)) for name, spec in cell.parameters(1).items()}
    x = rng.normal(size=(6, 1, 1, 1))
    direction = rng.normal(size=p["W"].shape)
    runs = [
        norms(net, (({**p, "W": size * direction},),), x, schedule=Schedule(block))["h"]
        for size in (1e-100, W)
    ]
    shift = np.log10(W) + 100
    np.testing.assert_allclose(runs[1][..., :-1], runs[0][..., :-1] + shift, rtol=1e-13, atol=1e-12)
