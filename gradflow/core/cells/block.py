"""Memory-cell blocks: cells that share their gates, as the net of 1997 has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from gradflow.core.cells.activations import ACTIVATIONS, Activation
from gradflow.core.cells.arrays import blocks, like, product, pull, sigmoid
from gradflow.core.cells.base import Cell
from gradflow.core.cells.terms import Carrousel, MemoryGate, Parameter, State, Summand
from gradflow.core.registry import option
from gradflow.core.typing import Array, Params

__all__ = ["MemoryBlock"]


@dataclass(frozen=True)
class MemoryBlock(Cell):
    """Blocks of `size` memory cells; the cells of a block share their gates.

    With y = (o, f, i) the gates' activations, one of each for a block, and cell v of a block::

        y_t  = σ(U_y x_t + W_y r_{t−1} + b_y)        r = h, or [h; y] with feedback of all
        g_tv = g(U_v x_t + W_v r_{t−1} + b_v)
        c_tv = f_t ⊙ c_{t−1,v} + i_t ⊙ g_tv
        h_tv = o_t ⊙ h(c_tv)

    Without forget gate (1997) f = 1. Row blocks are o, f, i as far as they exist, then the
    candidates g1 … gS of the first to the S-th cell of every block (g where S = 1).

    Parameters
    ----------
    hidden : int
        Number of blocks B; there are B · `size` cells, and as many outputs.
    size : int
        Cells of a block, S.
    forget_gate : bool
        Whether there is a forget gate (Gers et al. 2000).
    feedback : {"cells", "all"}
        Whether gates and cells see h_{t−1} alone, or the gates' activations of the step before as
        well (1997).
    biases : {"all", "gates", "none"}
        Who has a bias.
    activation, output_activation : str
        The squashers g of what enters a cell and h of what leaves it, of `activations`.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), section
    4, appendix A.1. F. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural Computation
    12 (2000).
    """

    size: int = option(1, "cells of a block, which share its gates")
    forget_gate: bool = option(False, "whether a block has one")
    feedback: Literal["cells", "all"] = option(
        "cells", "what cells and gates read: the cells' outputs, or gates as well"
    )
    biases: Literal["all", "gates", "none"] = option("all", "which of them there are")
    activation: Activation = option("squash2", "of a cell's input: g of 1997")
    output_activation: Activation = option("squash1", "of c on its way out: h of 1997")

    kind: ClassVar[str] = "block"

    def check(self) -> None:
        """Raise ValueError where an option has no such value."""
        if self.size < 1:
            raise ValueError(f"size is {self.size}; a block has at least 1 cell")
        for name in ("activation", "output_activation"):
            if getattr(self, name) not in ACTIVATIONS:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; known: {', '.join(ACTIVATIONS)}"
                )

    @cached_property
    def parts(self) -> tuple[str, ...]:  # type: ignore[override]  # it depends on the feedback
        """h, the gates' activations y where they are fed back, c."""
        return ("h", "y", "c") if self.feedback == "all" else ("h", "c")

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Cells, gates, cells."""
        cells, gates = self.hidden * self.size, self.hidden * len(self.shared)
        return (cells, gates, cells) if self.feedback == "all" else (cells, cells)

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """The gates of a block."""
        return ("o", "f", "i") if self.forget_gate else ("o", "i")

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The gates, and each cell's candidate."""
        each = ("g",) if self.size == 1 else tuple(f"g{v + 1}" for v in range(self.size))
        return (*self.shared, *each)

    @property
    def memory_gates(self) -> tuple[MemoryGate, ...]:
        """The forget gate, if there is one, and the input gate beside it."""
        return (MemoryGate("f", 1, "i"),) if self.forget_gate else ()

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """U, W (of [h; y]) and b, with a bias for those who have one."""
        B = self.hidden
        seen = self.sizes[0] + (B * len(self.shared) if self.feedback == "all" else 0)
        out = {
            "U": Parameter("input", self.gates, B, inputs),
            "W": Parameter("recurrent", self.gates, B, seen),
        }
        if self.biases != "none":
            biased = self.gates if self.biases == "all" else self.shared
            out["b"] = Parameter("bias", biased, B, 1)
        return out

    def drive(self, p: Params, x: Array) -> Array:
        """u = U x + b, with b for those who have one."""
        u = product(p["U"], x)
        if "b" in p:
            u[..., : p["b"].shape[-2], :] += p["b"]
        return u

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """One step of the equations above; the cache is (y, g, c_{t−1}, h(c_t))."""
        a = product(p["W"], self._seen(state))
        a += u
        gates, c_prev = self.hidden * len(self.shared), state[-1]
        y, g = sigmoid(a[:, :gates]), ACTIVATIONS[self.activation].f(a[:, gates:])
        o, *f, i = self._gates(y)
        c = i * g
        c += f[0] * c_prev if f else c_prev
        t = ACTIVATIONS[self.output_activation].f(c)
        h = o * t
        return (h, y, c) if self.feedback == "all" else (h, c), (y, g, c_prev, t)

    def _seen(self, state: State) -> Array:
        """What gates and cells see of the step before: [h; y] or h."""
        return state[0] if len(state) == 2 else np.concatenate(state[:2], axis=-2)

    def _gates(self, y: Array) -> tuple[Array, ...]:
        """o, f, i as far as they exist, those of a block for each of its cells."""
        each = blocks(y, len(self.shared))
        if self.size == 1:
            return each
        return tuple([np.concatenate((gate,) * self.size, axis=-2) for gate in each])

    def _cells(self, a: Array) -> Array:
        """First cells, second cells, … apart: ``(..., S, B, columns)``; as they are where S = 1."""
        if self.size == 1:
            return a
        return a.reshape(*a.shape[:-2], self.size, self.hidden, a.shape[-1])

    def _sum(self, per_cell: Array) -> Array:
        """Σ over the cells of each block, ``(..., B, columns)``."""
        total: Array = per_cell if self.size == 1 else per_cell.sum(axis=-3)
        return total

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """o ⊙ h′(c), h(c), i ⊙ g′, g, y ⊙ (1 − y), and f and c_{t−1} where there is a forget gate.

        Slopes come from outputs: relative precision ε / f′.
        """
        y, g, c_prev, t = cache
        o, *f, i = self._gates(y)
        dh_dc = o * ACTIVATIONS[self.output_activation].slope(t)
        dc_dg = i * ACTIVATIONS[self.activation].slope(g)
        kept = (f[0].copy("K"), c_prev.copy("K")) if f else ()
        return dh_dc, t.copy("K"), dc_dg, g.copy("K"), y * (1 - y), *kept

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """From h into o and c, from c into f, i, g and c_{t−1}, and through W into [h; y]_{t−1}.

        ::

            dc⁺  = dc + o ⊙ h′(c) ⊙ dh                 the total derivative of c_t
            dy⁺  = dy + Σ_block (h(c) ⊙ dh, c_{t−1} ⊙ dc⁺, g ⊙ dc⁺)      that of o, f, i
            da_y = y ⊙ (1 − y) ⊙ dy⁺,   da_g = i ⊙ g′ ⊙ dc⁺
            dc_{t−1} = f ⊙ dc⁺,   [dh; dy]_{t−1} = Wᵀ da
        """
        dh_dc, t, dc_dg, g, slope, *kept = local
        dh, *fed, dc = dstate
        B, gates = self.hidden, self.hidden * len(self.shared)
        dc_total = dh * dh_dc
        dc_total += dc
        dy_total = like(dh, gates)
        dy_total[..., :B, :] = self._sum(self._cells(dh * t))
        if kept:
            dy_total[..., B : 2 * B, :] = self._sum(self._cells(dc_total * kept[1]))
        dy_total[..., -B:, :] = self._sum(self._cells(dc_total * g))
        for dy in fed:
            dy_total += dy
        da = like(dh, B * len(self.gates))
        np.multiply(dy_total, slope, out=da[..., :gates, :])
        np.multiply(dc_total, dc_dg, out=da[..., gates:, :])
        dc_prev = dc_total * kept[0] if kept else dc_total.copy("K")
        seen = self._split(pull(p["W"], da))
        return (*seen, dc_prev), da, (dy_total, dc_total) if fed else (dc_total,)

    def _split(self, seen: Array) -> State:
        """Divide [h; y] into its parts."""
        if self.feedback == "cells":
            return (seen,)
        cells = self.sizes[0]
        return seen[..., :cells, :], seen[..., cells:, :]

    def carrousel(self, local: tuple[Array, ...]) -> Carrousel:
        """The forget gate, or 1; from h into c as far as it does not go through o."""
        return Carrousel(local[5] if self.forget_gate else np.ones_like(local[0]), local[0])

    def through_gates(
        self, p: Params, local: tuple[Array, ...], da: Array
    ) -> tuple[State, Array | None]:
        """Through W into [h; y]_{t−1}."""
        seen = self._split(pull(p["W"], da))
        return (*seen, np.zeros_like(seen[0])), None

    def open_gates(self, cache: tuple[Array, ...]) -> dict[str, Array]:
        """Each cell's o, f and i, as far as they exist."""
        return dict(zip(self.shared, self._gates(cache[0]), strict=True))

    def summands(
        self, p: Params, cache: tuple[Array, ...], da: Array, before: State, after: State, x: Array
    ) -> dict[str, list[Summand]]:
        """As the default, but W meets [h; y]_{t−1}, and not all have a bias."""
        seen = self._seen(before)
        each = dict(zip(self.gates, blocks(da, len(self.gates)), strict=True))
        out = {
            "U": [Summand(gate, "outer", d, x) for gate, d in each.items()],
            "W": [Summand(gate, "outer", d, seen) for gate, d in each.items()],
        }
        if "b" in p:
            biased = self.gates if self.biases == "all" else self.shared
            out["b"] = [Summand(gate, "bias", each[gate], None) for gate in biased]
        return out
