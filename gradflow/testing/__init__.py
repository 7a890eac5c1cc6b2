"""Conformance of cells, as a public product: does a cell keep what the engine relies on.

>>> from gradflow.testing import check_cell
>>> from gradflow.core.cells import RNN
>>> check_cell(RNN)

Every combination of options is tried. Derivatives are held against the complex step (f(x + ih) has
the imaginary part h f′(x), exact to rounding for h = 1e-200), always relative to the norm of what
is compared: an absolute tolerance would pass every wrong vanished gradient.
"""

from __future__ import annotations

from collections.abc import Callable

from gradflow.core.cells import Cell
from gradflow.core.cells.variants import variants
from gradflow.testing.check import Check, failed, measured
from gradflow.testing.trial import Trial

__all__ = ["Check", "check_cell", "conformance", "variants"]


def check_cell(cell: Cell | type[Cell]) -> None:
    """Raise AssertionError where a cell, or a kind with any of its options, does not conform.

    Parameters
    ----------
    cell : Cell or type of Cell
        An instance is tested as it is; of a class every combination of options.

    Raises
    ------
    AssertionError
        Lists every property that fails with its error.
    """
    chosen = variants(cell) if isinstance(cell, type) else [cell]
    wrong = [check for one in chosen for check in conformance(one) if not check.passed]
    if wrong:
        lines = [f"  {check.cell}: {check.name}: {check.reason}" for check in wrong]
        raise AssertionError("\n".join(["the cell does not conform:", *lines]))


def conformance(cell: Cell) -> list[Check]:
    """Run every check on one cell; properties that have no measure count 0 or infinity.

    Returns
    -------
    list of Check
        Each with its largest error, passed or not.
    """
    try:
        trial = Trial(cell)
    except Exception as error:
        return [failed(cell.label, "a step forward and back", error)]
    checks: dict[str, Callable[[], float]] = {
        "step mutates nothing and repeats itself": trial.purity,
        "∂/∂s of a step against the complex step": trial.state_vjp,
        "∂/∂u of a step against the complex step": trial.drive_vjp,
        "∂u/∂x against the complex step": trial.input_vjp,
        "laid out for many steps as it comes": trial.layout,
        "a block linearised at once as step by step": trial.blockwise,
        "lengths side by side as one by one": trial.lengths,
        "nets side by side as one by one": trial.nets,
        "float32 stays float32": trial.single,
        "∂L/∂s_k through 40 steps, however small": trial.through_time,
        "parameters' gradients against the complex step": trial.parameters,
    }
    return [measured(cell.label, name, check) for name, check in checks.items()]
