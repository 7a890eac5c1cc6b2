"""Every column of the flow map is a run of its own."""

from __future__ import annotations

import numpy as np
import pytest

from gradflow.core.cells import GRU, LSTM
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe, Sum
from gradflow.core.network.stack import Network
from gradflow.core.record import FlowMap, Norms, Timeline
from tests.variants import draw

T, NETS, COLUMNS = 9, 2, 3


@pytest.fixture(params=[(LSTM(3), False), (LSTM(3), True), (GRU(4), True)], ids=str)
def case(request):
    cell, bidirectional = request.param
    rng = np.random.default_rng(1)
    net = Network.of(cell, 2, 2, bidirectional)
    directions = len(net.directions)
    weights = draw(cell, rng, inputs=2, layers=2, directions=directions, nets=NETS)
    v = rng.standard_normal((NETS, net.outputs, COLUMNS))
    return net, weights, rng.standard_normal((T, 1, 2, COLUMNS)), v


def test_columns_are_separate_runs(case):
    net, weights, x, v = case
    loss = Probe(v, at="all")
    flow = FlowMap(Timeline(net, loss, [T], NETS, COLUMNS), ("h", "c", "s", "x"))
    backpropagate(net, weights, x, loss, flow.lengths, [flow], Schedule(4), at=flow.at)
    got = flow.quantities(1, T)
    for t in range(1, T + 1):
        alone = Probe(v, at=(t,))
        norms = Norms(Timeline(net, alone, [T], NETS, COLUMNS), ("h", "c", "s", "x"))
        backpropagate(net, weights, x, alone, [T], [norms], Schedule(4))
        for name, want in norms.quantities(1, T).items():
            column = got[f"flow.{name}"].values[..., T - t, :]
            np.testing.assert_allclose(column, want.values, rtol=1e-12, atol=1e-12)


def test_the_future_is_dark_unless_the_net_reads_it(case):
    net, weights, x, v = case
    loss = Probe(v, at="all")
    flow = FlowMap(Timeline(net, loss, [T], NETS, COLUMNS), ("x",))
    backpropagate(net, weights, x, loss, flow.lengths, [flow], Schedule(4), at=flow.at)
    seen = flow.quantities(0, T)["flow.x"]
    t, k = np.meshgrid(seen.coords["loss_step"], seen.coords["step"], indexing="ij")
    future = seen.values[0, 0][:, k > t]
    assert np.isfinite(future).all() if net.bidirectional else (future == -np.inf).all()
    assert np.isfinite(seen.values[0, 0][:, k <= t]).all()


def test_lengths_of_a_bidirectional_net_are_refused():
    net = Network.of(GRU(2), 1, 1, True)
    with pytest.raises(ValueError, match="do not share a forward pass"):
        backpropagate(net, (), np.zeros((3, 1, 1, 1)), Sum(), [2, 3], [], Schedule(4))
