"""The vanilla recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from gradflow.core.cells.arrays import difference, place, product, pull, sigmoid
from gradflow.core.cells.base import Cell
from gradflow.core.cells.terms import Parameter, State
from gradflow.core.typing import Array, Params
from gradflow.errors import OptionError

__all__ = ["RNN"]

Activation: TypeAlias = Literal["tanh", "sigmoid", "relu", "identity"]


def _relu(a: Array, out: Array | None = None) -> Array:
    s: Array = np.multiply(a, a.real > 0, out=out)  # a product, so that NaN stays NaN
    return s


ACTIVATIONS: dict[Activation, tuple[Callable[..., Array], Callable[[Array], Array]]] = {
    "tanh": (np.tanh, lambda s: difference(1, s * s)),
    "sigmoid": (sigmoid, lambda s: s * (1 - s)),
    "relu": (_relu, lambda s: (s > 0).astype(s.dtype)),
    "identity": (np.positive, np.ones_like),
}
"""f with NumPy's `out`, and f′ as a function of the output f(a)."""


@dataclass(frozen=True)
class RNN(Cell):
    """s_t = f(U x_t + W s_{t−1} + b); ∂s_{t+1}/∂s_t = diag(f′) W.

    f′ is taken from the output (1 − s² for tanh), which loses digits where units saturate:
    relative precision ε / f′.

    Parameters
    ----------
    hidden : int
        Number of units H.
    activation : {"tanh", "sigmoid", "relu", "identity"}
        f.
    bias : bool
        Whether there is a b.

    References
    ----------
    J. L. Elman, Finding structure in time, Cognitive Science 14 (1990).
    """

    activation: Activation = "tanh"
    bias: bool = True

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
        f, _ = ACTIVATIONS[self.activation]
        a = product(p["W"], state[0])
        a += u
        s = f(a, out=place(a))
        return (s,), (s,)

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """f′(a_t)."""
        _, slope = ACTIVATIONS[self.activation]
        return (slope(cache[0]),)

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """da = f′ ⊙ ds_t; ds_{t−1} = Wᵀ da."""
        da = local[0] * dstate[0]
        return (pull(p["W"], da),), da, ()
