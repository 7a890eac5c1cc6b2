"""The conformance of cells: what the engine relies on, each property with the method to write.

Derivatives are held against the complex step (f(x + ih) has the imaginary part h f′(x), exact to
rounding for h = 1e-200), always relative to the norm of what is compared: an absolute tolerance
would pass every wrong vanished gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradflow.core.cells import Cell
from gradflow.core.cells.variants import variants
from gradflow.testing.declared import Declared
from gradflow.testing.trial import Trial

__all__ = ["TOLERANCE", "Check", "check_cell", "conformance", "failed", "measured"]

TOLERANCE = 1e-10


@dataclass(frozen=True)
class Check:
    """One property of one cell: its largest error, relative to the norm of what is compared.

    Parameters
    ----------
    cell : str
        Label of the cell.
    name : str
        What was compared with what.
    error, tolerance : float
        The largest relative error, and what it may be.
    note : str
        Why there is no error to measure, where the comparison itself failed.
    write : str
        The methods of the cell that it is about.
    """

    cell: str
    name: str
    error: float
    tolerance: float = TOLERANCE
    note: str = ""
    write: str = ""

    @property
    def passed(self) -> bool:
        """Whether the error is within its tolerance; NaN is not."""
        return self.error <= self.tolerance

    @property
    def reason(self) -> str:
        """What was found, in words, and which methods to look at."""
        found = self.note or f"error {self.error:.1e} > {self.tolerance:g}"
        return f"{found} (write {self.write})" if self.write else found


def measured(
    label: str, name: str, error: Callable[[], float], tolerance: float = TOLERANCE, write: str = ""
) -> Check:
    """Run a check; a claim about shapes, types or sameness that fails is an infinite error."""
    try:
        return Check(label, name, float(error()), tolerance, write=write)
    except Exception as problem:
        return failed(label, name, problem, write)


def failed(label: str, name: str, error: Exception, write: str = "") -> Check:
    """Return the check that an exception is."""
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return Check(label, name, float("inf"), note=f"{kind}{error}", write=write)


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
    declared = Declared(trial)
    checks: list[tuple[str, Callable[[], float], str]] = [
        ("the parts of the state", declared.parts, "parts, sizes"),
        ("step mutates nothing and repeats itself", trial.purity, "step, step_vjp"),
        ("∂/∂s of a step against the complex step", trial.state_vjp, "step_vjp"),
        ("∂/∂u of a step against the complex step", trial.drive_vjp, "step_vjp"),
        ("∂u/∂x against the complex step", trial.input_vjp, "drive, drive_vjp"),
        ("laid out for many steps as it comes", trial.layout, "ready, side_by_side"),
        ("a block linearised at once as step by step", trial.blockwise, "linearise"),
        ("lengths side by side as one by one", trial.lengths, "step_vjp"),
        ("nets side by side as one by one", trial.nets, "step"),
        ("float32 stays float32", trial.single, "step, linearise, step_vjp"),
        ("∂L/∂s_k through 40 steps, however small", trial.through_time, "step_vjp"),
        ("every parameter has its summands", declared.summands, "summands"),
        ("parameters' gradients against the complex step", trial.parameters, "summands"),
        ("gates between 0 and 1", declared.open_gates, "open_gates"),
        ("carrousel and gates make the step", declared.ways, "carrousel, through_gates"),
        ("the gates that keep", declared.memory_gates, "memory_gates"),
    ]
    return [measured(cell.label, name, run, TOLERANCE, write) for name, run, write in checks]
