"""The carrousel and the gates: both parts, their sum, and the gradient that is cut to the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell
from gradflow.core.cells.carrousel_only import CarrouselOnly
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.observe import Block
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Loss, Probe, Sum
from gradflow.core.network.stack import Network, Weights
from gradflow.core.record import Adjoints, Gradients, Norms, Timeline
from gradflow.core.record.paths import Parts, Paths
from tests.variants import draw, in_turn, usual_cells

H, F, STEPS, NETS, COLUMNS = 3, 2, 7, 2, 2
CARROUSELS = [cell for cell in usual_cells(H) if cell.kind != "rnn"]
LOG10_2 = np.log10(2)

Array = np.ndarray[Any, Any]


class Kept(Paths):
    """Paths that keep the vectors themselves."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.parts: dict[tuple[int, int, int], Parts] = {}

    def split(self, block: Block) -> Parts:
        parts = super().split(block)
        each = (parts.whole, parts.carrousel, parts.gates)
        for k in range(len(parts.whole.exponent)):
            one = [scaled[k] for scaled in each]
            step = parts.first + k
            self.parts[block.layer, block.direction, step] = Parts(step, *one)
        return parts


def run(
    net: Network, weights: Weights, x: Array, loss: Loss, lengths: list[int], block: int = 3
) -> tuple[Kept, Norms]:
    nets, columns = weights[0][0]["U"].shape[0], x.shape[-1]
    timeline = Timeline(net, loss, lengths, nets, columns)
    paths, norms = Kept(timeline), Norms(timeline, ["h", "c"])
    backpropagate(net, weights, x, loss, lengths, [paths, norms], Schedule(block))
    return paths, norms


def setting(cell: Cell, layers: int = 1, both: bool = False) -> tuple[Network, Weights, Array, Any]:
    rng = np.random.default_rng(layers)
    net = Network.of(cell, F, layers, both)
    weights = draw(
        cell, rng, inputs=F, layers=layers, directions=len(net.directions), nets=NETS, gain=1.3
    )
    v = rng.normal(size=(NETS, net.outputs, COLUMNS))
    return net, weights, rng.normal(size=(STEPS, 1, F, COLUMNS)), v


SLOPES = {
    "tanh": lambda c: 1 / np.cosh(c) ** 2,
    "identity": np.ones_like,
    "squash1": lambda c: 0.5 / np.cosh(c / 2) ** 2,
    "squash2": lambda c: 1 / np.cosh(c / 2) ** 2,
}


def forward(cell: Cell, p: Any, x: Array) -> list[tuple[Array, Array, dict[str, Array]]]:
    """Factor, entrance and gates of each step, from the equations with the gates held."""
    state = tuple(np.zeros((NETS, size, x.shape[-1])) for size in cell.sizes)
    steps = []
    for u in cell.drive(p, x):
        state, cache = cell.step(p, state, u)
        gates, one = cell.open_gates(cache), np.ones_like(state[0])
        if cell.parts == ("h", "c"):
            slope = SLOPES[getattr(cell, "output_activation", "tanh")]
            enter = gates["o"] * slope(state[1])
            steps.append((gates.get("f", one), enter, gates))
        else:
            steps.append((1 - gates.get("z", 0 * one), one, gates))
    return steps


