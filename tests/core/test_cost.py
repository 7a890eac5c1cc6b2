"""What a step costs: from the shapes, by hand, and by the clock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.cost import critical_path, step_cost, step_seconds
from gradflow.core.network.stack import Network
from tests.variants import every_cell

H, F, B = 8, 3, 5


@pytest.mark.parametrize("cell", every_cell(H), ids=lambda cell: cell.label)
def test_products_follow_from_the_shapes(cell: Cell):
    """2 for each number of each matrix and column; backward those that lead from state to state."""
    found = step_cost(cell, F, B)
    layout = cell.parameters(F)
    matrices = {name: math.prod(q.shape) for name, q in layout.items() if q.cols > 1}
    assert found.parameters == sum(math.prod(q.shape) for q in layout.values())
    assert found.forward.products == 2 * B * sum(matrices.values())
    recurrent = {n: size for n, size in matrices.items() if layout[n].role != "input"}
    assert found.backward.products == 2 * B * sum(recurrent.values())
    assert found.inputs.products == 2 * B * matrices["U"]
    assert found.gradients == 2 * B * found.parameters
    one = step_cost(cell, F, 1)
    for each, single in ((found.forward, one.forward), (found.backward, one.backward)):
        assert each.elementwise == B * single.elementwise
        assert each.flops == B * single.flops
        assert each.depth == single.depth
    half = step_cost(cell, F, B, np.dtype(np.float32))
    assert half.forward.traffic == pytest.approx(found.forward.traffic / 2, rel=0.05)
    assert half.tape == found.tape / 2


def test_elementwise_operations_and_depth_by_hand():
    """rnn: + b, + u, tanh; 1 − s², ⊙. cec: +. Depth: W s takes 1 + log2 H, then + u and tanh."""
    assert step_cost(RNN(H), F).forward.elementwise == 3 * H
    assert step_cost(RNN(H), F).backward.elementwise == 3 * H
    assert step_cost(RNN(H), F).forward.depth == 1 + 3 + 2
    assert step_cost(RNN(H), F).backward.depth == 1 + 1 + 3
    assert step_cost(CEC(H), F).forward.elementwise == H
    assert (step_cost(CEC(H), F).forward.depth, step_cost(CEC(H), F).backward.depth) == (1, 0)
    # h → W h + u (5) → σ (4) → f ⊙ c, + (2) → tanh, ⊙ (2)
    assert step_cost(LSTM(H), F).forward.depth == 5 + 4 + 2 + 2
    # dh → ⊙, + (2) → slopes (1) → Wᵀ over 4 H rows (1 + 5)
    assert step_cost(LSTM(H), F).backward.depth == 2 + 1 + 6


def test_an_lstm_costs_four_of_an_rnn():
    rnn, lstm, gru = (step_cost(cell(256), 256, 16) for cell in (RNN, LSTM, GRU))
    assert lstm.parameters == 4 * rnn.parameters
    assert lstm.forward.products == 4 * rnn.forward.products
    assert gru.forward.products == 3 * rnn.forward.products
    assert lstm.forward.flops / rnn.forward.flops == pytest.approx(4, rel=0.02)
    assert rnn.tape == 256 * 16 * 8
    assert (lstm.tape, gru.tape) == (6 * rnn.tape, 5 * rnn.tape)


def test_peepholes_are_the_deepest():
    full = LSTM(H, peephole="full")
    assert step_cost(full, F).forward.depth > step_cost(LSTM(H), F).forward.depth


def test_parameters_of_a_network():
    net = Network.of(LSTM(H), F, depth=2, bidirectional=True)
    assert net.size == 2 * (4 * H * (F + H + 1) + 4 * H * (2 * H + H + 1))


def test_the_critical_path_grows_with_steps_not_with_layers_or_width():
    there, back = critical_path(Network.of(RNN(H), F), 100)
    assert (there, back) == (600, 500)
    assert critical_path(Network.of(RNN(H), F, depth=3), 100) == (102 * 6, 102 * 5)
    assert critical_path(Network.of(RNN(H), F, depth=3, bidirectional=True), 100)[0] == 1800
    assert critical_path(Network.of(RNN(64 * H), F), 100)[0] == 600 + 600


def test_the_clock():
    there, back = step_seconds(LSTM(16), 4, 2, steps=16, repeats=3)
    assert 1e-7 < there < 0.1
    assert 1e-7 < back < 0.1
