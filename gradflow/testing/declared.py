"""What a cell declares of itself, held against what its step does."""

from __future__ import annotations

import numpy as np

from gradflow.core.typing import Array
from gradflow.testing.trial import Trial, claim, relative, worst

__all__ = ["Declared"]

NUDGE = 0.5
"""By how much a gate's pre-activation is raised to see what it keeps."""


class Declared:
    """The declarations of a cell on trial, each as a largest relative error or a claim."""

    def __init__(self, trial: Trial) -> None:
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