@pytest.mark.parametrize(
    ("cell", "shape"), in_turn(CARROUSELS, [(1, False), (2, False), (2, True)])
)
def test_the_parts_sum_to_the_whole(cell: Cell, shape: tuple[int, bool]):
    net, weights, x, v = setting(cell, *shape)
    paths, norms = run(net, weights, x, Probe(v, at="all"), [STEPS])
    assert len(paths.parts) == (STEPS + 1) * len(list(net.places()))
    for (layer, direction, step), parts in paths.parts.items():
        whole, carrousel, gates = (
            part.plain for part in (parts.whole, parts.carrousel, parts.gates)
        )
        each = [np.linalg.norm(a, axis=-2) for a in (whole, carrousel, gates)]
        error = np.linalg.norm(carrousel + gates - whole, axis=-2)
        assert (error <= 1e-12 * np.max(each, axis=0)).all(), (layer, direction, step)
        recorded = norms.series[cell.parts[-1]].values[0][:, layer, direction, :, step]
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(np.log10(each[0]), recorded, atol=1e-12)
        found = {
            name: s.values[0][:, layer, direction, :, step] for name, s in paths.series.items()
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            np.testing.assert_allclose(found["carrousel"], np.log10(each[1]), atol=1e-12)
            np.testing.assert_allclose(found["gates"], np.log10(each[2]), atol=1e-12)
            cosine = np.sum(carrousel * gates, axis=-2) / (each[1] * each[2])
            share = each[1] / (each[1] + each[2])
        np.testing.assert_allclose(found["cosine"], cosine, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found["share"], share, rtol=1e-12)


@pytest.mark.parametrize("lengths", [[STEPS], [STEPS, 3, 4]])
def test_a_loss_on_the_cell_state_enters_the_carrousel(lengths: list[int]):
    net, weights, x, _ = setting(LSTM(H, peephole="diagonal"), 2)
    v = np.random.default_rng(9).normal(size=(NETS, H, COLUMNS))
    paths, _ = run(net, weights, x, Probe(v, at="ends", of="c"), lengths)
    for place, parts in paths.parts.items():
        whole, carrousel, gates = (one.plain for one in (parts.whole, parts.carrousel, parts.gates))
        error = np.linalg.norm(carrousel + gates - whole, axis=-2)
        assert (error <= 1e-12 * np.linalg.norm(whole, axis=-2)).all(), place
    end = paths.parts[1, 0, STEPS].carrousel.plain
    np.testing.assert_allclose(end.reshape(v.shape), v, rtol=1e-12)


@pytest.mark.parametrize("cell", CARROUSELS, ids=lambda cell: cell.label)
def test_the_carrousel_is_the_sum_of_products_of_its_factors(cell: Cell):
    net, weights, x, v = setting(cell)
    at = (3, STEPS)
    paths, _ = run(net, weights, x, Probe(v, at=at), [STEPS])
    steps = forward(cell, weights[0][0], x)
    for k in range(STEPS + 1):
        wanted = np.zeros_like(v)
        for t in at:
            if t >= max(k, 1):
                factors = [steps[m - 1][0] for m in range(k + 1, t + 1)]
                wanted += np.prod([*factors, steps[t - 1][1], v], axis=0)
        found = paths.parts[0, 0, k].carrousel.plain
        error = np.linalg.norm(found - wanted, axis=-2)
        assert (error <= 1e-12 * np.linalg.norm(wanted, axis=-2)).all()


def silent(cell: Cell, nets: int = 1, inputs: int = 1) -> dict[str, Array]:
    return {k: np.zeros((nets, *q.shape)) for k, q in cell.parameters(inputs).items()}


@pytest.mark.parametrize("peephole", ["none", "diagonal", "full"])
@pytest.mark.parametrize("bias", [0.0, 1.0, -9.2])
def test_without_weights_the_lstm_is_its_carrousel(bias: float, peephole: Any):
    """∂c_T/∂c_k = σ(b)^lag, through as much as 2000 decades."""
    cell, T = LSTM(2, peephole=peephole), 500
    p = silent(cell)
    p["b"][:, 2:4] = bias
    v = np.ones((1, 2, 1))
    paths, norms = run(Network.of(cell, 1), ((p,),), np.zeros((T, 1, 1, 1)), Probe(v), [T], 64)
    result = paths.quantities(0, T)
    carrousel, share = (result[f"path_{k}"].values[0, 0, 0] for k in ("carrousel", "share"))
    lags = result["path_carrousel"].coords["lag"][0]
    wanted = carrousel[-1] - lags * np.log10(1 + np.exp(-bias))
    np.testing.assert_allclose(carrousel, wanted, rtol=1e-12)
    np.testing.assert_allclose(carrousel, norms.series["c"].values[0][0, 0, 0, 0], rtol=1e-12)
    assert (share == 1).all()
    assert (result["path_gates"].values == -np.inf).all()
    assert np.isnan(result["path_cosine"].values).all()


def test_the_constant_error_carrousel_is_all_carrousel():
    net, weights, x, v = setting(CEC(H))
    paths, _ = run(net, weights, x, Probe(v), [STEPS])
    result = paths.quantities(1, STEPS)
    assert (result["path_share"].values == 1).all()
    assert (np.ptp(result["path_carrousel"].values, axis=-1) == 0).all()


@pytest.mark.parametrize("reset", ["before", "after"])
def test_without_recurrent_weights_the_gru_is_its_leak(reset: Any):
    net, weights, x, v = setting(GRU(H, reset=reset))
    weights[0][0]["W"][:] = 0
    paths, norms = run(net, weights, x, Probe(v), [STEPS])
    assert (paths.series["share"].values[0] == 1).all()
    np.testing.assert_allclose(
        paths.series["carrousel"].values[0], norms.series["h"].values[0], rtol=1e-12
    )


def test_both_parts_keep_their_precision_when_they_cancel():
    """One unit: the whole is 0.5^lag, the carrousel 0.99^lag, and so the gates all but −carrousel.

    h = tanh(c)/2 with c ≈ 0, so h feeds ½·c back into the candidate: dc_{t−1} = (f + w i / 2) dc.
    """
    cell, T = LSTM(1), 1000
    p = silent(cell)
    f = 0.99
    p["b"][:, 1] = np.log(f / (1 - f))
    p["W"][:, 3] = 4 * (0.5 - f)
    v = np.ones((1, 1, 1))
    loss = Probe(v)
    paths, norms = run(Network.of(cell, 1), ((p,),), np.zeros((T, 1, 1, 1)), loss, [T], 64)
    result = {k: q.values[0, 0, 0] for k, q in paths.quantities(0, T).items()}
    lag = np.arange(T, 0, -1) - 1
    whole = norms.series["c"].values[0][0, 0, 0, 0, 1:]
    np.testing.assert_allclose(whole, np.log10(0.5) + lag * np.log10(0.5), rtol=1e-12)
    carrousel = np.log10(0.5) + lag * np.log10(f)
    np.testing.assert_allclose(result["path_carrousel"][1:], carrousel, rtol=1e-12)
    far = lag > 100
    np.testing.assert_allclose(result["path_gates"][1:][far], carrousel[far], rtol=1e-12)
    assert (result["path_cosine"][1:][far] == -1).all()
    np.testing.assert_allclose(result["path_share"][1:][far], 0.5, rtol=1e-12)


def test_parts_hundreds_of_decades_apart():
    """An exploding flow through the gates hides neither a vanished carrousel nor a late loss."""
    cell = LSTM(1)
    p = silent(cell)
    f = 1e-4
    p["b"][:, 1] = np.log(f / (1 - f))
    p["W"][:, 3] = 4 * (1.5 - f)
    for at, T in (("last", 2000), ("all", 1000)):
        loss = Probe(np.ones((1, 1, 1)), at=at)
        paths, norms = run(Network.of(cell, 1), ((p,),), np.zeros((T, 1, 1, 1)), loss, [T], 64)
        result = {k: q.values[0, 0, 0] for k, q in paths.quantities(0, T).items()}
        lag = np.arange(T, 0, -1) - 1
        if at == "last":
            wanted = np.log10(0.5) + lag * np.log10(f)
            whole = np.log10(0.5) + lag * np.log10(1.5)
        else:
            wanted = np.log10(0.5 * (1 - f ** (lag + 1.0)) / (1 - f))
            log_sum = lag * np.log10(1.5) + np.log10((1.5 - 1.5 ** (-1.0 * lag)) / 0.5)
            whole = np.log10(0.5) + log_sum
        np.testing.assert_allclose(result["path_carrousel"][1:], wanted, rtol=1e-11)
        np.testing.assert_allclose(norms.series["c"].values[0][0, 0, 0, 0, 1:], whole, rtol=1e-11)
        np.testing.assert_allclose(result["path_gates"][1:-9], whole[:-9], rtol=1e-2)
        assert result["path_share"][1] < 1e-170


def test_a_loss_after_a_long_silence_leaves_the_old_error_in_the_gates():
    """Loss at T and, thousands of decades later, at step 2: the older flow is still exact."""
    cell, T = LSTM(1), 2000
    p = silent(cell)
    f = 0.1
    p["b"][:, 1] = np.log(f / (1 - f))
    p["W"][:, 3] = 4 * (0.3 - f)
    v = np.ones((1, 1, 1))
    one, two = (
        run(Network.of(cell, 1), ((p,),), np.zeros((T, 1, 1, 1)), Probe(v, at=at), [T], 64)[0]
        for at in ((T,), (2, T))
    )
    at_two = [paths.parts[0, 0, 2].gates for paths in (one, two)]
    logs = [np.log2(s.values) + s.exponent for s in at_two]
    assert logs[0] < -3000
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-12)


