"""Every step's contribution to the weights' gradients, their sum, and their conflict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core.analyses.readout_conflict import readout
from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.forward import forward, outputs
from gradflow.core.engine.schedule import Schedule
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import LOSSES, Loss, MeanSquaredError, Probe, Sum
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record import Contributions, Gradients, Timeline
from tests import plain
from tests.variants import draw, every_cell, in_turn, usual_first

H, F, STEPS, NETS, COLUMNS = 3, 2, 7, 2, 2

Array = np.ndarray[Any, Any]


def setting(cell: Cell, layers: int = 1, both: bool = False) -> tuple[Network, Weights, Array, Any]:
    rng = np.random.default_rng(layers)
    net = Network.of(cell, F, layers, both)
    weights = draw(cell, rng, inputs=F, layers=layers, directions=len(net.directions), nets=NETS)
    v = rng.normal(size=(NETS, net.outputs, COLUMNS))
    return net, weights, rng.normal(size=(STEPS, 1, F, COLUMNS)), v


def run(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    lengths: list[int],
    block: int = 3,
    **options: Any,
) -> Contributions:
    nets = weights[0][0]["U"].shape[0]
    found = Contributions(Timeline(net, loss, lengths, nets, x.shape[-1]), **options)
    backpropagate(net, weights, x, loss, lengths, [found], Schedule(block))
    return found


@pytest.mark.parametrize(("cell", "shape"), in_turn(every_cell(H), [(1, False), (2, True)]))
def test_contributions_sum_to_the_gradients_of_all_parameters(cell: Cell, shape: tuple[int, bool]):
    net, weights, x, v = setting(cell, *shape)
    loss, gradients = Probe(v, at="all"), Gradients(net)
    names = list(net.parameters(0))
    found = run(net, weights, x, loss, [STEPS], names=names)
    backpropagate(net, weights, x, loss, [STEPS], [gradients], Schedule(4))
    for (layer, direction, name), total in gradients.sums.items():
        wanted = total.plain
        each = []
        for gate in net.parameters(layer)[name].blocks:
            one = found.sums[layer, direction, name, gate]
            matrix = one.matrix.plain
            each.append(matrix.sum(axis=1))
        error = np.linalg.norm(np.concatenate(each, axis=-2) - wanted, axis=(-2, -1))
        assert (error <= 1e-12 * np.linalg.norm(wanted, axis=(-2, -1))).all(), name


def explicit(net: Network, p: Any, x: Array, loss: Loss, v: Array) -> dict[tuple[str, str], Array]:
    """G_k of each gate of U and W for one-layer cells, ``(steps, nets, columns, rows, cols)``."""
    cell, (_, _, drives) = (
        net.layers[0].cell,
        plain.back(net.layers[0].cell, p, x, dict.fromkeys(loss.steps(len(x)), v)),
    )
    state = tuple(np.zeros((NETS, size, COLUMNS)) for size in cell.sizes)
    out: dict[tuple[str, str], list[Array]] = {}
    for x_t, da in zip(x, drives, strict=True):
        before, (state, cache) = state[0], cell.step(p, state, cell.drive(p, x_t))
        read = dict.fromkeys(cell.gates, before)
        sent = dict(zip(cell.gates, np.split(da, len(cell.gates), axis=-2), strict=True))
        met = dict(sent)
        if cell.kind == "gru" and cell.reset == "before":
            read["g"] = cell.open_gates(cache)["r"] * before
        elif cell.kind == "gru":
            met["g"] = cell.open_gates(cache)["r"] * sent["g"]
        for gate in cell.gates:
            seen = np.broadcast_to(x_t, (NETS, F, COLUMNS))
            for name, left, right in (("U", sent[gate], seen), ("W", met[gate], read[gate])):
                G = np.einsum("nrb,ncb->nbrc", left, right)
                out.setdefault((name, gate), []).append(G)
    return {key: np.stack(value) for key, value in out.items()}


@pytest.mark.parametrize("cell", usual_first(every_cell(H)))
def test_norms_and_conflict_from_the_matrices_themselves(cell: Cell):
    net, weights, x, v = setting(cell)
    loss = Probe(v, at=(2, STEPS))
    found = run(net, weights, x, loss, [STEPS])
    wanted = explicit(net, weights[0][0], x, loss, v)
    for index in range(NETS):
        result = found.quantities(index, STEPS)
        for name in found.names:
            series, conflict = result[f"contribution_{name}"], result[f"conflict_{name}"]
            assert series.dims == ("layer", "direction", "gate", "sequence", "step")
            assert conflict.dims == ("layer", "direction", "gate", "sequence")
            assert tuple(series.coords["gate"]) == cell.gates
            assert list(series.coords["step"]) == list(range(1, STEPS + 1))
            for k, gate in enumerate(cell.gates):
                G = wanted[name, gate][:, index]
                norms = np.linalg.norm(G, axis=(-2, -1))
                with np.errstate(divide="ignore", invalid="ignore"):
                    np.testing.assert_allclose(
                        series.values[0, 0, k], np.log10(norms).T, rtol=1e-11, atol=1e-12
                    )
                    ratio = np.linalg.norm(G.sum(axis=0), axis=(-2, -1)) / norms.sum(axis=0)
                np.testing.assert_allclose(conflict.values[0, 0, k], ratio, rtol=1e-10)


def test_lengths_that_run_together():
    net, weights, x, v = setting(GRU(H), 2)
    loss, lengths = Probe(v), [STEPS, 4, 1]
    names = ["U", "W", "b"]
    together = run(net, weights, x, loss, lengths, names=names)
    for length in lengths:
        alone = run(net, weights, x, loss, [length], names=names).quantities(1, length)
        for name, quantity in together.quantities(1, length).items():
            np.testing.assert_allclose(quantity.values, alone[name].values, rtol=1e-10)


def test_one_step_agrees_with_itself_and_opposite_steps_cancel():
    """CEC: ∂L/∂U = v Σ_k x_kᵀ, so inputs +1 and −1 ask for opposite weights."""
    net = Network.of(CEC(2), 1)
    weights = (({"U": np.ones((1, 2, 1))},),)
    loss = Probe(np.ones((1, 2, 4)))
    x = np.zeros((100, 1, 1, 4))
    x[5, ..., 0] = 3
    x[:, ..., 1] = 2
    x[:, 0, 0, 2] = np.resize([1.0, -1.0], 100)
    found = run(net, weights, x, loss, [100]).quantities(0, 100)
    conflict = found["conflict_U"].values[0, 0, 0]
    np.testing.assert_allclose(conflict[:3], [1, 1, 0], rtol=1e-14)
    assert np.isnan(conflict[3])
    assert "conflict_W" not in found
    logs = found["contribution_U"].values[0, 0, 0]
    assert (logs[0] > -np.inf).sum() == 1
    np.testing.assert_allclose(logs[1], np.log10(2 * np.sqrt(2)), rtol=1e-14)


@pytest.mark.parametrize(("rho", "T"), [(0.1, 2000), (10.0, 1000)])
def test_contributions_hundreds_of_decades_away(rho: float, T: int):
    """s_t = ρ s_{t−1} + x_t: ‖G_k‖ = ρ^(T−k), and only the far end of the input is not silent."""
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    weights = (({"U": np.ones((1, 1, 1)), "W": np.full((1, 1, 1), rho)},),)
    loss = Probe(np.ones((1, 1, 1)))
    x = np.zeros((T, 1, 1, 1))
    x[2], x[9] = 1e-5, -1e-5
    if rho > 1:
        weights[0][0]["U"][:] = 0
    found, gradients = run(net, weights, x, loss, [T], 64), Gradients(net)
    backpropagate(net, weights, x, loss, [T], [gradients], Schedule(64))
    result = found.quantities(0, T)
    total = gradients.sums[0, 0, "U"]
    wanted = np.log10(1e-5 * (1 - rho**7)) if rho < 1 else np.log10(1e-5 * (1 - rho**-7))
    log10 = total.norm().log10.item()
    distance = T - 10 if rho < 1 else T - 3
    np.testing.assert_allclose(log10, wanted + distance * np.log10(rho), rtol=1e-12)
    logs = result["contribution_U"].values[0, 0, 0, 0]
    np.testing.assert_allclose(
        logs[[2, 9]], np.log10(rho) * np.array([T - 3, T - 10]) - 5, rtol=1e-12
    )
    assert (np.delete(logs, [2, 9]) == -np.inf).all()
    near, far = sorted([1.0, rho**7])
    np.testing.assert_allclose(
        result["conflict_U"].values.item(), (far - near) / (far + near), rtol=1e-12
    )


def test_a_sequence_without_error_does_not_hide_the_others():
    """The first sequence's v is 0, at exponent 0; the second's flow is 10^−1000."""
    T = 1001
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    weights = (({"U": np.ones((1, 1, 1)), "W": np.full((1, 1, 1), 0.1)},),)
    x = np.zeros((T, 1, 1, 2))
    x[0] = 1
    loss, gradients = Probe(np.array([[[0.0, 1.0]]])), Gradients(net)
    backpropagate(net, weights, x, loss, [T], [gradients], Schedule(64))
    total = gradients.sums[0, 0, "U"]
    log10 = total.log10.item()
    np.testing.assert_allclose(log10, -1000, rtol=1e-12)


def test_a_parameter_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="cec has no parameter W; it has U"):
        Contributions(Timeline(Network.of(CEC(2), 1), Sum(), [3], 1, 1), names=["W"])


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["mse", "cross_entropy"])
def test_readout(kind: Any, both: bool):
    """Against the derivative by V, by complex step for all of it, by hand for each step."""
    net, weights, x, _ = setting(LSTM(H), 2, both)
    rng = np.random.default_rng(5)
    V = rng.normal(size=(NETS, 4, net.outputs))
    targets: Array = rng.normal(size=(STEPS, 1, 4, COLUMNS))
    targets[3, 0, 1] = np.nan
    if kind == "cross_entropy":
        targets = rng.integers(-1, 4, size=(STEPS, 1, COLUMNS))
    loss = LOSSES.get(kind)(at=(2, 4, STEPS), readout=Readout(V), targets=targets)
    results = readout(net, weights, x, loss, STEPS, Schedule(3))
    index, column = 1, 1
    steps = [s - 1 for s in (2, 4, STEPS)]
    tapes, _ = forward(
        net,
        weights,
        x,
        net.initial(NETS, COLUMNS, x.dtype),
        [(0, STEPS)],
        keep=Keep.STATES,
    )
    y = outputs(tapes[-1])[:, index, :, column]
    G = np.zeros((len(steps), 4, net.outputs))
    for j, t in enumerate(steps):
        for row, col in np.ndindex(4, net.outputs):
            nudged = V[index].astype(complex)
            nudged[row, col] += 1e-200j
            z = nudged @ y[t]
            if kind == "mse":
                wanted = targets[t, 0, :, column]
                known = ~np.isnan(wanted)
                one = ((z - wanted)[known] ** 2).sum() / 4
            else:
                target = targets[t, 0, column]
                one = np.log(np.exp(z).sum()) - z[target] if target >= 0 else 0j
            G[j, row, col] = one.imag / 1e-200
    norms = np.linalg.norm(G, axis=(1, 2))
    found = results[index]
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            found["contribution_V"].values[column], np.log10(norms), rtol=1e-11
        )
    assert list(found["contribution_V"].coords["step"]) == [2, 4, STEPS]
    np.testing.assert_allclose(
        found["conflict_V"].values[column],
        np.linalg.norm(G.sum(axis=0)) / norms.sum(),
        rtol=1e-11,
    )


def test_store_then_protect_is_a_conflict_of_the_readout():
    """A CEC that holds 1 is to be read out as 1 once, and as 0 at other times."""
    net = Network.of(CEC(1), 1)
    weights = (({"U": np.ones((1, 1, 1))},),)
    x = np.zeros((4, 1, 1, 1))
    x[0] = 1
    V = np.full((1, 1, 1), 0.5)
    for targets, wanted in (([1.0] * 4, 1.0), ([1.0, 0, 1, 0], 0.0), ([1.0, 0, 0, 0], 0.5)):
        loss = MeanSquaredError(
            readout=Readout(V), targets=np.reshape(targets, (4, 1, 1, 1)), at="all"
        )
        (result,) = readout(net, weights, x, loss, 4, Schedule(2))
        np.testing.assert_allclose(result["conflict_V"].values, wanted, atol=1e-15)


def test_losses_without_readout_weights_say_so():
    net, weights, x, v = setting(CEC(H))
    with pytest.raises(ValueError, match="the loss probe has no readout"):
        readout(net, weights, x, Probe(v), STEPS, Schedule(3))
    V, targets = np.ones((NETS, 1, H)), np.zeros((STEPS, 1, 1, COLUMNS))
    loss = MeanSquaredError(readout=Readout(V), targets=targets, at=(STEPS,))
    with pytest.raises(ValueError, match="none of the loss steps lies within the length 3"):
        readout(net, weights, x, loss, 3, Schedule(2))
