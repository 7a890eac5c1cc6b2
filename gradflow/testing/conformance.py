"""The conformance of cells: what the engine relies on, each property with the method to write.

Derivatives are held against the complex step (f(x + ih) has the imaginary part h f′(x), exact to
rounding for h = 1e-200), always relative to the norm of what is compared: an absolute tolerance
would pass every wrong vanished gradient. What a cell declares of itself is held against its step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradflow.core.cells import Cell, variants
from gradflow.core.typing import Array
from gradflow.testing.trial import CellTrial, claim, relative, worst

__all__ = ["TOLERANCE", "Check", "Declared", "check_cell", "conformance", "failed", "measured"]

NUDGE = 0.5
"""By how much a gate's pre-activation is raised to see what it keeps."""


class Declared:
    """The declarations of a cell on trial, each as a largest relative error or a claim."""

    def __init__(self, trial: CellTrial) -> None:
        self.trial, self.cell = trial, trial.cell

    def parts(self) -> float:
        """Names by which the parts can be recorded and tabulated."""
        parts = self.cell.parts
        claim(parts[:1] == ("h",), f"the first part is the output h, not {parts[0]}")
        claim(len(set(parts)) == len(parts), "a part is named twice")
        for part in parts:
            claim(
                part.isalpha() and part not in ("s", "x"),
                f"the part {part!r} needs a name of letters that is neither s nor x",
            )
        claim(len(self.cell.sizes) == len(parts), "sizes does not go with parts")
        return 0.0

    def summands(self) -> float:
        """Each block of each parameter has one."""
        trial, cell = self.trial, self.cell
        after, _ = cell.step(trial.p, trial.state, trial.u)
        da = trial.back[1]
        found = cell.summands(trial.p, trial.cache, da, trial.state, after, trial.x)
        for name, parameter in cell.parameters(trial.x.shape[-2]).items():
            claim(name in found, f"there are none of {name}")
            gates = tuple(summand.gate for summand in found[name])
            claim(
                gates == parameter.blocks,
                f"those of {name} are of {gates}, not of its blocks {parameter.blocks}",
            )
        return 0.0

    def open_gates(self) -> float:
        """What is called a gate is one of the gates, and open between 0 and 1."""
        memory = [gate.gate for gate in self.cell.memory_gates]
        opened = self.cell.open_gates(self.trial.cache)
        for name, gate in opened.items():
            claim(bool(((gate >= 0) & (gate <= 1)).all()), f"{name} is not between 0 and 1")
        for name in memory:
            claim(name in opened, f"{name} keeps the state, but is not among them")
        return 0.0

    def ways(self) -> float:
        """The carrousel and what comes through gates and hidden state, together step_vjp's."""
        trial = self.trial
        carrousel = self.cell.carrousel(trial.local)
        if carrousel is None:
            return 0.0
        back, da, totals = trial.back
        through, peek = self.cell.through_gates(trial.p, trial.local, da)
        total = trial.dstate[-1]
        if carrousel.enter is not None:
            total = total + carrousel.entering(trial.p, trial.dstate[0])
        if peek is not None:
            total = total + peek
        kept = through[-1] + carrousel.keep * total
        error = relative(kept, back[-1])
        if totals:
            error = worst(error, relative(total, totals[-1]))
        return worst(error, *map(relative, through[:-1], back[:-1]))

    def memory_gates(self) -> float:
        """Raising a gate moves what the carrousel keeps as declared; no other gate moves it."""
        cell, signs = self.cell, {gate.gate: gate.sign for gate in self.cell.memory_gates}
        for gate in signs:
            claim(gate in cell.gates, f"{gate} is none of the gates {', '.join(cell.gates)}")
        before = self._keep(0, 0.0)
        if before is None:
            claim(not signs, "a gate keeps the state, but there is no carrousel that says how much")
            return 0.0
        for index, gate in enumerate(cell.gates):
            raised = self._keep(index, NUDGE)
            assert raised is not None
            change = float(np.sign((raised - before).sum()))
            claim(
                change == signs.get(gate, 0.0),
                f"raising {gate} makes the carrousel keep {_change(change)}, and it is declared "
                f"{_change(signs.get(gate, 0.0))}",
            )
        return 0.0

    def _keep(self, gate: int, nudge: float) -> Array | None:
        trial, cell = self.trial, self.cell
        rows = trial.u.shape[-2] // len(cell.gates)
        u = trial.u.copy()
        u[:, gate * rows : (gate + 1) * rows] += nudge
        _, cache = cell.step(trial.p, trial.state, u)
        carrousel = cell.carrousel(cell.linearise(trial.p, cache))
        return None if carrousel is None else carrousel.keep


def _change(sign: float) -> str:
    return {1.0: "more", -1.0: "less", 0.0: "as much"}[sign]


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
        trial = CellTrial(cell)
    except Exception as error:
        return [failed(cell.label, "a step forward and back", error)]
    declared = Declared(trial)
    checks: list[tuple[str, Callable[[], float], str]] = [
        ("the parts of the state", declared.parts, "parts, sizes"),
        ("step mutates nothing and repeats itself", trial.purity, "step, step_vjp"),
        ("∂/∂s of a step against the complex step", trial.state_vjp, "step_vjp"),
        ("∂/∂u of a step against the complex step", trial.drive_vjp, "step_vjp"),
        ("∂u/∂x against the complex step", trial.input_vjp, "drive, drive_vjp"),
        ("laid out for many steps as it comes", trial.layout, "ready, side_by_side, packed"),
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
