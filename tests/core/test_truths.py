"""What theory says of the curves: closed forms, bounds, symmetries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe
from gradflow.core.network.stack import Layer, Network, Weights
from gradflow.testing.closed_forms import biased, closed_forms, silence
from tests import plain
from tests.flow import identical, norms, same, unit, vectors
from tests.variants import draw, in_turn, usual_cells

Array = np.ndarray[Any, Any]


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def linear(W: Array) -> tuple[Network, Weights]:
    """A linear net with recurrent weights W (nets, H, H) that reads one feature."""
    net = Network.of(cells.get("rnn")(W.shape[-1], activation="identity", bias=False), 1)
    return net, (({"U": np.ones((len(W), W.shape[-1], 1)), "W": W},),)


# --- closed forms ------------------------------------------------------------------------------


def test_carrousel_is_exactly_flat():
    cell = cells.get("cec")(5)
    rng = np.random.default_rng(0)
    weights = draw(cell, rng, inputs=3, nets=2)
    h = norms(Network.of(cell, 3), weights, rng.normal(size=(5000, 1, 3, 4)))["h"]
    assert (h == h[..., -1:]).all()
    assert np.abs(h).max() < 1e-15


def test_carrousel_counts_the_losses_ahead():
    """With v·h at all steps, ∂L/∂s_k = (T − k + 1) v, and T v for the initial state."""
    steps = 300
    cell = cells.get("cec")(4)
    net, rng = Network.of(cell, 1), np.random.default_rng(1)
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
    h = norms(net, weights, x, Probe(v), states=["h"])["h"][:, 0, 0, 0]
    lag = steps - np.arange(steps + 1)
    exact = np.log10([[0.5], [2.0]]) * lag + np.log10(np.linalg.norm(v, axis=1))
    np.testing.assert_allclose(h, exact, rtol=0, atol=1e-6)


def test_lstm_without_weights_over_100_steps():
    cell = cells.get("lstm")(2)
    for b, published in ((0.0, 7.889e-31), (1.0, 2.484e-14)):
        weights = ((biased(cell, {"f": np.array([b])}),),)
        c = norms(Network.of(cell, 1), weights, silence(100))["c"][0, 0, 0, 0]
        assert 10 ** (c[0] - c[-1]) == pytest.approx(published, rel=2e-4)


EVERY = usual_cells(4)
every = pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.label)


@every
def test_closed_forms(cell: Cell):
    forms = closed_forms(cell)
    assert forms
    assert all(form.error() < 1e-11 for form in forms)


@pytest.mark.parametrize("kind", [kind for kind in cells.names() if kind != "cec"])
def test_closed_forms_reach_below_the_smallest_float(kind: str):
    forms = [form for cell in EVERY if cell.kind == kind for form in closed_forms(cell)]
    assert min(form.exact.min() for form in forms) < -600


def test_a_closed_form_is_missed_by_little_changes():
    (form,) = closed_forms(cells.get("lstm")(2))
    assert replace(form, decades=form.decades * (1 + 1e-12)).error() > 1e-9


# --- bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "slope"), [("tanh", 1.0), ("sigmoid", 0.25)])
def test_a_step_loses_what_norm_and_slope_say(activation: str, slope: float):
    """‖∂L/∂s_{k−1}‖ ≤ ‖W‖₂ max f′ ‖∂L/∂s_k‖ (Pascanu et al. 2013)."""
    rng = np.random.default_rng(3)
    cell = cells.get("rnn")(6, activation=activation)
    weights = draw(cell, rng, inputs=2, nets=3)
    size = np.linalg.norm(weights[0][0]["W"], ord=2, axis=(1, 2))
    weights[0][0]["W"] *= (0.99 / slope / size)[:, None, None]
    h = norms(Network.of(cell, 2), weights, rng.normal(size=(400, 1, 2, 5)))["h"]
    assert (np.diff(h, axis=-1) >= -np.log10(0.99) - 1e-12).all()
    assert h[..., 0].max() < 400 * np.log10(0.99)


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
        h = norms(Network.of(cell, 1), weights, x, states=["h"])["h"][:, 0, 0, 0]
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


def case(cell: Cell, *, layers: int = 2, both: bool = False, steps: int = 12, nets: int = 2):
    rng = np.random.default_rng(8)
    net = Network.of(cell, 2, layers, both)
    directions = len(net.directions)
    weights = draw(cell, rng, inputs=2, layers=layers, directions=directions, nets=nets)
    return net, weights, rng.normal(size=(steps, 1, 2, 3))


@pytest.mark.parametrize(("cell", "gain"), in_turn(EVERY, [1e-4, 1.0, 30.0]))
def test_scaled_is_unscaled_bit_for_bit(cell: Cell, gain: float):
    """Where the plain recursion stays in range, here from 1e-120 to 1e+90, the loss joining twice;
    and so in short blocks, and where they are run again.
    """
    steps, at = 60, (30, 60)
    rng = np.random.default_rng(9)
    net = Network.of(cell, 2)
    weights = draw(cell, rng, inputs=2, nets=2, gain=gain)
    x = rng.normal(size=(steps, 1, 2, 3))
    loss = unit(net, 2, 3, at)
    p = weights[0][0]
    states, totals, drives = plain.back(cell, p, x, dict.fromkeys(at, loss.direction))
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


@pytest.mark.parametrize(("cell", "both"), in_turn(EVERY, [False, True]))
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
    moved = Probe(loss.direction[:, outputs])
    same(norms(net, other, x, moved), norms(net, weights, x, loss))


def test_where_the_top_reads_forward_its_end_is_the_last_step():
    """Also where what is below it reads both ways; and the other way round it is not."""
    rng, cell = np.random.default_rng(8), cells.get("gru")(4)
    x = rng.normal(size=(6, 1, 2, 3))
    for both in ((True, False), (False, True)):
        net = Network(2, tuple(Layer(cell, way) for way in both))
        weights = tuple(
            draw(cell, rng, inputs=net.features(k), directions=1 + way)[0]
            for k, way in enumerate(both)
        )
        v = rng.normal(size=(1, net.outputs, 3))
        ends, last = (norms(net, weights, x, Probe(v, at=at)) for at in ("ends", "last"))
        alike = all(np.array_equal(ends[k], last[k], equal_nan=True) for k in ends)
        assert alike is both[0]


@pytest.mark.parametrize(
    "cell", [c for c in EVERY if "P" in c.parameters(1)], ids=lambda c: c.label
)
def test_peephole_zero_is_none(cell: Cell):
    net, weights, x = case(cell)
    bare = type(cell)(cell.hidden, coupled=cell.coupled, forget_gate=cell.forget_gate)
    without = tuple(tuple({k: p[k] for k in "UWb"} for p in layer) for layer in weights)
    zero = tuple(tuple({**p, "P": np.zeros_like(p["P"])} for p in layer) for layer in weights)
    same(norms(net, zero, x), norms(Network.of(bare, 2, 2), without, x))


def test_full_peephole_of_a_diagonal_is_the_diagonal_one():
    lstm = cells.get("lstm")
    net, weights, x = case(lstm(4, peephole="diagonal"))

    def spread(P: Array) -> Array:
        rows = P.reshape(len(P), -1, 4)
        return (rows[..., None] * np.eye(4)).reshape(len(P), -1, 4)

    full = tuple(tuple({**p, "P": spread(p["P"])} for p in layer) for layer in weights)
    same(norms(Network.of(lstm(4, peephole="full"), 2, 2), full, x), norms(net, weights, x))
