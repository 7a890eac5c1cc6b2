"""What passes leave behind, how often a step is taken back, and what memory it all takes."""

from __future__ import annotations

import ctypes
import tracemalloc
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import LSTM, RNN
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule, Work
from gradflow.core.engine.tape import Keep, Tape
from gradflow.core.network.losses import Loss, MeanSquaredError, Probe, Sum
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Network
from gradflow.core.record import Gates, Gradients, Norms, Timeline
from gradflow.experiment.workers import executor
from tests.flow import unit

STEPS, HIDDEN, COLUMNS, INPUTS = 40, 5, 3, 2


def drawn(net: Network, dtype: str = "float64") -> Any:
    rng, hidden = np.random.default_rng(0), net.layers[0].cell.hidden
    return tuple(
        tuple(
            {
                name: (rng.standard_normal((1, *q.shape)) / hidden**0.5).astype(dtype)
                for name, q in net.parameters(layer).items()
            }
            for _ in net.directions
        )
        for layer in range(len(net.layers))
    )


def tapes(net: Network, loss: Loss | None = None, *observers: Any) -> dict[int, Tape]:
    """One tape of each layer, as an observer sees it."""
    seen: dict[int, Tape] = {}

    class Seeing(Norms):
        def block(self, block: Any) -> None:
            seen[block.layer] = block.tape
            super().block(block)

    x = np.random.default_rng(1).standard_normal((STEPS, 1, INPUTS, COLUMNS))
    loss = loss or unit(net, 1, COLUMNS)
    sees = Seeing(Timeline(net, loss, [STEPS], 1, COLUMNS), ["h"])
    backpropagate(net, drawn(net), x, loss, [STEPS], [sees, *observers], Schedule(16))
    return seen


def test_only_local_derivatives_stay() -> None:
    for tape in tapes(Network.of(LSTM(HIDDEN), INPUTS, depth=2)).values():
        assert len(tape.local) == len(tape.x)
        assert (len(tape.states), len(tape.caches)) == (1, 0)


def test_states_and_caches_stay_where_they_are_needed() -> None:
    net = Network.of(LSTM(HIDDEN), INPUTS, depth=2)
    gates = Gates(Timeline(net, Sum(), [STEPS], 1, COLUMNS))
    for tape in tapes(net, None, gates).values():
        assert (len(tape.states), len(tape.caches)) == (1, len(tape.x))
    for tape in tapes(net, None, Gradients(net)).values():
        assert (len(tape.states), len(tape.caches)) == (len(tape.x) + 1, len(tape.x))
    readout, targets = np.ones((1, 2, HIDDEN)), np.zeros((STEPS, 1, 2, COLUMNS))
    for tape in tapes(
        net, MeanSquaredError(readout=Readout(readout), targets=targets, at="all")
    ).values():
        assert (len(tape.states), len(tape.caches)) == (len(tape.x) + 1, 0)


