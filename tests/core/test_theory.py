"""Bounds, carrousel and chrono against closed forms and the engine; and the survey of all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradflow.core.analyses.spectrum import lyapunov
from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.network.initialise import Chrono, Init, draw_parameters
from gradflow.core.network.stack import Network
from gradflow.core.theory import (
    at_rest,
    carrousel_rate,
    chrono_decay,
    chrono_rate,
    norm_bound,
    predict,
    radius_rate,
)
from tests.core.nets import curves, first_of, measured, noise, weights_of
from tests.variants import every_cell

LN10 = math.log(10)


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


def test_a_mean_gate_does_not_apply_where_units_differ() -> None:
    even, apart = np.full((100, 2), 0.9), np.tile([0.81, 0.99], (100, 1))
    assert carrousel_rate(even).applies
    found = carrousel_rate(apart)
    assert found.rate == pytest.approx(carrousel_rate(even).rate, rel=1e-12)
    assert not found.applies
    more = 100 * math.log10(0.99 / 0.9) - math.log10(2) / 2
    assert f"{more:.1f} decades more" in found.note


def test_chrono_forgets_in_its_time() -> None:
    assert 10 ** (1000 * chrono_rate(1000).rate) == pytest.approx((1 - 1 / 1000) ** 1000)
    for call in (lambda: chrono_rate(1), lambda: chrono_decay(1, np.arange(3))):
        with pytest.raises(ValueError, match="at least 2"):
            call()


def test_chrono_decays_as_its_units_do_without_recurrent_weights() -> None:
    H, T, t_max = 800, 300, 100
    cell, chrono = LSTM(H), Init(forget_bias=Chrono(t_max))
    b = draw_parameters(cell, 1, chrono, 0, 0, "forward")["b"]
    f = 1 / (1 + np.exp(-b[H : 2 * H, 0]))
    lags = np.array([0, 1, 10, 100, T])
    each = f[:, None] ** (2 * lags)
    error = each.std(axis=0) / math.sqrt(H) / each.mean(axis=0) / (2 * LN10)
    off = chrono_decay(t_max, lags) - 0.5 * np.log10(each.mean(axis=0))
    assert np.all(np.abs(off) <= 4 * error + 1e-12)
    slope = np.diff(chrono_decay(t_max, np.array([10**6, 10**6 + 1])))[0]
    assert slope == pytest.approx(chrono_rate(t_max).rate, rel=1e-2)


def test_a_survey_gives_each_cell_what_is_known_of_it() -> None:
    def names(cell: Cell, steps: int = 40) -> dict[str, bool]:
        weights = weights_of(cell, Init(recurrent="normal", recurrent_gain=0.5), 1)
        found = predict(Network.of(cell, 1), weights, np.zeros((steps, 1, 1, 1)))
        return {each.name: each.applies for each in found}

    assert names(RNN(100)) == {"γ‖W‖₂": True, "γρ(W)": True, "mean field": True}
    gated = {"Π mean gate": True, "at rest": True, "mean field": True}
    assert names(GRU(100), 200) == gated
    assert names(LSTM(100), 200) == gated
    assert list(names(LSTM(100, peephole="full"))) == ["Π mean gate", "at rest"]
    assert list(names(LSTM(100), 4)) == ["Π mean gate", "at rest"]
    assert list(names(CEC(3))) == ["Π mean gate"]
    for more in ({"depth": 2}, {"bidirectional": True}):
        net = Network.of(RNN(2), 1, **more)
        with pytest.raises(ValueError, match="one layer in one direction"):
            predict(net, weights_of(RNN(2), Init(), 1), noise(5))


def test_the_leading_exponent_is_the_slope_of_the_norm() -> None:
    cell = GRU(60)
    weights, x = weights_of(cell, Init(recurrent="normal", recurrent_gain=2.0), 4), noise(600)
    found = lyapunov(Network.of(cell, 1), weights, x, 1, settle=50)
    rate, _ = measured(cell, weights, x)
    assert float(found.decades.mean()) == pytest.approx(rate, abs=1e-3)


@pytest.mark.parametrize("cell", [c for c in every_cell(4) if c.kind in ("lstm", "gru")], ids=str)
def test_every_option_has_its_predictions_or_the_reason_why_not(cell: Cell) -> None:
    weights = weights_of(cell, Init(), 1)
    found = {one.name: one for one in predict(Network.of(cell, 1), weights, noise(6))}
    assert np.isfinite([one.rate for one in found.values()]).all()
    if getattr(cell, "projection", 0):
        assert "a projection stands between" in found["at rest"].note


@pytest.mark.parametrize("gate", ["hard_sigmoid", "hard_sigmoid_keras2"])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_silent_net_of_hard_gates_has_the_rate_at_rest(kind: Any, gate: str) -> None:
    """Random W of 300 units: the leading eigenvalue is within a few per cent of its limit."""
    cell = kind(300, gate_activation=gate)
    init = Init(recurrent="normal", recurrent_gain=0.5, forget_bias=0.4, bias={"z": -1.0})
    weights = weights_of(cell, init, 1)
    said = at_rest(cell, first_of(weights), np.zeros((1, 1, 1, 1)))
    assert said.applies
    curve = curves(cell, weights, np.zeros((200, 1, 1, 1)))[0]
    assert (curve[50] - curve[150]) / 100 == pytest.approx(said.rate, rel=0.05)
