"""A second exact engine, forward only, agrees with backpropagation through time."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.analyses.rtrl import bytes_needed, rtrl
from gradflow.core.cells import CEC, LSTM, RNN, Cell
from gradflow.core.cells.carrousel_only import CarrouselOnly
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import LOSSES, Loss, Probe, Sum
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record import Gradients, Norms, Timeline
from gradflow.errors import NumericalError
from tests.variants import draw, in_turn, with_projections

H, F, STEPS, NETS, COLUMNS = 3, 2, 6, 2, 2
NORMS = ["h", "c", "s", "x"]
TOLERANCE = 1e-10

Array = np.ndarray[Any, Any]


def compare(net: Network, weights: Weights, x: Array, loss: Loss, every: Any = 1) -> None:
    length = len(x)
    nets, columns = weights[0][0]["U"].shape[0], x.shape[-1]
    timeline = Timeline(net, loss, [length], nets, columns, every)
    gradients, norms = Gradients(net), Norms(timeline, NORMS)
    backpropagate(net, weights, x, loss, [length], [gradients, norms], Schedule(4))
    forward = rtrl(net, weights, x, loss, length, every=every)
    assert set(forward.gradients) == set(gradients.sums)
    for place, total in forward.gradients.items():
        found, wanted = total.plain, gradients.sums[place].plain
        error = np.linalg.norm(found - wanted, axis=(-2, -1))
        assert (error <= TOLERANCE * np.linalg.norm(wanted, axis=(-2, -1))).all(), place
    for index in range(nets):
        backward = norms.quantities(index, length)
        result = forward.quantities(index, length)
        assert list(result) == list(backward)
        for name, quantity in backward.items():
            own = result[name]
            assert (own.dims, own.unit) == (quantity.dims, quantity.unit)
            np.testing.assert_allclose(own.values, quantity.values, rtol=0, atol=TOLERANCE / 2.3)
            assert set(own.coords) == set(quantity.coords)
            for axis, labels in quantity.coords.items():
                np.testing.assert_array_equal(own.coords[axis], labels)


@pytest.mark.parametrize(("cell", "layers"), in_turn(with_projections(H), [1, 2]))
def test_with_projections_agrees_with_bptt(cell: Cell, layers: int):
    rng = np.random.default_rng(layers)
    net = Network.of(cell, F, layers)
    weights = draw(cell, rng, inputs=F, layers=layers, nets=NETS)
    v = rng.normal(size=(NETS, net.outputs, COLUMNS))
    x = rng.normal(size=(STEPS, 1, F, COLUMNS))
    compare(net, weights, x, Probe(v, at="all" if layers == 1 else "last"))


@pytest.mark.parametrize("kind", ["lstm", "gru", "cec"])
def test_the_truncated_gradient_of_1997_goes_forward_as_well(kind: str):
    """As its authors had it: the cut makes RTRL cheap."""
    rng = np.random.default_rng(8)
    net = Network.of(CarrouselOnly.of(cells.get(kind)(H)), F)
    weights = draw(net.layers[0].cell, rng, inputs=F, nets=NETS)
    v = rng.normal(size=(NETS, H, COLUMNS))
    compare(net, weights, rng.normal(size=(STEPS, 1, F, COLUMNS)), Probe(v, at="all"))


@pytest.mark.parametrize("at", ["all", (2, 5)], ids=str)
@pytest.mark.parametrize("kind", ["sum", "mse", "cross_entropy"])
def test_every_loss(kind: Any, at: Any):
    rng = np.random.default_rng(3)
    net = Network.of(LSTM(H, peephole="full"), F, 3)
    weights = draw(net.layers[0].cell, rng, inputs=F, layers=3, nets=NETS)
    V = rng.normal(size=(NETS, 4, H))
    targets: Array = rng.normal(size=(STEPS, 1, 4, COLUMNS))
    if kind == "cross_entropy":
        targets = rng.integers(-1, 4, size=(STEPS, 1, COLUMNS))
    given: Any = {} if kind == "sum" else {"readout": Readout(V), "targets": targets}
    loss = LOSSES.get(kind)(at=at, **given)
    compare(net, weights, rng.normal(size=(STEPS, 1, F, COLUMNS)), loss, every=2)


@pytest.mark.parametrize("kind", cells.names())
def test_far_out_of_the_range_of_floats(kind: str):
    """Weights so small, and inputs silent but at the far end: derivatives of 10^−1500 agree."""
    rng = np.random.default_rng(4)
    cell = cells.get(kind)(2)
    net = Network.of(cell, 1)
    ((p,),) = draw(cell, rng, inputs=1)
    shut = {"f": -9.0, "z": 9.0}
    for name in set(p) - {"U"}:
        p[name] *= 1e-4
    for gate, level in shut.items():
        if gate in cell.gates:
            at = cell.gates.index(gate) * 2
            p["b"][:, at : at + 2] = level
    loss = Probe(np.ones((1, 2, 1)))
    x = rng.normal(size=(400, 1, 1, 1))
    compare(net, ((p,),), x, loss, every="log")
    found = rtrl(net, ((p,),), x, loss, 400, states=["s"], every="log", parameters=False)
    farthest = found.quantities(0, 400)["s"].values[0, 0, 0, 0]
    assert (farthest < -1200) == (kind not in ("cec", "block"))
    assert found.gradients == {}


def test_an_exploding_net():
    """‖∂s_T/∂s_k‖ = 30^(T−k) for the linear net at rest."""
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    weights = (({"U": np.ones((1, 1, 1)), "W": np.full((1, 1, 1), 30.0)},),)
    loss = Probe(np.ones((1, 1, 1)))
    found = rtrl(net, weights, np.zeros((500, 1, 1, 1)), loss, 500, every=50)
    values = found.quantities(0, 500)["s"].values[0, 0, 0]
    np.testing.assert_allclose(values, np.arange(500, -1, -50) * np.log10(30), rtol=1e-12)


def test_a_parameter_that_only_the_far_past_has_moved():
    """x is 1 at the first step and 0 later: ∂L/∂U = ρ^(T−1), 10^−1999 here."""
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    weights = (({"U": np.ones((1, 1, 1)), "W": np.full((1, 1, 1), 0.1)},),)
    x = np.zeros((2000, 1, 1, 1))
    x[0] = 1
    loss = Probe(np.ones((1, 1, 1)))
    total = rtrl(net, weights, x, loss, 2000, states=()).gradients[0, 0, "U"]
    log10 = total.log10
    np.testing.assert_allclose(log10.item(), -1999, rtol=1e-12)


def test_what_is_not_defined_says_so():
    net = Network.of(CEC(2), 1, bidirectional=True)
    p = {"U": np.ones((1, 2, 1))}
    with pytest.raises(ValueError, match="a backward direction reads them from the end"):
        rtrl(net, ((p, p),), np.zeros((3, 1, 1, 1)), Sum(), 3)


@pytest.mark.parametrize(
    ("x", "w", "message"),
    [
        (1.0, 1.5e308, r"the state of rnn\(.*\) \(layer 0\) overflows at step 3"),
        (0.0, 1e308, r"a sensitivity of rnn\(.*\) \(layer 0\) is not finite at step 2"),
    ],
)
def test_what_overflows_is_named_with_its_step(x: float, w: float, message: str):
    net = Network.of(RNN(2, activation="identity", bias=False), 1)
    p = {"U": np.ones((1, 2, 1)), "W": np.full((1, 2, 2), w)}
    if x:
        p["W"] = np.eye(2)[None] * w
    loss = Probe(np.ones((1, 2, 1)))
    with pytest.raises(NumericalError, match=message):
        rtrl(net, ((p,),), np.full((4, 1, 1, 1), x), loss, 4)


def test_memory_is_planned():
    net, sizes = Network.of(LSTM(8), 3, 2), []
    rng = np.random.default_rng(0)
    weights = draw(net.layers[0].cell, rng, inputs=3, layers=2)
    x, loss = rng.normal(size=(32, 1, 3, 4)), Probe(rng.normal(size=(1, 8, 4)))
    for every in (1, 16):
        tracemalloc.start()
        rtrl(net, weights, x, loss, 32, every=every)
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    for peak, recorded in zip(sizes, (33, 3), strict=True):
        planned = bytes_needed(net, 1, 4, recorded, np.dtype(float))
        assert 0.6 < peak / planned < 1.1, peak / planned