def test_lengths_that_run_together_have_the_parts_of_their_own():
    net, weights, x, v = setting(LSTM(H, peephole="full"), 2)
    loss, lengths = Probe(v, at="all"), [STEPS, 4, 1]
    together, _ = run(net, weights, x, loss, lengths)
    for length in lengths:
        alone, _ = run(net, weights, x, loss, [length])
        for net_index in range(NETS):
            found = together.quantities(net_index, length)
            for name, wanted in alone.quantities(net_index, length).items():
                np.testing.assert_allclose(found[name].values, wanted.values, rtol=1e-11)
                np.testing.assert_array_equal(found[name].coords["lag"], wanted.coords["lag"])


def test_a_cell_without_a_carrousel_says_so():
    with pytest.raises(ValueError, match="rnn has no carrousel: no part of its state"):
        Paths(Timeline(Network.of(RNN(H), F), Sum(), [STEPS], 1, 1))
    with pytest.raises(ValueError, match="rnn has no carrousel"):
        CarrouselOnly.of(RNN(H))


@pytest.mark.parametrize("cell", CARROUSELS, ids=lambda cell: cell.label)
def test_the_truncated_gradient_is_the_carrousel_part(cell: Cell):
    net, weights, x, v = setting(cell)
    loss = Probe(v, at="all")
    paths, _ = run(net, weights, x, loss, [STEPS])
    cut = net.of_cells(CarrouselOnly.of)
    vectors = Adjoints(cut)
    own = Paths(Timeline(cut, loss, [STEPS], NETS, COLUMNS))
    backpropagate(cut, weights, x, loss, [STEPS], [vectors, own], Schedule(3))
    for k in range(STEPS + 1):
        found = vectors.of(cell.parts[-1], 0, 0, k)
        np.testing.assert_allclose(found.plain, paths.parts[0, 0, k].carrousel.plain, rtol=1e-12)
    assert (own.series["share"].values[0] == 1).all()
    assert cut.label == f"{cell.label}, carrousel only"
    assert cut.layers[0].cell.gates == cell.gates


