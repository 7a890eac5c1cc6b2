"""Predictions: closed forms, published numbers, and what the engine measures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradflow.core.bptt import backpropagate
from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.initialise import Chrono, Init, draw
from gradflow.core.losses import Loss
from gradflow.core.network import Network, Weights
from gradflow.core.record import Norms
from gradflow.core.schedule import Schedule
from gradflow.core.spectrum import lyapunov
from gradflow.core.theory import (
    at_rest,
    carrousel_rate,
    chrono_decay,
    chrono_rate,
    norm_bound,
    population_rate,
    radius_rate,
    rnn_chi,
)
from gradflow.core.theory.weights import gains

Array = np.ndarray[Any, Any]
LN10 = math.log(10)


def weights_of(cell: Cell, init: Init, nets: int) -> Weights:
    net = Network(cell, 1)
    each = [draw(net.parameters(0), init, seed, 0, "forward") for seed in range(nets)]
    return (({name: np.stack([p[name] for p in each]) for name in each[0]},),)


def curves(cell: Cell, weights: Weights, x: Array) -> Array:
    """log10‖∂L/∂s_k‖ for k = 0..T, ``(nets, T + 1)``, of the first sequence."""
    net, T = Network(cell, 1), len(x)
    nets = len(weights[0][0]["U"])
    rng = np.random.default_rng(1)
    v = rng.standard_normal((nets, cell.hidden, 1))
    loss = Loss("probe", "last", v / np.linalg.norm(v, axis=1, keepdims=True))
    norms = Norms(net, [T], nets, 1, ["s"])
    backpropagate(net, weights, x, loss, [T], [norms], Schedule(32))
    return np.stack([norms.quantities(n, T, loss)["s"].values[0, 0, 0] for n in range(nets)])


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


# Bounds


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "identity"])
@pytest.mark.parametrize("gain", [0.5, 2.0, 5.0])
def test_no_measured_step_is_above_the_norm_bound(activation: Any, gain: float) -> None:
    cell = RNN(10, activation=activation)
    weights = weights_of(cell, Init(recurrent="normal", recurrent_gain=gain, input_gain=0.1), 2)
    curve = curves(cell, weights, noise(40))
    for net, W in enumerate(weights[0][0]["W"]):
        bound = norm_bound(W, activation)
        assert bound.kind == "upper bound"
        assert bound.applies
        assert np.all(curve[net, :-1] - curve[net, 1:] <= bound.rate + 1e-12)


def test_sigmoid_units_vanish_below_a_norm_of_four() -> None:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    assert norm_bound(3.99 * Q, "sigmoid").rate < 0
    assert norm_bound(4 * Q, "sigmoid").rate == pytest.approx(0, abs=1e-14)
    assert "does not forbid" in norm_bound(4.01 * Q, "sigmoid").note
    assert norm_bound(np.zeros((2, 2))).rate == -math.inf


def test_the_spectral_radius_rules_a_linear_net_and_no_other() -> None:
    W = np.array([[0.9, 5.0], [0.0, 0.5]])  # ‖W‖ ≈ 5 although ρ = 0.9
    cell = RNN(2, activation="identity")
    weights = weights_of(cell, Init(), 1)
    weights[0][0]["W"][0] = W
    curve = curves(cell, weights, noise(200))[0]
    found = radius_rate(W, "identity")
    assert found.applies
    assert (curve[0] - curve[100]) / 100 == pytest.approx(found.rate, rel=1e-9)
    assert radius_rate(W, "tanh", slope=0.99).applies
    assert not radius_rate(W, "tanh").applies
    assert "0.4" in radius_rate(W, "tanh", slope=0.4).note
    assert norm_bound(W).rate > 0.5


# The carrousel and chrono


def test_a_constant_forget_gate_is_known_exactly() -> None:
    """Zero weights, T = 100: b_f = 0 gives 7.889e-31 and b_f = 1 gives 2.484e-14."""
    for bias, wanted in ((0.0, 7.889e-31), (1.0, 2.484e-14)):
        kept = np.full(100, 1 / (1 + math.exp(-bias)))
        assert 10 ** (100 * carrousel_rate(kept).rate) == pytest.approx(wanted, rel=1e-3)
    assert carrousel_rate(np.array([0.5, 0.0])).rate == -math.inf
    for wrong in (np.array([0.5, 1.5]), np.array([])):
        with pytest.raises(ValueError, match=r"0\.\.1"):
            carrousel_rate(wrong)


def test_chrono_forgets_in_its_time() -> None:
    assert 10 ** (1000 * chrono_rate(1000).rate) == pytest.approx((1 - 1 / 1000) ** 1000)
    for call in (lambda: chrono_rate(1), lambda: chrono_decay(1, np.arange(3))):
        with pytest.raises(ValueError, match="at least 2"):
            call()


def test_chrono_decays_as_its_units_do_without_recurrent_weights() -> None:
    H, T, t_max = 4000, 300, 100
    bias = {"b": LSTM(H).parameters(1)["b"]}
    b = draw(bias, Init(forget_bias=Chrono(t_max)), 0, 0, "forward")["b"]
    f = 1 / (1 + np.exp(-b[H : 2 * H, 0]))
    lags = np.array([0, 1, 10, 100, T])
    each = f[:, None] ** (2 * lags)
    error = each.std(axis=0) / math.sqrt(H) / each.mean(axis=0) / (2 * LN10)
    off = chrono_decay(t_max, lags) - 0.5 * np.log10(each.mean(axis=0))
    assert np.all(np.abs(off) <= 4 * error + 1e-12)
    slope = np.diff(chrono_decay(t_max, np.array([10**6, 10**6 + 1])))[0]
    assert slope == pytest.approx(chrono_rate(t_max).rate, rel=1e-2)


# Mean field of the vanilla net


@pytest.mark.parametrize(("gain", "exponent"), [(1.5, 0.0652), (2.0, 0.1547)])
def test_published_exponents_of_random_tanh_nets(gain: float, exponent: float) -> None:
    found = rnn_chi(gain)
    assert found.rate * LN10 == pytest.approx(exponent, abs=5e-5)
    assert found.applies
    assert "chaotic" in found.note


def test_the_limits_of_mean_field_are_exact() -> None:
    assert rnn_chi(0.9).rate == pytest.approx(math.log10(0.9), rel=1e-12)
    assert rnn_chi(1.0).rate == pytest.approx(0, abs=1e-9)
    assert rnn_chi(0.7, activation="identity").rate == pytest.approx(math.log10(0.7), rel=1e-12)
    relu = rnn_chi(1.2, activation="relu", drive_variance=1.0)
    assert relu.rate == pytest.approx(0.5 * math.log10(1.2**2 / 2), rel=1e-12)
    # q = v / (1 − g²/2), and what f does to half of it
    assert f"q = {1 / (1 - 0.72):.4g}" in relu.note
    assert rnn_chi(0.0).rate == -math.inf


def test_mean_field_says_where_it_does_not_hold() -> None:
    assert "without bound" in rnn_chi(1.5, activation="relu", drive_variance=1).note
    assert "40 units are few" in rnn_chi(0.9, units=40).note
    assert "cycle" in rnn_chi(2.0, units=200).note
    for few in (rnn_chi(1.5, activation="relu"), rnn_chi(0.9, units=40), rnn_chi(2.0, units=200)):
        assert not few.applies
    assert rnn_chi(2.0, units=1000).applies


@pytest.mark.parametrize(
    ("activation", "gain"), [("tanh", 0.9), ("tanh", 2.0), ("sigmoid", 4.0), ("relu", 1.2)]
)
@pytest.mark.parametrize("recurrent", ["normal", "uniform", "orthogonal"])
def test_mean_field_agrees_with_driven_nets(activation: Any, gain: float, recurrent: str) -> None:
    cell, nets = RNN(300, activation=activation), 6
    init = Init(recurrent=recurrent, recurrent_gain=gain, input="normal")
    weights, x = weights_of(cell, init, nets), noise(300)
    p = weights[0][0]
    sigma = float(np.mean([gains(W, 1)[0] for W in p["W"]]))
    variance = float(np.mean(cell.drive(p, x)[50:-50] ** 2))
    if activation == "tanh":
        # One number drives all units, so its variance changes from step to step; for tanh units
        # q is then not the fixed point of the mean, and a population is taken instead.
        found = population_rate(cell, first_of(weights), x, units=512)
    else:
        found = rnn_chi(sigma, drive_variance=variance, activation=activation)
    rate, error = measured(cell, weights, x)
    assert abs(rate - found.rate) < 4 * math.hypot(error, found.error) + 0.005


# Mean field of gated cells


@pytest.mark.parametrize(
    "cell",
    [LSTM(200), LSTM(200, coupled=True), GRU(200), GRU(200, reset="after"), GRU(200, bias=False)],
    ids=lambda cell: cell.label,
)
def test_gated_cells_at_rest_decay_as_the_disk_of_eigenvalues_says(cell: Cell) -> None:
    """The spectral radius scatters from draw to draw, which 8 draws measure; beyond that it is
    larger than the disk's by some (ln N / N)^½ of σ_g's share, here 0.004 decades.
    """
    init = Init(recurrent="normal", recurrent_gain=0.6, forget_bias=1.0)
    weights = weights_of(cell, init, 8)
    found = at_rest(cell, first_of(weights))
    assert found.applies
    rate, error = measured(cell, weights, np.zeros((300, 1, 1, 1)))
    assert abs(rate - found.rate) < 3 * error + 0.004


def test_rest_says_where_it_does_not_hold() -> None:
    def said(cell: Cell, init: Init) -> str:
        found = at_rest(cell, weights_of(cell, init, 1)[0][0])
        assert not found.applies
        return found.note

    normal = {"recurrent": "normal"}
    assert "not stable" in said(LSTM(100, forget_gate=False), Init(**normal))
    assert "from unit to unit" in said(LSTM(100), Init(**normal, forget_bias=Chrono(50)))
    assert "candidate has a bias" in said(GRU(100), Init(**normal, bias={"g": 1.0}))
    assert "20 units are few" in said(GRU(20), Init(**normal))
    assert "near diagonal" in said(GRU(200), Init(recurrent="identity", recurrent_gain=0.5))
    with pytest.raises(ValueError, match="no gates that are constant"):
        at_rest(RNN(3), weights_of(RNN(3), Init(), 1)[0][0])


@pytest.mark.parametrize(
    "cell",
    [
        LSTM(200),
        LSTM(200, coupled=True),
        LSTM(200, peephole="diagonal"),
        LSTM(200, forget_gate=False),
        GRU(200),
        GRU(200, reset="after"),
        GRU(200, reset="after", bias=False),
    ],
    ids=lambda cell: cell.label,
)
@pytest.mark.parametrize("driven", [True, False])
def test_gated_mean_field_agrees_with_nets(cell: Cell, driven: bool) -> None:
    """Six draws of the net against four populations, each with its own standard error.

    Where the net is chaotic N = 200 is a little too slow: up to 0.005 decades in simulations.
    """
    gain = 2.0 if driven else 0.8
    init = Init(recurrent="normal", recurrent_gain=gain, input="normal", forget_bias=0.5)
    weights = weights_of(cell, init, 6)
    x = noise(220) if driven else kicked(220)
    found = population_rate(cell, first_of(weights), x, units=512)
    rate, error = measured(cell, weights, x)
    assert abs(rate - found.rate) < 4 * math.hypot(error, found.error) + 0.005
    assert found.error < 0.01


def test_populations_rest_where_the_closed_form_rests() -> None:
    cell = LSTM(200)
    init = Init(recurrent="normal", recurrent_gain=0.5)
    p = weights_of(cell, init, 1)[0][0]
    found = population_rate(cell, p, np.zeros((256, 1, 1, 1)), units=2048)
    assert found.applies
    # After n steps back a norm still lags behind its exponential by about ln(n)/4n.
    assert found.rate == pytest.approx(at_rest(cell, p).rate, abs=3 * found.error + 0.003)


def test_populations_say_where_they_do_not_hold() -> None:
    chrono = Init(recurrent="normal", recurrent_gain=0.1, forget_bias=Chrono(3000))
    p = weights_of(LSTM(100), chrono, 1)[0][0]
    assert "has not settled" in population_rate(LSTM(100), p, noise(200), units=256).note
    p = weights_of(RNN(30), Init(), 1)[0][0]
    few = population_rate(RNN(30), p, noise(200), units=64)
    assert not few.applies
    assert "30 units are few" in few.note
    with pytest.raises(ValueError, match="100 steps are too few"):
        population_rate(RNN(30), p, noise(100))
    for cell in (LSTM(3, peephole="full"), CEC(3)):
        with pytest.raises(ValueError, match="mean field covers"):
            population_rate(cell, weights_of(RNN(3), Init(), 1)[0][0], noise(200))


def test_the_leading_exponent_is_the_slope_of_the_norm() -> None:
    cell = GRU(60)
    weights, x = weights_of(cell, Init(recurrent="normal", recurrent_gain=2.0), 4), noise(600)
    found = lyapunov(Network(cell, 1), weights, x, 1, settle=50)
    rate, _ = measured(cell, weights, x)
    assert float(found.decades.mean()) == pytest.approx(rate, abs=1e-3)
