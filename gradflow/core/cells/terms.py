"""The words in which a cell describes itself: state, parameters, memory, carrousel, gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from gradflow.core.cells.arrays import pull
from gradflow.core.typing import Array, Params

__all__ = ["Carrousel", "MemoryGate", "Parameter", "Role", "State", "Summand"]

State: TypeAlias = tuple[Array, ...]
"""The parts of a state in the order of `Cell.parts`, each ``(nets, hidden, columns)``."""

Role: TypeAlias = Literal["input", "recurrent", "bias", "peephole", "readout"]


@dataclass(frozen=True)
class Parameter:
    """The shape of one parameter: a row block for each gate.

    Parameters
    ----------
    role : {"input", "recurrent", "bias", "peephole", "readout"}
        What it multiplies; initialisers go by this.
    blocks : tuple of str
        The gate of each block of rows, top to bottom.
    rows, cols : int
        Shape of one block; a bias and a diagonal peephole are columns (``cols = 1``).
    """

    role: Role
    blocks: tuple[str, ...]
    rows: int
    cols: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole parameter."""
        return len(self.blocks) * self.rows, self.cols


class Carrousel(NamedTuple):
    """The part of a step that passes the state on unit by unit, the gates held fixed.

    With c the last part of the state, T_t its total derivative, and `through_gates` giving the
    parts G and peek, `step_vjp` is the sum of the two ways::

        T_t = dc_t + enter ⊙ dh_t + peek
        dc_{t−1} = keep ⊙ T_t + G_c,  other parts: G alone

    ``keep``: ∂c_t/∂c_{t−1}. ``enter``: ∂h_t/∂c_t; None where the carrousel is h itself. Where h is
    a projection, ``through`` names the matrix, whose transpose dh goes through before it enters.
    """

    keep: Array
    enter: Array | None
    through: str | None = None

    def entering(self, p: Params, dh: Array) -> Array:
        """What dh_t brings into the carrousel."""
        if self.through is not None:
            dh = pull(p[self.through], dh)
        return dh if self.enter is None else self.enter * dh


class MemoryGate(NamedTuple):
    """A gate that sets how long the state is kept: what chrono, advice and explanations go by.

    ``sign``: 1 where it keeps when open (an LSTM's f), −1 where it lets go (a GRU's z). ``write``:
    the gate that lets new things in beside it, if that is another one (an LSTM's i).
    """

    gate: str
    sign: Literal[1, -1]
    write: str | None = None

    @property
    def keeps(self) -> str:
        """What it lets the state keep, in words."""
        return f"forget gate {self.gate}" if self.sign > 0 else f"leak (1 − {self.gate})"


class Summand(NamedTuple):
    """One step's contribution ``left ⊗ right`` to the gradient of one gate's block.

    ``outer``: the matrix left rightᵀ. ``diagonal``: left ⊙ right. ``bias``: left, and right is 1.
    """

    gate: str
    form: Literal["outer", "diagonal", "bias"]
    left: Array
    right: Array | None
