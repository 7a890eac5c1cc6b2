"""How far gates are open, beside the norms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.cells.base import carrousel_of
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe, Sum
from gradflow.core.network.stack import Network
from gradflow.core.record import Gates, Kept, Timeline
from tests.own import Keeping
from tests.variants import draw, every_cell

H, F, STEPS, NETS, COLUMNS = 5, 2, 9, 2, 3
GATED = [cell for cell in every_cell(H) if cell.kind in ("lstm", "gru")]

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("cell", GATED, ids=lambda cell: cell.label)
def test_statistics_over_the_units(cell: Cell):
    rng = np.random.default_rng(2)
    net = Network.of(cell, F)
    weights = draw(cell, rng, inputs=F, nets=NETS, gain=3)
    x = rng.normal(size=(STEPS, 1, F, COLUMNS))
    loss = Probe(rng.normal(size=(NETS, H, COLUMNS)))
    lengths = [STEPS, 4]
    gates = Gates(Timeline(net, loss, lengths, NETS, COLUMNS, every=2))
    backpropagate(net, weights, x, loss, lengths, [gates], Schedule(4, keep=False))

    state = tuple(np.zeros((NETS, size, COLUMNS)) for size in cell.sizes)
    p, opened = weights[0][0], []
    for x_t in x:
        state, cache = cell.step(p, state, cell.drive(p, x_t))
        opened.append(cell.open_gates(cache))
    for index in range(NETS):
        for length, steps in ((STEPS, [1, 3, 5, 7, 9]), (4, [1, 2, 4])):
            result = gates.quantities(index, length)
            mean = result["gate_mean"]
            assert mean.dims == ("layer", "direction", "gate", "sequence", "step")
            assert list(mean.coords["step"]) == steps
            assert {q.unit for q in result.values()} == {"1"}
            for k, gate in enumerate(mean.coords["gate"]):
                values = np.stack([opened[s - 1][gate][index] for s in steps], axis=-1)
                np.testing.assert_allclose(mean.values[0, 0, k], values.mean(axis=0), rtol=1e-14)
                np.testing.assert_allclose(
                    result["gate_spread"].values[0, 0, k], values.std(axis=0), rtol=1e-10
                )
                np.testing.assert_array_equal(
                    result["gate_saturated"].values[0, 0, k],
                    (np.abs(values - 0.5) > 0.4).mean(axis=0),
                )


def test_both_directions_and_layers_have_gates_of_their_own_time():
    rng = np.random.default_rng(2)
    net = Network.of(LSTM(H), F, 2, True)
    weights = draw(net.layers[0].cell, rng, inputs=F, layers=2, directions=2, nets=NETS)
    for p in weights[0]:
        p["U"][:], p["W"][:] = 0, 0
    weights[0][0]["b"][:, H : 2 * H] = 4.0
    weights[0][1]["b"][:, H : 2 * H] = -4.0
    x = rng.normal(size=(STEPS, 1, F, COLUMNS))
    loss = Probe(rng.normal(size=(NETS, 2 * H, COLUMNS)))
    gates = Gates(Timeline(net, loss, [STEPS], NETS, COLUMNS))
    backpropagate(net, weights, x, loss, [STEPS], [gates], Schedule(4))
    result = gates.quantities(0, STEPS)
    f = list(result["gate_mean"].coords["gate"]).index("f")
    mean, spread, saturated = (q.values[:, :, f] for q in result.values())
    assert mean.shape == (2, 2, COLUMNS, STEPS)
    np.testing.assert_allclose(mean[0, 0], 1 / (1 + np.exp(-4)), rtol=1e-15)
    np.testing.assert_allclose(mean[0, 1], 1 / (1 + np.exp(4)), rtol=1e-15)
    assert (spread[0] < 1e-15).all()
    assert (saturated[0] == 1).all()
    assert not np.isnan(mean).any()


@pytest.mark.parametrize("cell", [RNN(2), CEC(2)], ids=lambda cell: cell.label)
def test_cells_without_gates_say_so(cell: Cell):
    with pytest.raises(ValueError, match=f"{cell.label} has no gates"):
        Gates(Timeline(Network.of(cell, 1), Sum(), [3], 1, 1))


def test_a_gru_that_leaks_nothing_is_saturated():
    net = Network.of(GRU(2), 1)
    p = {k: np.zeros((1, *q.shape)) for k, q in net.layers[0].cell.parameters(1).items()}
    p["b"][:, :2] = -9
    loss = Probe(np.ones((1, 2, 1)))
    gates = Gates(Timeline(net, loss, [5], 1, 1))
    backpropagate(net, ((p,),), np.zeros((5, 1, 1, 1)), loss, [5], [gates], Schedule(2))
    saturated = gates.quantities(0, 5)["gate_saturated"].values[0, 0]
    np.testing.assert_array_equal(saturated[:, 0], [[1.0] * 5, [0.0] * 5])


@pytest.mark.parametrize("cell", [CEC(H), GRU(H), LSTM(H), Keeping(H)], ids=lambda cell: cell.label)
@pytest.mark.parametrize("at", ["last", (4, 7)])
def test_what_the_carrousel_keeps_is_multiplied_unit_by_unit(cell: Cell, at: Any):
    """From the last loss step of each length back to step 1."""
    rng = np.random.default_rng(2)
    net, lengths = Network.of(cell, F), [STEPS, 8]
    weights = draw(cell, rng, inputs=F, nets=NETS, gain=2)
    x = rng.normal(size=(STEPS, 1, F, COLUMNS))
    loss = Probe(rng.normal(size=(NETS, H, COLUMNS)), at=at)
    whole, cut = (Kept(Timeline(net, loss, lengths, NETS, COLUMNS)) for _ in range(2))
    for kept, schedule in ((whole, Schedule(STEPS)), (cut, Schedule(2, keep=False))):
        backpropagate(net, weights, x, loss, lengths, [kept], schedule)

    state = tuple(np.zeros((NETS, H, COLUMNS)) for _ in cell.parts)
    p, each = weights[0][0], []
    for x_t in x:
        state, cache = cell.step(p, state, cell.drive(p, x_t))
        keep = carrousel_of(cell, cell.linearise(p, cache)).keep
        each.append(np.broadcast_to(keep, (NETS, H, COLUMNS)))
    for length in lengths:
        steps = length if at == "last" else 7
        product = np.prod(each[:steps], axis=0)
        mean = product ** (1 / steps)
        for index in range(NETS):
            found = whole.quantities(index, length)
            wanted = {
                "keep_mean": mean[index].mean(axis=0),
                "keep_spread": mean[index].std(axis=0),
                "keep_decades": np.log10(np.mean(product[index] ** 2, axis=0)) / 2,
            }
            again = cut.quantities(index, length)
            for name, values in wanted.items():
                np.testing.assert_allclose(
                    found[name].values[0, 0], values, rtol=1e-12, atol=1e-15 * (cell.kind == "cec")
                )
                np.testing.assert_array_equal(found[name].values, again[name].values)
            gates = [gate.keeps for gate in cell.memory_gates]
            assert found["keep_mean"].coords["gate"].tolist() == (gates or [""])


def test_units_that_are_shut_leave_the_others():
    cell = LSTM(2)
    p = {name: np.zeros((1, *q.shape)) for name, q in cell.parameters(1).items()}
    p["b"][0, 2:4, 0] = [-1e4, 0]  # f of the two units
    loss = Sum()
    kept = Kept(Timeline(Network.of(cell, 1), loss, [6], 1, 1))
    backpropagate(kept.net, ((p,),), np.zeros((6, 1, 1, 1)), loss, [6], [kept], Schedule(6))
    found = {name: float(q.values[0, 0, 0]) for name, q in kept.quantities(0, 6).items()}
    assert (found["keep_mean"], found["keep_spread"]) == (0.25, 0.25)
    assert found["keep_decades"] == pytest.approx(6 * np.log10(0.5) - np.log10(2) / 2, rel=1e-12)
