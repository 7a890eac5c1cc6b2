"""Each cell's split of a step: the carrousel and what goes through gates make up the whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradflow.core.cells import Cell, State
from tests.variants import draw, usual_cells

H, F, COLUMNS, NETS = 4, 3, 2, 2

Array = np.ndarray[Any, Any]


def one_step(cell: Cell, lengths: tuple[int, ...]) -> tuple[Any, ...]:
    """Parameters, local derivatives and a cotangent at a state that is not special."""
    rng = np.random.default_rng(0)
    ((p,),) = draw(cell, rng, inputs=F, nets=NETS)

    def state(*lead: int) -> State:
        return tuple(rng.normal(size=(*lead, NETS, size, COLUMNS)) for size in cell.sizes)

    _, cache = cell.step(p, state(), cell.drive(p, rng.normal(size=(NETS, F, COLUMNS))))
    return p, cell.linearise(p, cache), state(*lengths)


CARROUSELS = [cell for cell in usual_cells(H) if cell.carrousel(one_step(cell, ())[1]) is not None]


@pytest.mark.parametrize("lengths", [(), (3,)], ids=["one", "lengths"])
@pytest.mark.parametrize("cell", CARROUSELS, ids=lambda cell: cell.label)
def test_carrousel_and_gates_make_up_the_step(cell: Cell, lengths: tuple[int, ...]):
    p, local, dstate = one_step(cell, lengths)
    before, da, totals = cell.step_vjp(p, local, dstate)
    gates, peek = cell.through_gates(p, local, da)
    carrousel = cell.carrousel(local)
    total = dstate[-1]
    if carrousel.enter is not None:
        total = total + carrousel.enter * dstate[0] + (0 if peek is None else peek)
        np.testing.assert_allclose(totals[-1], total, rtol=1e-13)
    np.testing.assert_allclose(before[-1], carrousel.keep * total + gates[-1], rtol=1e-13)
    for part, through in zip(before[:-1], gates[:-1], strict=True):
        np.testing.assert_array_equal(part, through)


def test_usual_cells_with_gates_or_a_self_weight_of_one_has_a_carrousel():
    assert {cell.kind for cell in CARROUSELS} == {"cec", "lstm", "gru", "block"}
    assert {cell.kind for cell in usual_cells(H)} - {cell.kind for cell in CARROUSELS} == {"rnn"}


def test_without_a_carrousel_everything_goes_through_the_pre_activation():
    (rnn,) = [cell for cell in usual_cells(H) if cell.label == "rnn"]
    p, local, dstate = one_step(rnn, ())
    before, da, _ = rnn.step_vjp(p, local, dstate)
    np.testing.assert_array_equal(rnn.through_gates(p, local, da)[0][0], before[0])
    assert rnn.carrousel(local) is None
    assert rnn.open_gates(()) == {}


@pytest.mark.parametrize("cell", usual_cells(H), ids=lambda cell: cell.label)
def test_open_gates_are_those_of_the_equations(cell: Cell):
    """Recomputed from the drive at state 0, where of all recurrent weights only P_o has a say."""
    rng = np.random.default_rng(1)
    ((p,),) = draw(cell, rng, inputs=F, nets=NETS)
    zero = tuple(np.zeros((NETS, size, COLUMNS)) for size in cell.sizes)
    u = cell.drive(p, rng.normal(size=(NETS, F, COLUMNS)))
    after, cache = cell.step(p, zero, u)
    rows = {gate: u[:, k * H : (k + 1) * H] for k, gate in enumerate(cell.gates)}
    wanted = {gate: 1 / (1 + np.exp(-a)) for gate, a in rows.items() if gate[0] != "g"}
    if getattr(cell, "coupled", False):
        wanted["i"] = 1 - wanted["f"]
    found = cell.open_gates(cache)
    assert set(found) == set(wanted)
    if "o" in getattr(cell, "peeping", ()):
        wanted["o"] = after[0] / np.tanh(after[1])
    for gate, value in wanted.items():
        np.testing.assert_allclose(found[gate], value, rtol=1e-12)