TINY = 1e-200


def held(cell: Cell, p: Any, base: Any, x: Array, c: Array) -> tuple[Array, Array]:
    """One step whose gates and candidate read the states of `base`: (h, c) of one sequence."""
    (h_was, c_was), (_, c_is) = base
    names = cell.parameters(F)["U"].blocks
    a = dict(zip(names, np.split(p["U"] @ x, len(names)), strict=True))
    b = np.split(p["b"], len(names)) if "b" in p else [0] * len(names)
    W = np.split(p["W"], len(names)) if "W" in p else []
    if cell.kind == "cec":
        return c + a["g"], c + a["g"]
    for name, bias in zip(names, b, strict=True):
        a[name] = a[name] + bias
    if cell.kind == "lstm":
        for name, matrix in zip(names, W, strict=True):
            a[name] = a[name] + matrix @ h_was
        if "P" in p:
            peeping = cell.parameters(F)["P"].blocks
            for name, P in zip(peeping, np.split(p["P"], len(peeping)), strict=True):
                seen = c_is if name == "o" else c_was
                a[name] = a[name] + (P * seen if P.shape[1] == 1 else P @ seen)
        s = {name: 1 / (1 + np.exp(-value)) for name, value in a.items()}
        f = s.get("f", 1)
        i = 1 - f if "i" not in s else s["i"]
        c = f * c + i * np.tanh(a["g"])
        return s["o"] * np.tanh(c), c
    z, r = (1 / (1 + np.exp(-(a[n] + m @ h_was))) for n, m in zip("zr", W[:2], strict=True))
    if cell.reset == "before":
        g = np.tanh(a["g"] + W[2] @ (r * h_was))
    else:
        g = np.tanh(a["g"] + r * (W[2] @ h_was + p.get("b_rec", 0)))
    c = (1 - z) * c + z * g
    return c, c


@pytest.mark.parametrize(
    "cell", [cell for cell in CARROUSELS if cell.kind != "block"], ids=lambda cell: cell.label
)
def test_the_truncated_parameter_gradient_by_complex_step(cell: Cell):
    """Σ_t v·h_t along a random direction, gates and candidate reading states it does not reach."""
    net, weights, x, v = setting(cell)
    cut, gradients = net.of_cells(CarrouselOnly.of), Gradients(net)
    backpropagate(cut, weights, x, Probe(v, at="all"), [STEPS], [gradients], Schedule(3))
    p = {name: value[1] for name, value in weights[0][0].items()}

    def total(p: Any, column: int) -> Any:
        base = [(np.zeros((H, 1)), np.zeros((H, 1)))]
        plain_p = {name: value.real for name, value in p.items()}
        for x_t in x[:, 0, :, column, None]:
            state = (base[-1], base[-1])
            h, c = held(cell, plain_p, state, x_t, base[-1][1])
            if cell.kind == "lstm":
                h, c = held(cell, plain_p, (base[-1], (h, c)), x_t, base[-1][1])
            base.append((h, c))
        c, loss = np.zeros((H, 1)), 0
        for t, x_t in enumerate(x[:, 0, :, column, None]):
            h, c = held(cell, p, (base[t], base[t + 1]), x_t, c)
            loss = loss + (v[1, :, column] * h[:, 0]).sum()
        return loss

    rng = np.random.default_rng(1)
    for name, value in p.items():
        direction = rng.normal(size=value.shape)
        nudged = {k: a.astype(complex) for k, a in p.items()}
        nudged[name] += 1j * TINY * direction
        wanted = sum(total(nudged, column).imag for column in range(COLUMNS)) / TINY
        found = gradients.sums[0, 0, name].plain[1]
        bound = np.linalg.norm(found) * np.linalg.norm(direction)
        assert abs(np.sum(found * direction) - wanted) <= 1e-13 * bound, name
