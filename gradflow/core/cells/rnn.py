"""The vanilla recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradflow.core.cells.activations import ACTIVATIONS, Activation
from gradflow.core.cells.arrays import place, product, pull
from gradflow.core.cells.base import Cell
from gradflow.core.cells.terms import Parameter, State
from gradflow.core.registry import option
from gradflow.core.typing import Array, Params
from gradflow.errors import OptionError

__all__ = ["RNN"]


@dataclass(frozen=True)
class RNN(Cell):
    """s_t = f(U x_t + W s_{t−1} + b); ∂s_{t+1}/∂s_t = diag(f′) W.

    f′ is taken from the output (1 − s² for tanh), see `activations`.

    Parameters
    ----------
    hidden : int
        Number of units H.
    activation : str
        f, one of `activations`.
    bias : bool
        Whether there is a b.

    References
    ----------
    J. L. Elman, Finding structure in time, Cognitive Science 14 (1990).
    """

    activation: Activation = option("tanh", "f, the nonlinearity")
    bias: bool = option(True, "whether there is a bias b")

    kind: ClassVar[str] = "rnn"

    def check(self) -> None:
        """Raise OptionError for an unknown activation."""
        if self.activation not in ACTIVATIONS:
            raise OptionError(
                f"activation is {self.activation!r}; known: {', '.join(ACTIVATIONS)}", "activation"
            )

    @property
    def gates(self) -> tuple[str, ...]:
        """The one pre-activation."""
        return ("g",)

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """U, W and b."""
        H = self.hidden
        out = {
            "U": Parameter("input", self.gates, H, inputs),
            "W": Parameter("recurrent", self.gates, H, H),
        }
        return out | {"b": Parameter("bias", self.gates, H, 1)} if self.bias else out

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """s_t = f(W s_{t−1} + u_t)."""
        a = product(p["W"], state[0])
        a += u
        s = ACTIVATIONS[self.activation].f(a, out=place(a))
        return (s,), (s,)

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """f′(a_t)."""
        return (ACTIVATIONS[self.activation].slope(cache[0]),)

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """da = f′ ⊙ ds_t; ds_{t−1} = Wᵀ da."""
        da = local[0] * dstate[0]
        return (pull(p["W"], da),), da, ()
