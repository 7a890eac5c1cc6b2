"""The constant error carrousel without gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradflow.core.cells.base import Cell
from gradflow.core.cells.terms import Carrousel, Parameter, State
from gradflow.core.typing import Array, Params

__all__ = ["CEC"]


@dataclass(frozen=True)
class CEC(Cell):
    """s_t = s_{t−1} + U x_t: identity activation and self-weight 1, so ∂s_{t+1}/∂s_t = 1.

    Parameters
    ----------
    hidden : int
        Number of units H.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
    section 3.2, "constant error flow: naive approach".
    """

    kind: ClassVar[str] = "cec"

    @property
    def gates(self) -> tuple[str, ...]:
        """The one pre-activation."""
        return ("g",)

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """U alone: the self-weight is fixed."""
        return {"U": Parameter("input", self.gates, self.hidden, inputs)}

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """s_t = s_{t−1} + u_t."""
        return (state[0] + u,), ()

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """ds_{t−1} = da = ds_t."""
        return dstate, dstate[0], ()

    def carrousel(self, local: tuple[Array, ...]) -> Carrousel:
        """All there is: 1."""
        return Carrousel(np.ones((1, 1, 1)), None)
