"""What theory says of the curves: closed forms, bounds, symmetries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.losses import Loss
from gradflow.core.network import Network, Weights
from gradflow.core.schedule import Schedule
from tests import plain
from tests.flow import norms, unit, vectors
from tests.variants import draw, every_cell

Array = np.ndarray[Any, Any]


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def silence(steps: int, columns: int = 1) -> Array:
    return np.zeros((steps, 1, 1, columns))


def linear(W: Array) -> tuple[Network, Weights]:
    """A linear net with recurrent weights W (nets, H, H) that reads one feature."""
    net = Network(cells.get("rnn")(W.shape[-1], activation="identity", bias=False), 1)
    return net, (({"U": np.ones((len(W), W.shape[-1], 1)), "W": W},),)


def gated(kind: str, bias: dict[str, float], **options: Any) -> tuple[Network, Weights]:
    """A cell of two units whose weights are all 0 but for the biases of its gates."""
    cell = cells.get(kind)(2, **options)
    layout = cell.parameters(1)
    p = {name: np.zeros((1, *spec.shape)) for name, spec in layout.items()}
    for gate, level in bias.items():
        row = layout["b"].blocks.index(gate) * cell.hidden
        p["b"][:, row : row + cell.hidden] = level
    return Network(cell, 1), ((p,),)


# --- closed forms ------------------------------------------------------------------------------


def test_carrousel_is_exactly_flat():
    cell = cells.get("cec")(5)
    rng = np.random.default_rng(0)
    weights = draw(cell, rng, inputs=3, nets=2)
    h = norms(Network(cell, 3), weights, rng.normal(size=(5000, 1, 3, 4)))["h"]
    assert (h == h[..., -1:]).all()
    assert np.abs(h).max() < 1e-15


def test_carrousel_counts_the_losses_ahead():
    """With v·h at all steps, ∂L/∂s_k = (T − k + 1) v, and T v for the initial state."""
    steps = 300
    cell = cells.get("cec")(4)
    net, rng = Network(cell, 1), np.random.default_rng(1)
    h = norms(net, draw(cell, rng, inputs=1), silence(steps), unit(net, 1, 1, "all"))["h"]
    ahead = np.minimum(steps, steps + 1.0 - np.arange(steps + 1))
    np.testing.assert_allclose(h[0, 0, 0, 0], np.log10(ahead), rtol=0, atol=1e-13)


RADII = np.array([0.5, 0.9, 1.0, 1.1, 2.0])


def test_scaled_orthogonal_weights_over_100_000_steps():
    """W = ρQ and silence: log10‖∂L/∂s_k‖ = lag·log10 ρ, from 1e-30103 to 1e+30103."""
    steps, rng = 100_000, np.random.default_rng(2)
    net, weights = linear(np.stack([rho * orthogonal(rng, 4) for rho in RADII]))
    h = norms(net, weights, silence(steps), states=["h"], schedule=Schedule(256))["h"]
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(h[:, 0, 0, 0], np.log10(RADII)[:, None] * lag, rtol=0, atol=1e-9)


def test_single_precision_reaches_as_far():
    steps, rng = 2_000, np.random.default_rng(2)
    net, weights = linear(np.stack([rho * np.eye(4) for rho in (0.5, 2.0)]).astype(np.float32))
    v = rng.normal(size=(2, 4, 1)).astype(np.float32)
    x = silence(steps).astype(np.float32)
    h = norms(net, weights, x, Loss("probe", "last", v), states=["h"])["h"][:, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    exact = np.log10([[0.5], [2.0]]) * lag + np.log10(np.linalg.norm(v, axis=1))
    np.testing.assert_allclose(h, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [100, 1_000])
@pytest.mark.parametrize("b", [0.0, 1.0, -3.0, 5.0])
def test_lstm_without_weights_forgets_by_its_bias(b: float, steps: int):
    """∂c_T/∂c_0 = σ(b_f)^T."""
    net, weights = gated("lstm", {"f": b})
    c = norms(net, weights, silence(steps))["c"][0, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(c - c[-1], -lag * np.log10(1 + np.exp(-b)), rtol=0, atol=1e-9)


def test_lstm_without_weights_over_100_steps():
    for b, published in ((0.0, 7.889e-31), (1.0, 2.484e-14)):
        c = norms(*gated("lstm", {"f": b}), silence(100))["c"][0, 0, 0, 0]
        assert 10 ** (c[0] - c[-1]) == pytest.approx(published, rel=2e-4)


def test_lstm_of_1997_has_a_carrousel():
    c = norms(*gated("lstm", {}, forget_gate=False), silence(1000))["c"][0, 0, 0, 0]
    assert (c == c[0]).all()


@pytest.mark.parametrize("span", [10, 5_000])
def test_chrono_bias_keeps_a_third(span: int):
    """b_f = ln(T − 1) forgets (1 − 1/T) a step: about 1/e over T steps."""
    net, weights = gated("lstm", {"f": np.log(span - 1)})
    c = norms(net, weights, silence(span))["c"][0, 0, 0, 0]
    assert c[0] - c[-1] == pytest.approx(span * np.log10(1 - 1 / span), rel=1e-9)


@pytest.mark.parametrize("b", [0.0, 2.0, -2.0])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_gru_without_weights_leaks_by_its_bias(reset: str, b: float):
    """∂h_t/∂h_{t−1} = 1 − z where nothing else comes in."""
    steps = 500
    h = norms(*gated("gru", {"z": b}, reset=reset), silence(steps))["h"][0, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(h, -lag * np.log10(1 + np.exp(b)), rtol=0, atol=1e-9)


# --- bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "slope"), [("tanh", 1.0), ("sigmoid", 0.25)])
def test_a_step_loses_what_norm_and_slope_say(activation: str, slope: float):
    """‖∂L/∂s_{k−1}‖ ≤ ‖W‖₂ max f′ ‖∂L/∂s_k‖ (Pascanu et al. 2013)."""
    rng = np.random.default_rng(3)
    cell = cells.get("rnn")(6, activation=activation)
    weights = draw(cell, rng, inputs=2, nets=3)
    size = np.linalg.norm(weights[0][0]["W"], ord=2, axis=(1, 2))
    weights[0][0]["W"] *= (0.99 / slope / size)[:, None, None]
    h = norms(Network(cell, 2), weights, rng.normal(size=(400, 1, 2, 5)))["h"]
    assert (np.diff(h, axis=-1) >= -np.log10(0.99) - 1e-12).all()
    assert h[..., 0].max() < 400 * np.log10(0.99)


def test_the_sigmoid_bound_is_met():
    """‖W‖₂ = 4 and every unit at ½, where σ′ = ¼: the curve is flat."""
    rng = np.random.default_rng(4)
    H, steps = 4, 200
    cell = cells.get("rnn")(H, activation="sigmoid")
    W = 4 * orthogonal(rng, H)
    rest = -W.sum(axis=1, keepdims=True) / 2
    x = silence(steps)
    x[0] = 1
    weights = (({"U": -rest[None], "W": W[None], "b": rest[None]},),)
    h = norms(Network(cell, 1), weights, x)["h"][0, 0, 0, 0]
    np.testing.assert_allclose(h, 0, atol=1e-11)


def test_order_turns_to_chaos_at_gain_one():
    """Autonomous tanh nets, W ~ N(0, g²/N): λ = 0.1547 at g = 2 (Sompolinsky et al. 1988)."""
    rng = np.random.default_rng(5)
    N, steps, nets = 300, 400, 4
    cell = cells.get("rnn")(N, bias=False)
    x = silence(steps)
    x[0] = 1
    rates = {}
    for gain in (0.8, 2.0):
        W = gain / np.sqrt(N) * rng.normal(size=(nets, N, N))
        weights = (({"U": rng.normal(size=(nets, N, 1)), "W": W},),)
        h = norms(Network(cell, 1), weights, x, states=["h"])["h"][:, 0, 0, 0]
        rates[gain] = np.log(10) * np.median(h[:, 100] - h[:, 380]) / 280
    assert rates[0.8] == pytest.approx(np.log(0.8), abs=0.05)
    assert rates[2.0] == pytest.approx(0.1547, abs=0.03)


def test_tied_gaussian_weights_grow_with_their_gain_at_first():
    """Median over nets of log‖(Wᵀ)^k v‖ is k log g while k ≪ N."""
    rng = np.random.default_rng(6)
    N, nets, steps = 100, 200, 4
    net, weights = linear(1.5 / np.sqrt(N) * rng.normal(size=(nets, N, N)))
    h = norms(net, weights, silence(steps), states=["h"])["h"][:, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(np.median(h, axis=0), lag * np.log10(1.5), rtol=0, atol=0.02)


# --- identities --------------------------------------------------------------------------------

EVERY = every_cell(4)
every = pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.label)


def case(cell: Cell, *, layers: int = 2, both: bool = False, steps: int = 12, nets: int = 2):
    rng = np.random.default_rng(8)
    net = Network(cell, 2, layers, both)
    directions = len(net.directions)
    weights = draw(cell, rng, inputs=2, layers=layers, directions=directions, nets=nets)
    return net, weights, rng.normal(size=(steps, 1, 2, 3))


def same(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    assert found.keys() == wanted.keys()
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-11, err_msg=name)


def identical(found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    assert found.keys() == wanted.keys()
    for key, (m, e) in found.items():
        np.testing.assert_array_equal(m, wanted[key][0], err_msg=str(key))
        np.testing.assert_array_equal(e, wanted[key][1], err_msg=str(key))


@every
def test_a_loss_times_two_to_the_k_shifts_every_exponent(cell: Cell):
    net, weights, x = case(cell)
    loss = unit(net, 2, 3, "all")
    wanted = vectors(net, weights, x, loss)
    for power in (-900, 900):
        louder = Loss("probe", "all", np.ldexp(loss.readout, power))
        found = vectors(net, weights, x, louder)
        identical(
            found, {key: (m, np.where(m == 0, 0, e + power)) for key, (m, e) in wanted.items()}
        )


@every
@pytest.mark.parametrize("gain", [1e-4, 1.0, 30.0])
def test_scaled_is_unscaled_bit_for_bit(cell: Cell, gain: float):
    """Where the plain recursion stays in range, here from 1e-120 to 1e+90, the loss joining twice;
    and so in short blocks, and where they are run again.
    """
    steps, at = 60, (30, 60)
    rng = np.random.default_rng(9)
    net = Network(cell, 2)
    weights = draw(cell, rng, inputs=2, nets=2, gain=gain)
    x = rng.normal(size=(steps, 1, 2, 3))
    loss = unit(net, 2, 3, at)
    p = weights[0][0]
    states, totals, drives = plain.back(cell, p, x, dict.fromkeys(at, loss.readout))
    wanted = {}
    for step in range(steps + 1):
        wanted["h", 0, 0, step] = states[step][0]
        for j, part in enumerate(cell.parts[1:]):
            wanted[f"carried_{part}", 0, 0, step] = states[step][j + 1]
            wanted[part, 0, 0, step] = totals[step - 1][j] if step else states[0][j + 1]
        if step:
            wanted["x", 0, 0, step] = cell.drive_vjp(p, drives[step - 1])
    for schedule in (Schedule(64), Schedule(7, keep=False)):
        found = vectors(net, weights, x, loss, schedule)
        identical(found, {key: np.frexp(value) for key, value in wanted.items()})


@pytest.mark.parametrize("kind", cells.names())
def test_run_again_is_kept(kind: str):
    """The same logarithms, bit for bit, whether tapes are kept or made anew."""
    net, weights, x = case(cells.get(kind)(4), steps=50)
    kept = norms(net, weights, x, schedule=Schedule(8))
    again = norms(net, weights, x, schedule=Schedule(8, keep=False))
    for name in kept:
        np.testing.assert_array_equal(again[name], kept[name])


@every
@pytest.mark.parametrize("both", [False, True])
def test_units_have_no_order(cell: Cell, both: bool):
    net, weights, x = case(cell, both=both)
    H = cell.hidden
    order = np.random.default_rng(10).permutation(H)
    outputs = np.concatenate([d * H + order for d in range(len(net.directions))])

    def shuffled(p: dict[str, Array], layer: int) -> dict[str, Array]:
        out = {}
        for name, spec in net.parameters(layer).items():
            rows = np.concatenate([k * H + order for k in range(len(spec.blocks))])
            array = p[name][:, rows]
            if spec.role in ("recurrent", "peephole") and spec.cols == H:
                array = array[..., order]
            elif spec.role == "input" and layer:
                array = array[..., outputs]
            out[name] = array
        return out

    other = tuple(
        tuple(shuffled(p, layer) for p in directions) for layer, directions in enumerate(weights)
    )
    loss = unit(net, 2, 3)
    moved = Loss("probe", "last", loss.readout[:, outputs])
    same(norms(net, other, x, moved), norms(net, weights, x, loss))


@every
@pytest.mark.parametrize("both", [False, True])
def test_batched_is_single(cell: Cell, both: bool):
    net, weights, x = case(cell, both=both)
    loss = unit(net, 2, 3, "all")
    together = norms(net, weights, x, loss)
    for n in range(2):
        own = tuple(tuple({k: a[n : n + 1] for k, a in p.items()} for p in d) for d in weights)
        for j in range(3):
            v = loss.readout[n : n + 1, :, j : j + 1]
            alone = norms(net, own, x[..., j : j + 1], Loss("probe", "all", v))
            same(alone, {k: a[n : n + 1, :, :, j : j + 1] for k, a in together.items()})


@every
def test_reversed_input_swaps_the_directions(cell: Cell):
    net, weights, x = case(cell, both=True)
    H = cell.hidden
    swap = np.r_[H : 2 * H, 0:H]

    def exchanged(layer: int, p: dict[str, Array]) -> dict[str, Array]:
        return p if layer == 0 else {**p, "U": p["U"][..., swap]}

    mirrored = tuple(
        tuple(exchanged(layer, p) for p in directions[::-1])
        for layer, directions in enumerate(weights)
    )
    loss = unit(net, 2, 3, "all")
    there = norms(net, weights, x, loss)
    back = norms(net, mirrored, x[::-1], Loss("probe", "all", loss.readout[:, swap]))
    x_there, x_back = there.pop("x"), back.pop("x")
    same(back, {name: a[:, :, ::-1] for name, a in there.items()})
    np.testing.assert_allclose(x_back, x_there[..., ::-1], rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "cell", [c for c in EVERY if "P" in c.parameters(1)], ids=lambda c: c.label
)
def test_peephole_zero_is_none(cell: Cell):
    net, weights, x = case(cell)
    bare = type(cell)(cell.hidden, coupled=cell.coupled, forget_gate=cell.forget_gate)
    without = tuple(tuple({k: p[k] for k in "UWb"} for p in layer) for layer in weights)
    zero = tuple(tuple({**p, "P": np.zeros_like(p["P"])} for p in layer) for layer in weights)
    same(norms(net, zero, x), norms(Network(bare, 2, 2), without, x))


def test_full_peephole_of_a_diagonal_is_the_diagonal_one():
    lstm = cells.get("lstm")
    net, weights, x = case(lstm(4, peephole="diagonal"))

    def spread(P: Array) -> Array:
        rows = P.reshape(len(P), -1, 4)
        return (rows[..., None] * np.eye(4)).reshape(len(P), -1, 4)

    full = tuple(tuple({**p, "P": spread(p["P"])} for p in layer) for layer in weights)
    same(norms(Network(lstm(4, peephole="full"), 2, 2), full, x), norms(net, weights, x))
