"""Forward values agree with numbers that other projects publish."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.testing import variants
from gradflow.testing.published import SINGLE, Published, published
from tests import reference

ALL = published()


def name(case: Published) -> str:
    return f"{case.name}, {case.net.label}"


def starts_at_zero(case: Published) -> bool:
    return not any(part.any() for layer in case.states for state in layer for part in state)


@pytest.mark.parametrize("case", ALL, ids=name)
def test_the_engine(case: Published):
    assert case.error() <= SINGLE


@pytest.mark.parametrize("case", [case for case in ALL if starts_at_zero(case)], ids=name)
def test_the_reference(case: Published):
    """So does the reference that gradients are tested against."""
    x = case.x[:, 0].transpose(0, 2, 1).astype(complex)
    cells = [layer.cell for layer in case.net.layers]
    found = reference.unroll(cells, case.weights, x).real.transpose(0, 2, 1)[:, None]
    known = ~np.isnan(case.outputs)
    np.testing.assert_allclose(found[known], case.outputs[known], rtol=1e-6, atol=2e-7)


def test_each_source_and_each_classic_cell_is_there():
    assert len({case.name for case in ALL}) == 13 + 11 + 5 + 20 + 1
    known = {cell.label for kind in cells.names() for cell in variants(cells.get(kind))}
    alone = {"rnn(activation=identity, no bias)"}  # variants change a nonlinearity by itself
    assert {case.net.label for case in ALL} - known == alone
    for label in ("rnn", "lstm", "lstm(peephole=full, coupled)", "gru", "gru(reset=after)"):
        assert published(label), label
    assert published("lstm(no forget_gate)") == ()


@pytest.mark.parametrize("what", ["outputs", "c"])
def test_another_number_is_an_error(what: str):
    case = next(case for case in ALL if case.c is not None)
    assert replace(case, **{what: getattr(case, what) * (1 + 1e-5)}).error() > SINGLE