@pytest.mark.parametrize("weight", [0.25, 4.0])
def test_no_step_is_taken_back_twice(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bits a step leave float32's range within a block: the sweep stops before."""
    taken = 0
    original = RNN.step_vjp

    def counting(*arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        return original(*arguments)

    monkeypatch.setattr(RNN, "step_vjp", counting)
    net = Network.of(cells.get("rnn")(1, activation="identity", bias=False), 1)
    one = np.ones((1, 1, 1), np.float32)
    steps = 200
    loss = Probe(one)
    seen = Norms(Timeline(net, loss, [steps], 1, 1), ["h"])
    weights = (({"U": one, "W": one * np.float32(weight)},),)
    x = np.zeros((steps, 1, 1, 1), np.float32)
    backpropagate(net, weights, x, loss, [steps], [seen], Schedule(64))
    assert taken == steps
    lag = steps - np.arange(steps + 1)
    np.testing.assert_allclose(seen.series["h"].values[0].ravel(), lag * np.log10(weight))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("layers", "bidirectional", "lengths"),
    [
        (1, False, (300,)),
        (1, False, (100, 200, 300)),
        (2, False, (300,)),
        pytest.param(2, True, (300,), marks=pytest.mark.extras),
    ],
)
def test_memory_is_as_predicted(
    layers: int, bidirectional: bool, lengths: tuple[int, ...], keep: bool
) -> None:
    net = Network.of(LSTM(64), INPUTS, layers, bidirectional)
    x = np.random.default_rng(1).standard_normal((300, 1, INPUTS, 16))
    loss, weights = unit(net, 1, 16), drawn(net)
    recorded = 3 * sum(n + 1 for n in lengths)
    work = Work(net, 1, 16, lengths, recorded, x.dtype)
    schedule = Schedule(64) if keep or bidirectional else Schedule(16, keep=False)
    tracemalloc.start()
    norms = Norms(Timeline(net, loss, lengths, 1, 16), ["h", "c", "s"])
    backpropagate(net, weights, x, loss, lengths, [norms], schedule)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    predicted = work.footprint(schedule)
    here = sum(p.nbytes for layer in weights for q in layer for p in q.values()) + x.nbytes
    assert predicted.peak - here == pytest.approx(peak, rel=0.2)


def test_memory_counts_the_matrix_that_is_made_for_steps() -> None:
    """[W U b] is a second copy of a wide cell's weights; few steps hide nothing of it."""
    net, steps = Network.of(LSTM(1024), INPUTS), 16
    x = np.random.default_rng(1).standard_normal((steps, 1, INPUTS, 2))
    loss, weights = unit(net, 1, 2), drawn(net)
    work = Work(net, 1, 2, (steps,), 3 * (steps + 1), x.dtype)
    schedule = work.schedule()
    tracemalloc.start()
    norms = Norms(Timeline(net, loss, (steps,), 1, 2), ["h", "c", "s"])
    backpropagate(net, weights, x, loss, (steps,), [norms], schedule)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    here = sum(p.nbytes for layer in weights for q in layer for p in q.values()) + x.nbytes
    assert 0.8 * peak <= work.footprint(schedule).peak - here <= 1.2 * peak


@pytest.mark.parametrize("observer", [Gates, Gradients, None])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_memory_of_small_nets_counts_objects(kind: str, observer: Any) -> None:
    """Four units make 32 bytes: the objects that hold them must not stand for each step, or count.

    What 3,000,000 steps of four units took was five times what was planned.
    """
    if kind == "rnn" and observer is Gates:
        return
    net, steps = Network.of(cells.get(kind)(4), INPUTS), 1000
    x = np.random.default_rng(1).standard_normal((steps, 1, INPUTS, 1))
    loss, weights = unit(net, 1, 1), drawn(net)
    timeline = Timeline(net, loss, (steps,), 1, 1)
    records, keep = steps + 1, Keep.LOCAL
    tracemalloc.start()
    observers: list[Any] = [Norms(timeline, ["h"])]
    if observer is not None:
        observers.append(Gates(timeline) if observer is Gates else observer(net))
        keep |= observer.needs
        records += 3 * len(net.layers[0].cell.gates) * (steps + 1) * (observer is Gates)
    work = Work(net, 1, 1, (steps,), records, x.dtype, keep)
    backpropagate(net, weights, x, loss, [steps], observers, work.schedule())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    here = sum(p.nbytes for layer in weights for q in layer for p in q.values()) + x.nbytes
    # Records are planned twice, for the results that they are copied into.
    planned = work.footprint(work.schedule()).peak - here - 8 * records
    assert planned == pytest.approx(peak, rel=0.2)


def test_memory_is_held_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: dict[int, int] = {}

    class Glibc:
        @staticmethod
        def mallopt(option: int, value: int) -> None:
            set_to[option] = value

    hold = executor.hold_memory.__wrapped__
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    hold()
    assert not set_to
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Glibc)
    hold()
    assert set_to == {-1: 1 << 30, -3: 32 << 20}
