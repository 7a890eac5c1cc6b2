"""The truncated gradient of the 1997 paper: error goes back by the carrousel alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gradflow.core.cells.arrays import Drive, like
from gradflow.core.cells.base import Cell, carrousel_of
from gradflow.core.cells.terms import Carrousel, MemoryGate, Parameter, State, Summand
from gradflow.core.typing import Array, Params

__all__ = ["CarrouselOnly", "blind"]


@dataclass(frozen=True)
class CarrouselOnly(Cell):
    """A cell whose error is cut off from gates and hidden state at each step.

    ::

        T_t = dc_t + e_t ⊙ dh_t
        dc_{t−1} = f_t ⊙ T_t,   dh_{t−1} = 0

    with f = ∂c_t/∂c_{t−1} and e = ∂h_t/∂c_t at fixed gates. Forward it is the cell itself.
    Backward, what reaches a pre-activation changes the weights that lead there, and goes no further
    back: states that gates and candidate read, through W or peepholes, count as constants.
    ∂L/∂c_k is then the carrousel part of the exact one (see `Paths`).

    Parameters
    ----------
    hidden : int
        Number of units H, that of `cell`.
    cell : Cell
        The cell that is cut.

    Raises
    ------
    ValueError
        If the cell has no carrousel: nothing would be left.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), section 4
    and appendix A.1. F. Gers, N. Schraudolph and J. Schmidhuber, Learning precise timing with LSTM
    recurrent networks, JMLR 3 (2002) (peepholes).
    """

    cell: Cell

    def check(self) -> None:
        """Raise ValueError where there is no carrousel."""
        object.__setattr__(self, "cell", replace(self.cell, hidden=self.hidden))
        object.__setattr__(self, "kind", self.cell.kind)
        object.__setattr__(self, "parts", self.cell.parts)
        carrousel_of(self.cell)

    @classmethod
    def of(cls, cell: Cell) -> CarrouselOnly:
        """Cut a cell."""
        return cls(cell.hidden, cell)

    @property
    def label(self) -> str:
        """The cell's, and that it is cut."""
        return f"{self.cell.label}, carrousel only"

    @property
    def gates(self) -> tuple[str, ...]:
        """The cell's."""
        return self.cell.gates

    @property
    def memory_gates(self) -> tuple[MemoryGate, ...]:
        """The cell's."""
        return self.cell.memory_gates

    @property
    def sizes(self) -> tuple[int, ...]:
        """The cell's."""
        return self.cell.sizes

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """The cell's."""
        return self.cell.parameters(inputs)

    def drive(self, p: Params, x: Array) -> Array:
        """The cell's."""
        return self.cell.drive(p, x)

    def drive_vjp(self, p: Params, da: Array) -> Array:
        """The cell's: inputs are no states."""
        return self.cell.drive_vjp(p, da)

    def side_by_side(self, p: Params) -> Array | None:
        """The cell's."""
        return self.cell.side_by_side(p)

    def ready(self, p: Params, columns: int) -> Params:
        """The cell's."""
        return self.cell.ready(p, columns)

    def step(self, p: Params, state: State, u: Array | Drive) -> tuple[State, tuple[Array, ...]]:
        """The cell's."""
        return self.cell.step(p, state, u)

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """The cell's."""
        return self.cell.linearise(p, cache)

    def packed(self, local: tuple[Array, ...]) -> tuple[Array, ...]:
        """The cell's."""
        return self.cell.packed(local)

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """The cell's, peepholes blind, and then the carrousel alone."""
        _, da, totals = self.cell.step_vjp(blind(self.cell, p), local, dstate)
        total = totals[-1] if totals else dstate[-1]
        nothing = tuple(np.zeros_like(part) for part in dstate[:-1])
        return (*nothing, carrousel_of(self.cell, local).keep * total), da, totals

    def carrousel(self, local: tuple[Array, ...]) -> Carrousel | None:
        """The cell's."""
        return self.cell.carrousel(local)

    def through_gates(
        self, p: Params, local: tuple[Array, ...], da: Array
    ) -> tuple[State, Array | None]:
        """Nothing."""
        return tuple(np.zeros_like(like(da, size)) for size in self.sizes), None

    def open_gates(self, cache: tuple[Array, ...]) -> dict[str, Array]:
        """The cell's."""
        return self.cell.open_gates(cache)

    def summands(
        self, p: Params, cache: tuple[Array, ...], da: Array, before: State, after: State, x: Array
    ) -> dict[str, list[Summand]]:
        """The cell's."""
        return self.cell.summands(p, cache, da, before, after, x)


def blind(cell: Cell, p: Params) -> Params:
    """The parameters of a cell with peepholes that let no error through."""
    roles = cell.parameters(1)
    seeing = [name for name in p if roles[name].role == "peephole"]
    return {**p, **{name: np.zeros_like(p[name]) for name in seeing}} if seeing else p
