"""Truncated backpropagation: each loss reaches k2 steps back and no further."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.analyses.truncated import bias, truncated, windows
from gradflow.core.cells import CEC, LSTM, RNN, Cell
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe, Sum
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record import Gradients, Norms, Timeline
from tests import plain as by_hand
from tests.variants import draw, every_cell, usual_cells

H, F, STEPS, NETS, COLUMNS = 3, 2, 9, 2, 2

Array = np.ndarray[Any, Any]


def setting(cell: Cell, layers: int = 1) -> tuple[Network, Weights, Array, Array]:
    rng = np.random.default_rng(layers)
    net = Network.of(cell, F, layers)
    weights = draw(cell, rng, inputs=F, layers=layers, nets=NETS)
    v = rng.normal(size=(NETS, H, COLUMNS))
    return net, weights, rng.normal(size=(STEPS, 1, F, COLUMNS)), v


def test_windows():
    assert windows(7, 3, 5) == [(0, 0, 3), (1, 3, 6), (2, 6, 7)]
    assert windows(4, 2, 2) == [(0, 0, 2), (2, 2, 4)]
    assert windows(3, 5, 9) == [(0, 0, 3)]
    for k1, k2 in ((0, 1), (3, 2)):
        with pytest.raises(ValueError, match=f"not k1 = {k1} and k2 = {k2}"):
            windows(4, k1, k2)


@pytest.mark.parametrize(
    ("cell", "k1", "k2"),
    [
        pytest.param(cell, 2, 5, marks=() if cell in usual_cells(H) else pytest.mark.extras)
        for cell in every_cell(H)
    ]
    + [(cells.get(kind)(H), *ks) for kind in cells.names() for ks in ((1, 3), (4, 4))],
    ids=lambda value: getattr(value, "label", str(value)),
)
def test_against_each_window_by_hand(cell: Cell, k1: int, k2: int):
    """∂L_window/∂s_k and its share of ∂L/∂U, from the plain recursion cut at the window's start."""
    net, weights, x, v = setting(cell)
    p = weights[0][0]
    loss, gradients = Probe(v, at="all"), Gradients(net)
    truncated(net, weights, x, loss, STEPS, k1, k2, [gradients], Schedule(2))
    (result, other) = bias(net, weights, x, loss, STEPS, k1, [k2], Schedule(3))
    assert set(result) == set(other)

    found = np.zeros_like(p["U"])
    states: list[list[Any]] = [[] for _ in range(STEPS + 1)]
    totals: list[list[Any]] = [[] for _ in range(STEPS + 1)]
    for start, first, end in windows(STEPS, k1, k2):
        inject = dict.fromkeys(range(first + 1, end + 1), v)
        adjoints, total, drives = by_hand.back(cell, p, x[:end], inject)
        for k in range(end):
            share = drives[k] @ np.broadcast_to(x[k], (NETS, F, COLUMNS)).swapaxes(-1, -2)
            if k + 1 > start:
                found += share
                states[k + 1].append(np.concatenate(adjoints[k + 1], axis=-2))
                totals[k + 1].append(total[k][0] if total[k] else adjoints[k + 1][0])
        states[start].append(np.concatenate(adjoints[start], axis=-2))
        totals[start].append(adjoints[start][-1])
    np.testing.assert_allclose(gradients.sums[0, 0, "U"].plain, found, rtol=1e-10, atol=1e-13)
    for name, rows in (("s", states), (cell.parts[-1], totals)):
        with np.errstate(divide="ignore"):
            wanted = [np.log10(np.linalg.norm(sum(each)[0], axis=0)) for each in rows if each]
        got = result[f"truncated_{name}"].values[0, 0, 0]
        np.testing.assert_allclose(got.T, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("k1", [1, 4, STEPS])
def test_going_back_all_the_way_is_exact(k1: int, layers: int):
    net, weights, x, v = setting(LSTM(H, peephole="diagonal"), layers)
    loss = Probe(v, at="all")
    norms = Norms(Timeline(net, loss, [STEPS], NETS, COLUMNS), ["h", "c", "s"])
    backpropagate(net, weights, x, loss, [STEPS], [norms], Schedule(4))
    for index, result in enumerate(
        bias(net, weights, x, loss, STEPS, k1, [STEPS, 2 * STEPS], Schedule(2, keep=False))
    ):
        assert (result["truncation_error"].values < 1e-14).all()
        np.testing.assert_allclose(result["truncation_cosine"].values, 1, rtol=1e-14)
        for name in ("h", "c", "s"):
            wanted = norms.quantities(index, STEPS)[name]
            got = result[f"truncated_{name}"]
            assert got.dims == ("k2", *wanted.dims)
            np.testing.assert_allclose(got.values[0], wanted.values, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(got.coords["lag"], wanted.coords["lag"])


def test_the_bias_of_a_linear_unit():
    """s_t = ρ s_{t−1} + x_t with x = 1, loss at the end: ∂L/∂U = Σ_lag ρ^lag, cut at k2."""
    rho, T = 0.9, 50
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    weights = (({"U": np.zeros((1, 1, 1)), "W": np.full((1, 1, 1), rho)},),)
    loss = Probe(np.ones((1, 1, 1)))
    k2 = [1, 5, 20, T]
    (result,) = bias(net, weights, np.ones((T, 1, 1, 1)), loss, T, 1, k2, Schedule(8))
    left_out = [(rho**k - rho**T) / (1 - rho**T) for k in k2]
    np.testing.assert_allclose(result["truncation_error"].values, left_out, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(result["truncation_cosine"].values, 1, rtol=1e-14)
    states = result["truncated_s"]
    lag = states.coords["lag"][0]
    for j, k in enumerate(k2):
        seen = lag <= k
        np.testing.assert_allclose(
            states.values[j, 0, 0, 0][seen], lag[seen] * np.log10(rho), rtol=0, atol=1e-12
        )
        assert (states.values[j, 0, 0, 0][~seen] == -np.inf).all()


def test_hundreds_of_decades_of_vanishing_flow():
    rho, T = 0.5, 3000
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    weights = (({"U": np.zeros((1, 1, 1)), "W": np.full((1, 1, 1), rho)},),)
    loss = Probe(np.ones((1, 1, 1)))
    (result,) = bias(
        net, weights, np.ones((T, 1, 1, 1)), loss, T, 100, [400, T], Schedule(64), every="log"
    )
    states = result["truncated_s"]
    np.testing.assert_allclose(states.values[1, 0, 0, 0, 0], T * np.log10(rho), rtol=1e-12)
    np.testing.assert_allclose(result["truncation_error"].values, 0, atol=1e-15)


def test_a_gradient_that_is_not_there():
    """Nothing goes in: every gradient is zero, and there is nothing to be relative to."""
    net = Network.of(CEC(2), 1)
    weights = (({"U": np.ones((1, 2, 1))},),)
    for at in ("last", (9,)):
        loss = Probe(np.ones((1, 2, 1)), at=at)
        (result,) = bias(net, weights, np.zeros((4, 1, 1, 1)), loss, 4, 1, [2], Schedule(4))
        assert np.isnan(result["truncation_error"].values).all()
        assert np.isnan(result["truncation_cosine"].values).all()


def test_both_directions_are_not_truncated():
    net = Network.of(CEC(2), 1, bidirectional=True)
    p = {"U": np.ones((1, 2, 1))}
    with pytest.raises(ValueError, match="a backward direction has no past to cut off"):
        truncated(net, ((p, p),), np.zeros((3, 1, 1, 1)), Sum(), 3, 1, 1, [], Schedule(4))
