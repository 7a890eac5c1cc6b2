"""The conformance suite passes every registered cell and fails every kind of wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import CEC, RNN, Carrousel, Cell, MemoryGate
from gradflow.testing import check_cell, conformance, variants
from tests.own import Keeping, Traced
from tests.variants import in_turn


@pytest.mark.parametrize("kind", cells.names())
def test_every_registered_cell_conforms(kind):
    check_cell(cells.get(kind))


@pytest.mark.parametrize("cell", [Keeping, Traced])
def test_so_does_a_cell_of_ones_own(cell):
    check_cell(cell)


def test_variants_leave_out_what_a_cell_refuses():
    labels = [cell.label for cell in variants(cells.get("lstm"))]
    assert "lstm(coupled)" in labels
    assert "lstm(coupled, no forget_gate)" not in labels
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ("cell", "of"),
    in_turn(
        [cell for kind in cells.names() for cell in variants(cells.get(kind))], ["state", "drive"]
    ),
)
def test_a_derivative_wrong_by_1e_4_fails(cell, of, monkeypatch):
    right = type(cell).step_vjp

    def wrong(self, p, local, dstate):
        before, da, totals = right(self, p, local, dstate)
        if of == "drive":
            return before, da * (1 + 1e-4), totals
        return (*before[:-1], before[-1] * (1 + 1e-4)), da, totals

    monkeypatch.setattr(type(cell), "step_vjp", wrong)
    with pytest.raises(AssertionError, match=r"error [19]\.\de-0[45]"):
        check_cell(cell)


@dataclass(frozen=True)
class Wrong(RNN):
    kind: ClassVar[str] = "wrong"


def failing(cell: Cell) -> str:
    return "\n".join(f"{c.name}: {c.reason}" for c in conformance(cell) if not c.passed)


def test_a_cell_that_mutates_is_caught():
    class Mutating(Wrong):
        def step(self, p, state, u):
            state[0][:] += 1
            return super().step(p, state, u)

    assert "step changes its arguments" in failing(Mutating(2)) or "second time" in failing(
        Mutating(2)
    )


def test_a_cell_that_breaks_float32_is_caught():
    class Widening(Wrong):
        def linearise(self, p, cache):
            return (super().linearise(p, cache)[0] * np.float64(1) * np.ones(1),)

    assert "float32 does not stay float32" in failing(Widening(2))


def test_a_cell_that_mixes_steps_is_caught():
    class Mixing(Wrong):
        def linearise(self, p, cache):
            return (super().linearise(p, cache)[0] + cache[0].mean() * 1e-3,)

    assert "a block is linearised unlike its steps" in failing(Mixing(2))


def test_a_cell_that_cannot_step_says_why():
    class Broken(CEC):
        def step(self, p, state, u):
            raise TypeError("no such luck")

    assert failing(Broken(2)) == "a step forward and back: TypeError: no such luck"


def test_a_cell_that_forgets_a_total_is_caught():
    class Forgetful(cells.LSTM):
        def step_vjp(self, p, local, dstate):
            before, da, _ = super().step_vjp(p, local, dstate)
            return before, da, ()

    assert "totals must hold every part" in failing(Forgetful(2))


def test_registering_twice_or_an_unfinished_class_is_refused():
    class Another(RNN):
        pass

    with pytest.raises(ValueError, match="belongs to RNN"):
        cells.register(Another)

    class Unfinished(Cell):
        kind = "unfinished"

    with pytest.raises(ValueError, match="does not define"):
        cells.register(Unfinished)
    assert cells.register(RNN) is RNN


# What a cell declares


def test_a_memory_gate_of_the_wrong_sign_or_none_is_caught():
    class Turned(Keeping):
        memory_gates = (MemoryGate("z", -1),)

    said = "raising z makes the carrousel keep more, and it is declared {} (write memory_gates)"
    assert said.format("less") in failing(Turned(2))

    class Silent(Keeping):
        memory_gates = ()

    assert said.format("as much") in failing(Silent(2))

    class Elsewhere(RNN):
        memory_gates = (MemoryGate("g", 1),)

    assert "there is no carrousel that says how much" in failing(Elsewhere(2))


def test_a_gate_that_reads_otherwise_is_told_to_write_its_summands():
    class Renamed(RNN):
        """Its W is called Wf."""

        def parameters(self, inputs):
            return {"Wf" if n == "W" else n: q for n, q in super().parameters(inputs).items()}

        def step(self, p, state, u):
            return super().step({**p, "W": p["Wf"]}, state, u)

        def step_vjp(self, p, local, dstate):
            return super().step_vjp({**p, "W": p["Wf"]}, local, dstate)

    said = failing(Renamed(2))
    assert "it has to define `summands`: the default knows nothing of Wf" in said
    assert "∂/∂s" not in said


def test_summands_of_other_blocks_are_caught():
    class Short(Keeping):
        def summands(self, p, cache, da, before, after, x):
            out = super().summands(p, cache, da, before, after, x)
            return {name: each[:1] for name, each in out.items()}

    assert "those of U are of ('z',), not of its blocks ('z', 'g') (write summands)" in failing(
        Short(2)
    )


def test_a_carrousel_that_is_not_the_steps_is_caught():
    class Leaking(Keeping):
        def carrousel(self, local):
            return Carrousel(0.9 * local[0], None)

    assert "(write carrousel, through_gates)" in failing(Leaking(2))


def test_gates_beyond_0_and_1_and_parts_without_a_name_are_caught():
    class Wide(Keeping):
        def open_gates(self, cache):
            return {"z": 2 * cache[0]}

    assert "z is not between 0 and 1 (write open_gates)" in failing(Wide(2))

    class Numbered(Traced):
        parts = ("h", "m1")

    assert "the part 'm1' needs a name of letters" in failing(Numbered(2))
