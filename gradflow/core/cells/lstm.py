"""Long short-term memory and its variants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from gradflow.core.cells.activations import ACTIVATIONS, CLOSING, Activation, GateActivation
from gradflow.core.cells.arrays import (
    Drive,
    affine,
    blocks,
    by_block,
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

__all__ = ["LSTM"]

Gate: TypeAlias = Literal["f", "i", "o"]


@dataclass(frozen=True)
class LSTM(Cell):
    """A constant error carrousel c behind gates.

    ::

        f_t = σ(U_f x_t + W_f h_{t−1} + P_f c_{t−1} + b_f)
        i_t = σ(U_i x_t + W_i h_{t−1} + P_i c_{t−1} + b_i)
        g_t = tanh(U_g x_t + W_g h_{t−1} + b_g)
        c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t
        o_t = σ(U_o x_t + W_o h_{t−1} + P_o c_t + b_o)
        h_t = o_t ⊙ tanh(c_t)                                or R (o_t ⊙ tanh(c_t))

    with other nonlinearities if asked for: σ is `gate_activation`, the first tanh `activation`, the
    second `output_activation`. With a projection R, h has P features and c has H.

    Coupled: i = 1 − f. Without forget gate (1997): f = 1. Row blocks are o, f, i, g, those that
    exist: the sigmoid gates contiguous, and so are those through which ∂L/∂c goes.

    Parameters
    ----------
    hidden : int
        Number of units H.
    peephole : {"none", "diagonal", "full"}
        Whether gates see c: not, each its own unit's (a vector P), or all (a matrix P).
    peephole_gates : tuple of {"f", "i", "o"}
        Which gates do; empty means all that exist.
    coupled : bool
        Input and forget gate coupled.
    forget_gate : bool
        Whether there is a forget gate.
    bias : bool
        Whether there is a b.
    projection : int
        P, the features of h; 0: as many as units, and no R.
    gate_activation, activation, output_activation : str
        σ and the two tanh, of `activations`.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997).
    F. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural Computation 12 (2000).
    F. Gers and J. Schmidhuber, Recurrent nets that time and count, IJCNN 2000 (peepholes).
    K. Greff et al., LSTM: a search space odyssey, IEEE TNNLS 28 (2017) (coupled gates).
    H. Sak, A. Senior and F. Beaufays, Long short-term memory based recurrent neural network
    architectures for large vocabulary speech recognition, arXiv 1402.1128 (2014) (projection).
    """

    peephole: Literal["none", "diagonal", "full"] = option(
        "none", "how gates see c: not, by a weight for each unit, or by matrices"
    )
    peephole_gates: tuple[Gate, ...] = option((), "which gates see c; empty: all that there are")
    coupled: bool = option(False, "i = 1 − f")
    forget_gate: bool = option(True, "false: the cell of 1997, f = 1")
    bias: bool = option(True, "whether there are biases")
    projection: int = option(0, "entries of h, projected from o ⊙ tanh(c); 0: none")
    gate_activation: GateActivation = option("sigmoid", "of the gates f, i and o")
    activation: Activation = option("tanh", "of the candidate c̃")
    output_activation: Activation = option("tanh", "of c on its way to h")

    kind: ClassVar[str] = "lstm"
    parts: ClassVar[tuple[str, ...]] = ("h", "c")

    def check(self) -> None:
        """Raise OptionError where options clash."""
        if self.peephole not in ("none", "diagonal", "full"):
            raise OptionError(
                f"peephole is {self.peephole!r}; known: none, diagonal, full", "peephole"
            )
        if self.projection < 0:
            raise OptionError(f"projection is {self.projection}; it is 0 or more", "projection")
        if self.coupled and not self.forget_gate:
            raise OptionError("coupled needs the forget gate: it sets i = 1 − f", "coupled")
        if self.peephole_gates and self.peephole == "none":
            raise OptionError("peephole_gates needs peephole: diagonal or full", "peephole_gates")
        if len(set(self.peephole_gates)) != len(self.peephole_gates):
            raise OptionError("peephole_gates names a gate twice", "peephole_gates")
        for gate in self.peephole_gates:
            if gate not in self.gates[:-1]:
                raise OptionError(
                    f"peephole_gates names {gate!r}, but this cell's gates are "
                    f"{', '.join(sorted(self.gates[:-1]))}",
                    "peephole_gates",
                )

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """P or H features of h, H of c."""
        return self.projection or self.hidden, self.hidden

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """Output, forget, input gate as far as they exist; candidate."""
        if self.coupled:
            return ("o", "f", "g")
        return ("o", "f", "i", "g") if self.forget_gate else ("o", "i", "g")

    @property
    def memory_gates(self) -> tuple[MemoryGate, ...]:
        """The forget gate, which keeps, and the input gate beside it if that is another."""
        if not self.forget_gate:
            return ()
        return (MemoryGate("f", 1, None if self.coupled else "i"),)

    @cached_property
    def peeping(self) -> tuple[str, ...]:
        """The gates that see c, in the order of P's row blocks."""
        if self.peephole == "none":
            return ()
        chosen = self.peephole_gates or self.gates[:-1]
        return tuple(gate for gate in ("f", "i", "o") if gate in chosen)

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """U, W, b, P with a block for each peeping gate, and R, as far as they exist."""
        H = self.hidden
        out = {
            "U": Parameter("input", self.gates, H, inputs),
            "W": Parameter("recurrent", self.gates, H, self.sizes[0]),
        }
        if self.bias:
            out["b"] = Parameter("bias", self.gates, H, 1)
        if self.peeping:
            out["P"] = Parameter("peephole", self.peeping, H, 1 if self._diagonal else H)
        if self.projection:
            out["R"] = Parameter("recurrent", ("h",), self.projection, H)
        return out

    def side_by_side(self, p: Params) -> Array | None:
        """[W U b], all gates, if there is a b."""
        return np.concatenate((p["W"], p["U"], p["b"]), axis=-1) if self.bias else None

    def drive_vjp(self, p: Params, da: Array) -> Array:
        """dx = Uᵀ da of the gates' rows."""
        return pull(p["U"], self._of_gates(da))

    def ready(self, p: Params, columns: int) -> Params:
        """Spread diagonal peepholes."""
        return {**p, "P": spread(p["P"], columns)} if self._diagonal else p

    def step(self, p: Params, state: State, u: Array | Drive) -> tuple[State, tuple[Array, ...]]:
        """One step of the equations above.

        The cache is (o; f, i; g; f ⊙ c_{t−1}; i ⊙ g; tanh c_t; o ⊙ tanh c_t), with the first term
        of c_t as it stands there, and with f alone where i is coupled to it, i alone where there is
        no f.
        """
        h, c_prev = state
        gate = ACTIVATIONS[self.gate_activation].f
        H = self.hidden
        a = affine(p["W"], h, u)
        for name in self.peeping:
            if name != "o":
                a_gate = self._block(a, name)
                a_gate += self._peep(p, name, c_prev)
        late = "o" in self.peeping  # then o opens after c_t, which it sees
        a_s, a_g = a[:, H:-H] if late else a[:, :-H], a[:, -H:]
        s, g = gate(a_s, out=place(a_s)), ACTIVATIONS[self.activation].f(a_g, out=place(a_g))
        fi = s if late else s[:, H:]
        f, i = self._split(fi)
        kept = c_prev if f is None else f * c_prev
        new = i * g
        c = kept + new
        o = gate(a[:, :H] + self._peep(p, "o", c)) if late else s[:, :H]
        t = ACTIVATIONS[self.output_activation].f(c)
        out = o * t
        h = product(p["R"], out) if self.projection else out
        return (h, c), (o, fi, g, kept, new, t, out)

    def _split(self, fi: Array) -> tuple[Array | None, Array]:
        """f and i from what is open of them: i = 1 − f if coupled; no f without forget gate."""
        if self.coupled:
            return fi, 1 - fi
        H = self.hidden
        return (fi[..., :H, :], fi[..., H:, :]) if self.forget_gate else (None, fi)

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """∂h/∂c at fixed o; ∂h/∂a_o; ∂c/∂a_f, ∂c/∂a_i, ∂c/∂a_g; f: as far as they exist.

        With h = o ⊙ tanh c, before a projection, and for the usual nonlinearities::

            ∂h/∂c   = o − h ⊙ tanh c            tanh′ = 1 − tanh²
            ∂h/∂a_o = (1−o) ⊙ h                 σ′ = σ (1−σ)
            ∂c/∂a_f = (1−f) ⊙ (f ⊙ c_{t−1})     coupled: (1−f) ⊙ (f ⊙ c_{t−1} − f ⊙ g)
            ∂c/∂a_i = (1−i) ⊙ (i ⊙ g)
            ∂c/∂a_g = i − (i ⊙ g) ⊙ g

        Slopes come from outputs, see `activations`; with a projection h_{t} itself follows.
        """
        o, fi, g, kept, new, t, h = cache
        f, i = self._split(fi)
        closing = CLOSING[self.gate_activation]
        dh_dc = ACTIVATIONS[self.output_activation].times(o, h, t)
        dc_dg = ACTIVATIONS[self.activation].times(i, new, g)
        dh_do = closing(o)
        dh_do *= h
        out = (h.copy("K"),) if self.projection else ()
        if self.coupled and f is not None:
            dc_df = closing(f)
            dc_df *= kept - f * g
            return (*out, dh_dc, dh_do, dc_df, dc_dg, f.copy("K"))
        dc_di = closing(i)
        dc_di *= new
        if f is None:
            return (*out, dh_dc, dh_do, dc_di, dc_dg)
        dc_df = closing(f)
        dc_df *= kept
        return (*out, dh_dc, dh_do, dc_df, dc_di, dc_dg, f.copy("K"))

    def packed(self, local: tuple[Array, ...]) -> tuple[Array, ...]:
        """∂h/∂a_o above ∂c/∂a_f, ∂c/∂a_i, ∂c/∂a_g as one array, so that da is one product."""
        first, last = 2 if self.projection else 1, -1 if self.forget_gate else len(local)
        slopes = np.concatenate(local[first:last], axis=-2)
        return (*local[:first], slopes, *local[last:])

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """From h into o and c, from c into f, i, g and c_{t−1}, and through W into h_{t−1}.

        With a projection Rᵀ dh stands for dh, and dh itself follows da, for R's gradient::

            da_o = ∂h/∂a_o ⊙ dh
            dc⁺  = dc + ∂h/∂c ⊙ dh + P_oᵀ da_o        the total derivative of c_t
            da_• = ∂c/∂a_• ⊙ dc⁺                      for f, i, g
            dc_{t−1} = f ⊙ dc⁺ + P_fᵀ da_f + P_iᵀ da_i
            dh_{t−1} = Wᵀ da
        """
        dh_dc, *slopes = local[1:] if self.projection else local
        f = slopes.pop() if self.forget_gate else None
        dh, dc = dstate
        out = pull(p["R"], dh) if self.projection else dh
        dc_total = out * dh_dc
        dc_total += dc
        if "o" in self.peeping:
            dc_total += self._peep_vjp(p, "o", out * slopes[0][..., : self.hidden, :])
        da = by_block(slopes, out, dc_total)
        dc_prev = dc_total.copy("K") if f is None else dc_total * f
        for gate in self.peeping:
            if gate != "o":
                dc_prev += self._peep_vjp(p, gate, self._block(da, gate))
        dstate_prev = (pull(p["W"], da), dc_prev)
        if self.projection:
            da = np.concatenate((da, dh), axis=-2)
        return dstate_prev, da, (dc_total,)

    def _of_gates(self, da: Array) -> Array:
        """Leave out the rows of dh that follow where there is a projection."""
        return da[..., : len(self.gates) * self.hidden, :] if self.projection else da

    @property
    def _diagonal(self) -> bool:
        return self.peephole == "diagonal"

    def _peephole(self, p: Params, gate: str) -> Array:
        return blocks(p["P"], len(self.peeping))[self.peeping.index(gate)]

    def _peep(self, p: Params, gate: str, c: Array) -> Array:
        """P c: what a gate sees of c."""
        P = self._peephole(p, gate)
        seen: Array = P * c if self._diagonal else product(P, c)
        return seen

    def _block(self, a: Array, gate: str) -> Array:
        """The rows of one gate."""
        return blocks(a, len(self.gates))[self.gates.index(gate)]

    def _peep_vjp(self, p: Params, gate: str, da: Array) -> Array:
        """Pᵀ da of one gate's rows."""
        P = self._peephole(p, gate)
        return P * da if self._diagonal else pull(P, da)

    def carrousel(self, local: tuple[Array, ...]) -> Carrousel:
        """The forget gate; from h, before a projection, into c as far as not through o."""
        enter = local[1] if self.projection else local[0]
        keep = local[-1] if self.forget_gate else np.ones_like(enter)
        return Carrousel(keep, enter, "R" if self.projection else None)

    def through_gates(
        self, p: Params, local: tuple[Array, ...], da: Array
    ) -> tuple[State, Array | None]:
        """Through W into h_{t−1}, through P_f and P_i into c_{t−1}, through P_o into c_t."""
        of_gates = self._of_gates(da)
        (dh, dc), _ = super().through_gates(p, local, of_gates)
        each = {name: self._peep_vjp(p, name, self._block(of_gates, name)) for name in self.peeping}
        peek = each.pop("o", None)
        return (dh, sum(each.values(), start=dc)), peek

    def open_gates(self, cache: tuple[Array, ...]) -> dict[str, Array]:
        """o, f and i, as far as they exist; coupled, i = 1 − f."""
        o, fi, *_ = cache
        f, i = self._split(fi)
        return {"o": o} | ({} if f is None else {"f": f}) | {"i": i}

    def summands(
        self, p: Params, cache: tuple[Array, ...], da: Array, before: State, after: State, x: Array
    ) -> dict[str, list[Summand]]:
        """As the default, and P's: o meets c_t, the others c_{t−1}; dh and o ⊙ tanh c make R's."""
        of_gates = self._of_gates(da)
        out = super().summands(p, cache, of_gates, before, after, x)
        each = dict(zip(self.gates, blocks(of_gates, len(self.gates)), strict=True))
        if self.projection:
            out["R"] = [Summand("h", "outer", da[..., -self.projection :, :], cache[6])]
        if self.peeping:
            form: Literal["diagonal", "outer"] = "diagonal" if self._diagonal else "outer"
            out["P"] = [
                Summand(gate, form, each[gate], (after if gate == "o" else before)[1])
                for gate in self.peeping
            ]
        return out
