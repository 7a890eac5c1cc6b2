"""Optimisers against their definitions, gradients against the measuring engine, and the loop."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gradflow.core.analyses.truncated import truncated
from gradflow.core.cells import CEC, GRU, LSTM, RNN
from gradflow.core.cells.block import MemoryBlock
from gradflow.core.cells.carrousel_only import CarrouselOnly
from gradflow.core.engine import plain
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.plain import unrolled, weight_gradients
from gradflow.core.engine.schedule import Schedule
from gradflow.core.inputs import TASKS, Batch, Criterion
from gradflow.core.learning.feed import Feed, question
from gradflow.core.learning.loop import Rules, Trainer
from gradflow.core.learning.objective import Objective
from gradflow.core.learning.optimisers import SGD, Adam, Clip, Momentum
from gradflow.core.learning.parameters import Layout
from gradflow.core.network.losses import MeanSquaredError
from gradflow.core.network.readout import Head
from gradflow.core.network.stack import Layer, Network
from gradflow.core.record import Gradients

NETS, STEPS = 3, 10

CELLS = [
    RNN(3),
    CEC(3),
    LSTM(3),
    LSTM(3, peephole="diagonal"),
    LSTM(3, peephole="full", forget_gate=False),
    GRU(3),
    GRU(3, reset="after"),
    MemoryBlock(2, size=2),
    MemoryBlock(3, forget_gate=True, feedback="cells", biases="gates"),
]


def drawn(net, readout, seed=0, nets=NETS):
    layout = Layout(net, readout)
    theta = 0.5 * np.random.default_rng(seed).standard_normal((nets, layout.size))
    return layout, theta


def adding(count, rng, steps=STEPS):
    return TASKS.get("adding")().draw(steps, count, rng)


def both(cell):
    return Network(2, (Layer(cell, True), Layer(replace(cell, hidden=cell.hidden + 1))))


def losses(net, objective, layout, theta, asked):
    weights, readout = layout.views(theta)
    return objective.ask(net, weights, readout, asked).loss.mean(axis=1)


def gradient(net, objective, layout, theta, asked, **options):
    weights, readout = layout.views(theta)
    forward = unrolled(net, weights, asked.x)
    y = objective.read(forward, asked)
    _, o, do = objective.answer(readout, y, asked)
    head = objective.head.of(readout)
    dy, own = head.vjp(do, o), head.summed(y, asked.x[asked.steps], o, do)
    placed = objective.placed(dy, asked)
    return layout.row(weight_gradients(net, weights, forward, placed, **options), own)


def slopes(net, objective, layout, theta, asked, step=1e-6):
    """Central differences of every parameter."""
    found = np.empty_like(theta)
    for k in range(layout.size):
        up, down = theta.copy(), theta.copy()
        up[:, k] += step
        down[:, k] -= step
        found[:, k] = losses(net, objective, layout, up, asked)
        found[:, k] -= losses(net, objective, layout, down, asked)
    return found / (2 * step)


@pytest.mark.parametrize(
    "net",
    [Network.of(cell, 2) for cell in CELLS] + [both(GRU(2)), Network.of(GRU(2), 2, 2, True)],
    ids=lambda net: net.label,
)
def test_gradients_are_those_of_differences(net):
    objective = Objective("half_squares", Head(1, shortcut=True, activation="logistic"))
    layout, theta = drawn(net, objective.head)
    rng = np.random.default_rng(5)
    asked = question([adding(2, rng, 6) for _ in range(NETS)])
    got = gradient(net, objective, layout, theta, asked)
    want = slopes(net, objective, layout, theta, asked)
    assert np.linalg.norm(got - want) <= 1e-7 * np.linalg.norm(want)


@pytest.mark.parametrize("cell", [RNN(3), LSTM(3), MemoryBlock(2, size=2)], ids=lambda c: c.label)
def test_what_all_gates_meet_is_one_product(monkeypatch, cell):
    monkeypatch.setattr(plain, "_sum", lambda summand: pytest.fail(f"{summand.gate} by itself"))
    net, objective = Network.of(cell, 2), Objective("half_squares", Head(1))
    layout, theta = drawn(net, objective.head)
    asked = question([adding(2, np.random.default_rng(5), 6) for _ in range(NETS)])
    assert gradient(net, objective, layout, theta, asked).all()


@pytest.mark.parametrize("steps", [1, 6])
def test_each_direction_is_read_at_its_own_end(steps):
    """[h→_T; h←_1]: the gradient is that of differences, and the one that is recorded."""
    net, objective = Network.of(GRU(3), 2, 2, True), Objective("mse", Head(1), ends=True)
    layout, theta = drawn(net, objective.head)
    rng = np.random.default_rng(5)
    drawn_each = [adding(2, rng, 6) for _ in range(NETS)]
    asked = question(
        [replace(one, x=one.x[-steps:], targets=one.targets[-steps:]) for one in drawn_each]
    )
    got = gradient(net, objective, layout, theta, asked)
    want = slopes(net, objective, layout, theta, asked)
    assert np.linalg.norm(got - want) <= 1e-7 * np.linalg.norm(want)
    weights, head = layout.views(theta)
    targets = np.repeat(asked.targets, steps, axis=0)
    loss = MeanSquaredError(at="ends", readout=objective.head.of(head), targets=targets)
    found = Gradients(net)
    backpropagate(net, weights, asked.x, loss, [steps], [found], Schedule(2))
    for (layer, way, name), span in layout.spans.items():
        if layer != -1 and name in ("U", "W"):
            recorded = found.sums[layer, way, name].plain.reshape(NETS, -1) / 2
            assert np.linalg.norm(got[:, span] - recorded) <= 1e-12 * np.linalg.norm(recorded)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "half_squares"])
def test_every_loss_at_every_step_with_targets(loss):
    net = Network.of(LSTM(3), 8)
    objective = Objective(loss, Head(4))
    layout, theta = drawn(net, objective.head)
    batches = [TASKS.get("temporal-order")().draw(STEPS, 3, seed) for seed in range(NETS)]
    asked = question(batches)
    got = gradient(net, objective, layout, theta, asked)
    want = slopes(net, objective, layout, theta, asked)
    assert np.linalg.norm(got - want) <= 1e-7 * np.linalg.norm(want)


@pytest.mark.parametrize("cell", [c for c in CELLS if c.kind != "rnn"], ids=lambda c: c.label)
def test_carrousel_is_the_cut_cell_taken_back_step_by_step(cell):
    net, cut = Network.of(cell, 2), Network.of(CarrouselOnly.of(cell), 2)
    objective = Objective("mse", Head(1))
    layout, theta = drawn(net, objective.head)
    batch = adding(4, np.random.default_rng(5))
    batch.targets[::3] = 0.25  # losses on the way, too
    asked = question([batch] * NETS)
    got = gradient(net, objective, layout, theta, asked, carrousel=True)
    want = gradient(cut, objective, layout, theta, asked)
    assert np.linalg.norm(got - want) <= 1e-13 * np.linalg.norm(want)
    if cell.kind != "cec":  # a CEC has nothing to be cut from
        exact = gradient(net, objective, layout, theta, asked)
        assert np.linalg.norm(got - exact) > 1e-3 * np.linalg.norm(exact)


@pytest.mark.parametrize(("k1", "k2"), [(1, 3), (4, 4), (3, 7)])
@pytest.mark.parametrize("cell", [RNN(3), LSTM(3, peephole="diagonal")], ids=lambda c: c.label)
def test_a_gradient_cut_in_time_is_the_one_that_is_recorded(cell, k1, k2):
    net, objective = Network.of(cell, 2, 2), Objective("mse", Head(1))
    layout, theta = drawn(net, objective.head)

    def every_step(count, rng):
        batch = adding(count, rng)
        return replace(batch, targets=np.cumsum(batch.x[:, :, :1], axis=0))

    feed = Feed(every_step, STEPS, [0] * NETS, 4)
    asked, (weights, head) = feed(0), layout.views(theta)
    cut, exact = (
        Trainer(net, objective, theta, feed, Rules(SGD(), method=one))._learn(asked)[1]
        for one in ((k1, k2), "exact")
    )
    loss = MeanSquaredError(at="all", readout=objective.head.of(head), targets=asked.targets)
    found = Gradients(net)
    truncated(net, weights, asked.x, loss, STEPS, k1, k2, [found], Schedule(2))
    for (layer, way, name), span in layout.spans.items():
        if layer != -1 and name in ("U", "W"):
            want = found.sums[layer, way, name].plain.reshape(NETS, -1) / 4  # a mean over columns
            assert np.linalg.norm(cut[:, span] - want) <= 1e-12 * np.linalg.norm(want)
            assert np.linalg.norm(exact[:, span] - want) > 1e-4 * np.linalg.norm(want)


def test_an_adjoint_is_shortened_before_it_goes_on():
    """One unit, s_t = w s_{t−1} + x_t: the adjoint would be v w^lag, and is at most the bound."""
    net = Network.of(RNN(1, activation="identity", bias=False), 1)
    objective = Objective("mse", Head(1, bias=False))
    layout = Layout(net, objective.head)
    theta = np.array([[1.0, 2.0, 1.0]])  # U, W, V
    x, targets = np.ones((4, 1, 1, 1)), np.full((4, 1, 1, 1), np.nan)
    targets[-1] = 14.0  # o = 15: ∂L/∂h_4 = 2
    asked = question([Batch(x, targets, "values")])
    clip = Clip(adjoint=3.0)
    got = gradient(net, objective, layout, theta, asked, shorten=clip.shorten)
    # ∂L/∂h: 2, min(4, 3), min(6, 3), min(6, 3); s: 0, 1, 3, 7
    np.testing.assert_allclose(got, [[2 + 3 + 3 + 3, 7 * 2 + 3 * 3 + 1 * 3, 2 * 15]])


def test_steps_after_the_last_target_are_not_read():
    batch = adding(2, np.random.default_rng(0))
    longer = Batch(
        np.concatenate([batch.x, np.full((3, 1, 2, 2), np.nan)]),
        np.concatenate([batch.targets, np.full((3, 1, 1, 2), np.nan)]),
        "values",
    )
    a, b = question([batch]), question([longer])
    np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(a.targets, b.targets)


# --- the loop ----------------------------------------------------------------------------------


def trainer(rules, nets=NETS, seeds=None, hidden=4, steps=STEPS, **feed):
    net, objective = Network.of(LSTM(hidden), 2), Objective("mse", Head(1))
    _, theta = drawn(net, objective.head, nets=nets)
    seeds = list(range(nets)) if seeds is None else seeds
    feeding = Feed(partial(adding, steps=steps), steps, seeds, **feed)
    return Trainer(net, objective, theta[seeds], feeding, rules)


RULES = Rules(Momentum(0.02), Clip(norm=1.0), watch=(10, 40, 90))


def same(a, b):
    for name in ("theta", "loss", "error", "wrong", "gradient", "delta", "turns", "cosines"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_loss_falls_and_windows_close_where_they_should():
    rules = replace(RULES, optimiser=Adam(0.02), watch=(300, 400))
    windows = list(trainer(rules, steps=2, batch=8).windows())
    assert [window.update for window in windows] == [300, 400]
    assert (windows[1].loss < 0.2 * windows[0].loss).all()


def test_a_rate_falls_to_its_half_in_as_many_updates_as_are_said():
    rate = np.array([0.4, 0.8])
    falling = SGD(halving=5)
    np.testing.assert_array_equal(falling.at(rate, 1), rate)
    np.testing.assert_allclose(falling.at(rate, 6), rate / 2, rtol=1e-15)
    np.testing.assert_array_equal(SGD().at(rate, 6), rate)
    rules = replace(RULES, optimiser=SGD(0.1, halving=1), watch=(1, 2, 3))
    constant = replace(rules, optimiser=SGD(0.1))
    (first, second, _), (same, other, _) = (list(trainer(r).windows()) for r in (rules, constant))
    np.testing.assert_array_equal(first.theta, same.theta)
    np.testing.assert_allclose(second.delta, other.delta / 2, rtol=1e-12)


@pytest.mark.parametrize(
    "optimiser", [SGD(0.05, halving=30), Momentum(0.02), Adam(0.01)], ids=lambda o: o.kind
)
@pytest.mark.parametrize("until", [None, Criterion(within=0.3, window=20)])
def test_a_run_that_stops_anywhere_goes_on_bit_for_bit(optimiser, until):
    rules = replace(RULES, optimiser=optimiser, until=until)
    whole = trainer(rules)
    windows, kept = [], []
    for window in whole.windows():
        windows.append(window)
        kept.append({name: a.copy() for name, a in whole.snapshot().items()})
    for k in range(len(windows) - 1):
        again = trainer(rules)
        again.resume(kept[k])
        for window, one in zip(again.windows(), windows[k + 1 :], strict=True):
            same(window, one)
        assert again.stopped == whole.stopped


def test_a_net_learns_as_it_does_alone_whatever_the_others_do():
    rules = replace(RULES, until=Criterion(within=0.6, window=8), watch=(30, 60, 400))
    together = trainer(rules)
    windows = list(together.windows())
    assert {why for _, why in together.stopped.values()} >= {"learnt"}
    for seed in range(NETS):
        alone = trainer(rules, seeds=[seed])
        for one, all_ in zip(alone.windows(), windows, strict=False):
            np.testing.assert_allclose(one.theta[0], all_.theta[seed], rtol=1e-12)
        assert alone.stopped[0] == together.stopped[seed]


def test_a_net_that_diverges_stops_and_the_others_go_on():
    calm = list(trainer(RULES).windows())
    wild = trainer(RULES)
    wild._theta[1] = 1e200
    windows = list(wild.windows())
    assert wild.stopped[1] == (0, "diverged")
    assert {wild.stopped[0], wild.stopped[2]} == {(90, "updates")}
    np.testing.assert_allclose(windows[-1].theta[[0, 2]], calm[-1].theta[[0, 2]], rtol=1e-12)
    assert np.isnan(windows[-1].loss[1])


def test_a_test_set_is_answered_after_so_many_updates():
    until = Criterion(within=10.0, test=5, window=5, every=7)
    done = trainer(replace(RULES, until=until), pool=3)
    list(done.windows())
    assert set(done.stopped.values()) == {(7, "learnt")}


def test_a_pool_is_read_again_and_again():
    feed = Feed(adding, STEPS, [0, 1], pool=3)
    seen = {feed(k).x[:, 1].tobytes() for k in range(100)}
    assert len(seen) == 3
    fresh = Feed(adding, STEPS, [0, 1])
    assert len({fresh(k).x[:, 1].tobytes() for k in range(100)}) == 100


def test_rates_by_kind():
    net, readout = Network.of(LSTM(2, peephole="diagonal"), 2), Head(1)
    layout = Layout(net, readout)
    rates = layout.rates({"U": 1.0, "W": 2.0, "b": 3.0, "P": 4.0, "V": 5.0})
    for place, span in layout.spans.items():
        kind = "V" if place[0] == -1 else place[2]
        assert set(rates[span]) == {{"U": 1.0, "W": 2.0, "b": 3.0, "P": 4.0, "V": 5.0}[kind]}
    with pytest.raises(ValueError, match=r"rate\.P is missing"):
        layout.rates({"U": 1.0, "W": 2.0, "b": 3.0, "V": 5.0})


# --- what holds a net back ---------------------------------------------------------------------


def test_descent_goes_one_way_and_too_large_a_rate_to_and_fro():
    """L = ‖θ‖² on a linear readout of constants: θ ← (1 − 2α) θ."""

    def constant(count, rng):
        x = np.ones((1, 1, 1, count))
        return Batch(x, np.zeros((1, 1, 1, count)), "values")

    net, objective = Network.of(CEC(1), 1), Objective("mse", Head(1, bias=False))
    for rate, turns, cosine in ((0.01, 0.0, 1.0), (0.9, 1.0, -1.0)):
        theta = np.array([[1.0, 0.5]])
        rates = {"U": 0.0, "V": rate}
        rules = Rules(SGD(rates), watch=(20,))
        (window,) = Trainer(net, objective, theta, Feed(constant, 1, [0]), rules).windows()
        np.testing.assert_allclose(window.turns, [[0.0, turns]])
        np.testing.assert_allclose(window.cosines, [[0.0, cosine]])
