"""Mean field against published numbers, closed forms and the slopes of nets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.network.initialise import Chrono, Init
from gradflow.core.theory import at_rest, population_rate, rnn_chi, rnn_driven
from gradflow.core.theory.population import gains
from tests.core.nets import first_of, kicked, measured, noise, weights_of

LN10 = math.log(10)


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
@pytest.mark.parametrize(
    "recurrent", ["normal", pytest.param("orthogonal", marks=pytest.mark.extras)]
)
def test_mean_field_agrees_with_driven_nets(activation: Any, gain: float, recurrent: str) -> None:
    cell, nets = RNN(300, activation=activation), 6
    init = Init(recurrent=recurrent, recurrent_gain=gain, input="normal")
    weights, x = weights_of(cell, init, nets), noise(300)
    p = first_of(weights)
    sigma = float(np.mean([gains(W, 1)[0] for W in weights[0][0]["W"]]))
    found = rnn_driven(sigma, cell.drive(p, x)[:, 0, :, 0], activation)
    rate, error = measured(cell, weights, x)
    assert abs(rate - found.rate) < 4 * error + 0.005


def test_a_gaussian_drive_makes_the_two_mean_fields_one() -> None:
    u = np.random.default_rng(2).standard_normal((200, 400)) * 0.8
    for activation, gain in (("tanh", 1.5), ("sigmoid", 3.0), ("relu", 1.1)):
        steady = rnn_chi(gain, drive_variance=0.64, activation=activation)
        assert rnn_driven(gain, u, activation).rate == pytest.approx(steady.rate, abs=2e-3)
    grows = rnn_driven(2.0, u, "relu")
    assert not grows.applies
    assert "without bound" in grows.note


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
    driven = at_rest(GRU(100), weights_of(GRU(100), Init(**normal), 1)[0][0], noise(5))
    assert "not silent" in driven.note
    assert "near diagonal" in said(GRU(200), Init(recurrent="identity", recurrent_gain=0.5))
    with pytest.raises(ValueError, match="no gates that are constant"):
        at_rest(RNN(3), weights_of(RNN(3), Init(), 1)[0][0])


@pytest.mark.parametrize(
    ("cell", "driven"),
    [
        (LSTM(200), True),
        (GRU(200), False),
        *(
            pytest.param(cell, driven, marks=pytest.mark.extras)
            for cell, driven in [
                (LSTM(200), False),
                (LSTM(200, coupled=True), True),
                (LSTM(200, peephole="diagonal"), False),
                (LSTM(200, forget_gate=False), True),
                (GRU(200), True),
                (GRU(200, reset="after"), False),
                (GRU(200, reset="after", bias=False), True),
            ]
        ),
    ],
    ids=str,
)
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
    with pytest.raises(ValueError, match="1 steps are too few"):
        population_rate(RNN(30), p, noise(1))
    for cell in (LSTM(3, peephole="full"), CEC(3)):
        with pytest.raises(ValueError, match="mean field covers"):
            population_rate(cell, weights_of(RNN(3), Init(), 1)[0][0], noise(200))
