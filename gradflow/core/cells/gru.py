"""The gated recurrent unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from gradflow.core.cells.activations import ACTIVATIONS, CLOSING, Activation, GateActivation
from gradflow.core.cells.arrays import (
    blocks,
    like,
    place,
    product,
    pull,
    spread,
)
from gradflow.core.cells.base import Cell
from gradflow.core.cells.terms import Carrousel, MemoryGate, Parameter, State, Summand
from gradflow.core.registry import option
from gradflow.core.typing import Array, Params
from gradflow.errors import OptionError

__all__ = ["GRU"]


@dataclass(frozen=True)
class GRU(Cell):
    """The update gate z leaks, the reset gate r hides the past from the candidate g.

    ::

        z_t = σ(U_z x_t + W_z h_{t−1} + b_z)
        r_t = σ(U_r x_t + W_r h_{t−1} + b_r)
        g_t = tanh(U_g x_t + W_g (r_t ⊙ h_{t−1}) + b_g)              reset before
        g_t = tanh(U_g x_t + r_t ⊙ (W_g h_{t−1} + b_rec) + b_g)      reset after
        h_t = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ g_t

    Row blocks are z, r, g.

    Parameters
    ----------
    hidden : int
        Number of units H.
    reset : {"before", "after"}
        Whether r acts before the recurrent product (Cho et al.) or after it (cuDNN, PyTorch).
    bias : bool
        Whether there is a b (and, with reset after, a b_rec inside the brackets).
    gate_activation, activation : str
        What stands for σ and tanh, of `activations`.

    References
    ----------
    K. Cho et al., Learning phrase representations using RNN encoder-decoder for statistical
    machine translation, EMNLP 2014.
    """

    reset: Literal["before", "after"] = option(
        "before", "the reset gate acts on h before W, or on W h after it (PyTorch, cuDNN)"
    )
    bias: bool = option(True, "whether there are biases")
    gate_activation: GateActivation = option("sigmoid", "of the gates z and r")
    activation: Activation = option("tanh", "of the candidate")

    kind: ClassVar[str] = "gru"

    def check(self) -> None:
        """Raise OptionError for an unknown reset."""
        if self.reset not in ("before", "after"):
            raise OptionError(f"reset is {self.reset!r}; known: before, after", "reset")

    @property
    def gates(self) -> tuple[str, ...]:
        """Update, reset, candidate."""
        return ("z", "r", "g")

    @property
    def memory_gates(self) -> tuple[MemoryGate, ...]:
        """The update gate, which lets go."""
        return (MemoryGate("z", -1),)

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """U, W, b and, for reset after, the candidate's recurrent bias b_rec."""
        H = self.hidden
        out = {
            "U": Parameter("input", self.gates, H, inputs),
            "W": Parameter("recurrent", self.gates, H, H),
        }
        if self.bias:
            out["b"] = Parameter("bias", self.gates, H, 1)
            if self.reset == "after":
                out["b_rec"] = Parameter("bias", ("g",), H, 1)
        return out

    def ready(self, p: Params, columns: int) -> Params:
        """Spread the recurrent bias."""
        return {**p, "b_rec": spread(p["b_rec"], columns)} if "b_rec" in p else p

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """One step of the equations above; the cache is (z, r, g, z ⊙ (g − h_{t−1}), r ⊙ n).

        n is what r multiplies: h_{t−1} itself (before) or W_g h_{t−1} + b_rec (after).
        """
        (h,) = state
        W, gates = p["W"], 2 * self.hidden
        a_zr = product(W[:, :gates], h)
        a_zr += u[:, :gates]
        z, r = blocks(ACTIVATIONS[self.gate_activation].f(a_zr, out=place(a_zr)), 2)
        if self.reset == "before":
            open_n = r * h
            a_g = product(W[:, gates:], open_n)
            a_g += u[:, gates:]
        else:
            n = product(W[:, gates:], h)
            if self.bias:
                n += p["b_rec"]
            open_n = r * n
            a_g = open_n + u[:, gates:]
        g = ACTIVATIONS[self.activation].f(a_g, out=place(a_g))
        new = g - h
        new *= z
        return (h + new,), (z, r, g, new, open_n)

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """The leak 1−z; ∂h/∂a_z; ∂h/∂a_g; r; and ∂(r ⊙ n)/∂a_r.

        ::

            ∂h/∂a_z       = (1−z) ⊙ (z ⊙ (g − h_{t−1}))
            ∂h/∂a_g       = z ⊙ (1 − g ⊙ g)
            ∂(r ⊙ n)/∂a_r = (1−r) ⊙ (r ⊙ n)
        """
        z, r, g, new, open_n = cache
        closing = CLOSING[self.gate_activation]
        leak, dg, dr = 1 - z, ACTIVATIONS[self.activation].slope(g), closing(r)
        dg *= z
        dr *= open_n
        dz = (leak if self.gate_activation == "sigmoid" else closing(z)) * new
        return leak, dz, dg, r.copy(), dr

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """Through the leak, the update gate, the candidate and, behind it, the reset gate."""
        leak, dz, dg, r, dr = local
        (dh,) = dstate
        W, H = p["W"], self.hidden
        da = like(dh, 3 * H)
        da_z, da_r, da_g = blocks(da, 3)
        np.multiply(dh, dz, out=da_z)
        np.multiply(dh, dg, out=da_g)
        dh_prev = dh * leak
        if self.reset == "before":
            dq = pull(W[:, 2 * H :], da_g)
            np.multiply(dq, dr, out=da_r)
            dq *= r
            dh_prev += dq
        else:
            np.multiply(da_g, dr, out=da_r)
            dh_prev += pull(W[:, 2 * H :], da_g * r)
        dh_prev += pull(W[:, : 2 * H], da[..., : 2 * H, :])
        return (dh_prev,), da, ()

    def carrousel(self, local: tuple[Array, ...]) -> Carrousel:
        """The leak 1 − z."""
        return Carrousel(local[0], None)

    def through_gates(
        self, p: Params, local: tuple[Array, ...], da: Array
    ) -> tuple[State, Array | None]:
        """All but the leak: through W, and the candidate's behind the reset gate."""
        W, gates, r = p["W"], 2 * self.hidden, local[3]
        W_g, da_g = W[:, gates:], da[..., gates:, :]
        dh = pull(W_g, da_g * r) if self.reset == "after" else pull(W_g, da_g) * r
        dh += pull(W[:, :gates], da[..., :gates, :])
        return (dh,), None

    def open_gates(self, cache: tuple[Array, ...]) -> dict[str, Array]:
        """z and r."""
        return {"z": cache[0], "r": cache[1]}

    def summands(
        self, p: Params, cache: tuple[Array, ...], da: Array, before: State, after: State, x: Array
    ) -> dict[str, list[Summand]]:
        """As the default, but the candidate's W meets r ⊙ h_{t−1}, or stands behind r."""
        r = cache[1]
        out = super().summands(p, cache, da, before, after, x)
        da_g = blocks(da, 3)[2]
        if self.reset == "before":
            out["W"][2] = Summand("g", "outer", da_g, r * before[0])
        else:
            out["W"][2] = Summand("g", "outer", da_g * r, before[0])
            if self.bias:
                out["b_rec"] = [Summand("g", "bias", da_g * r, None)]
        return out
