"""Every cell of the registry with every combination of its options, and weights to try them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import Cell
from gradflow.testing import variants

Array = np.ndarray[Any, Any]


def every_cell(hidden: int) -> list[Cell]:
    """Those whose state is h, or h and c: what independent recursions are written for."""
    return [cell for cell in with_projections(hidden) if cell.sizes[0] == hidden]


def with_projections(hidden: int) -> list[Cell]:
    """The same, and those whose h has other features than there are units."""
    every = [cell for kind in cells.names() for cell in variants(cells.get(kind), hidden)]
    return [cell for cell in every if cell.parts in (("h",), ("h", "c"))]


def usual_cells(hidden: int) -> list[Cell]:
    """Those with the usual nonlinearities (an RNN with any); h has a feature for each unit."""
    return [cell for cell in every_cell(hidden) if _is_usual(cell)]


def _is_usual(cell: Cell) -> bool:
    return cell.kind == "rnn" or "activation=" not in cell.label


def usual_first(every: Iterable[Cell]) -> list[Any]:
    """Cells as parameters of a test: those of `usual_cells`, the others in make test-extras."""
    return [
        pytest.param(cell, id=cell.label, marks=() if _is_usual(cell) else pytest.mark.extras)
        for cell in every
    ]


def in_turn(every: Iterable[Cell], ways: Sequence[Any]) -> list[Any]:
    """Each cell with each of the ways, as parameters of a test.

    The plain cell of a kind is tried in all of them, its variants in one each, by turns; the other
    pairs, and unusual nonlinearities, are left to `make test-extras`.
    """
    return [
        pytest.param(
            cell,
            way,
            id=f"{cell.label}-{way}",
            marks=() if _is_usual(cell) and chosen else pytest.mark.extras,
        )
        for k, cell in enumerate(every)
        for j, way in enumerate(ways)
        for chosen in [cell.label == cell.kind or k % len(ways) == j]
    ]


def draw(
    cell: Cell,
    rng: np.random.Generator,
    *,
    inputs: int,
    layers: int = 1,
    directions: int = 1,
    nets: int = 1,
    gain: float = 1.0,
) -> tuple[tuple[dict[str, Array], ...], ...]:
    """Weights [layer][direction], each array (nets, rows, cols), none of them special."""

    def one(features: int) -> dict[str, Array]:
        return {
            name: gain * rng.normal(size=(nets, *spec.shape)) / np.sqrt(spec.cols)
            for name, spec in cell.parameters(features).items()
        }

    sizes = [inputs] + [directions * cell.sizes[0]] * (layers - 1)
    return tuple(tuple(one(size) for _ in range(directions)) for size in sizes)
