"""Cells whose columns are units of an infinitely wide network, and what makes a net like one.

See `gradflow.core.theory.gated.population_rate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gradflow.core.cells import GRU, LSTM, RNN, Cell, Parameter, State, blocks
from gradflow.core.cells.activations import ACTIVATIONS
from gradflow.core.typing import Array, Params

__all__ = ["covers", "gains", "population", "why_not_random", "why_not_wide"]

_NEW = 1e-6
"""Share of a source below which nothing in it is new."""

_FEW = 100
"""Units below which draws of the weights differ so much that N → ∞ says little about one."""

_ALIGNED = 10.0


def gains(W: Array, count: int) -> Array:
    """σ_k = ‖W_k‖_F / √N for the `count` gates' blocks of W ``(count N, N)``.

    Independent elements of variance σ²/N have it for N → ∞, whatever their distribution, and so
    has σ times an orthogonal matrix.
    """
    norms = [np.linalg.norm(block) for block in blocks(W, count)]
    each: Array = np.array(norms) / np.sqrt(W.shape[-1])
    return each


def why_not_wide(units: int | None) -> list[str]:
    """Why a limit N → ∞ says little about so many units; nothing if it does, or for None."""
    if units is None or units >= _FEW:
        return []
    return [f"{units} units are few: draws of the weights scatter (N ≥ {_FEW})"]


def why_not_random(W: Array, count: int) -> list[str]:
    """Reasons why a theory of wide random W does not hold for these weights; none if it does."""
    N = W.shape[-1]
    reasons = why_not_wide(N)
    for block in blocks(W, count):
        total = float(np.sum(block**2))
        # Independent elements hold 1/N of their squares on the diagonal.
        if N > 1 and float(np.sum(np.diagonal(block) ** 2)) * N > _ALIGNED * total > 0:
            reasons.append("W is near diagonal, not random")
            break
    return reasons


class Field:
    """W y for one random W and one y after another, without ever having W.

    The part of y in the span of earlier ones meets what W has done there; the rest meets fresh
    Gaussian numbers.
    """

    def __init__(self, rng: np.random.Generator, matrices: int, units: int, steps: int) -> None:
        self.rng = rng
        self.basis = np.zeros((steps, units))
        self.image = np.zeros((steps, matrices, units))
        self.used = 0

    def __call__(self, y: Array) -> Array:
        """The fields of all matrices, ``(matrices, units)``, for y ``(units,)``."""
        scale = math.sqrt(np.mean(y * y))
        if scale == 0:
            return np.zeros(self.image.shape[1:])
        basis, rest = self.basis[: self.used], y / scale
        along = np.zeros(self.used)
        for _ in range(2):  # once leaves rounding along what was taken out
            part = basis @ rest / len(y)
            rest = rest - part @ basis
            along += part
        left = math.sqrt(np.mean(rest * rest))
        if left > _NEW:
            self.basis[self.used] = rest / left
            self.image[self.used] = self.rng.standard_normal(self.image.shape[1:])
            self.used += 1
            along = np.append(along, left)
        field: Array = np.tensordot(along * scale, self.image[: self.used], axes=1)
        return field


@dataclass(frozen=True)
class Population(Cell):
    """A cell whose columns are the units of a population and whose W h is a field.

    ``one`` is the cell with a single unit, given ``p`` with weights W of zero; ``ahead`` are the
    fields of h, ``back`` those of each gate's da.
    """

    one: Cell
    p: Params
    sigma: Array
    ahead: Field
    back: tuple[Field, ...]

    kind: ClassVar[str] = "population"

    @property
    def gates(self) -> tuple[str, ...]:
        """The cell's own."""
        return self.one.gates

    def parameters(self, inputs: int) -> dict[str, Parameter]:
        """The cell's own."""
        return self.one.parameters(inputs)

    def drive(self, p: Params, x: Array) -> Array:
        """The drive is given."""
        return x

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """a = u + σ η."""
        return self.one.step(self.p, state, u + self.sigma * self.ahead(state[0][0, 0]))

    def linearise(self, p: Params, cache: tuple[Array, ...]) -> tuple[Array, ...]:
        """The cell's own."""
        return self.one.linearise(self.p, cache)

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """The cell's own, and Σ_k σ_k ζ_k."""
        (dh, *rest), da, totals = self.one.step_vjp(self.p, local, dstate)
        for k in range(len(self.back)):
            dh = dh + self.pulled(k, da)
        return (dh, *rest), da, totals

    def pulled(self, k: int, da: Array) -> Array:
        """σ_k ζ_k."""
        pulled: Array = self.sigma[k] * self.back[k](da[0, k])
        return pulled


@dataclass(frozen=True)
class _ResetBefore(Population):
    """A GRU whose candidate's W meets r ⊙ h."""

    candidate: Field

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """a_z and a_r from the fields of h, a_g from that of r ⊙ h."""
        h = state[0][0, 0]
        a = u + self.sigma * self.ahead(h)
        assert isinstance(self.one, GRU)
        r = ACTIVATIONS[self.one.gate_activation].f(a[0, 1].copy())
        a[0, 2] = u[0, 2] + self.sigma[2] * self.candidate(r * h)[0]
        return self.one.step(self.p, state, a)

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """As the cell, with dq = σ_g ζ_g in the place of W_gᵀ da_g."""
        (dh,), da, totals = self.one.step_vjp(self.p, local, dstate)
        *_, r, dr = local
        dq = self.pulled(2, da)
        da[0, 1] = (dq * dr)[0, 0]
        return (dh + dq * r + self.pulled(0, da) + self.pulled(1, da),), da, totals


@dataclass(frozen=True)
class _ResetAfter(Population):
    """A GRU whose r stands before W h + b_rec."""

    def step(self, p: Params, state: State, u: Array) -> tuple[State, tuple[Array, ...]]:
        """The candidate's field enters in the brackets."""
        field = self.sigma * self.ahead(state[0][0, 0])
        inner = dict(self.p) | {"b_rec": self.p["b_rec"] + field[2]}
        field[2] = 0
        return self.one.step(inner, state, u + field)

    def step_vjp(
        self, p: Params, local: tuple[Array, ...], dstate: State
    ) -> tuple[State, Array, State]:
        """What comes back through the brackets is r ⊙ da_g."""
        (dh,), da, totals = self.one.step_vjp(self.p, local, dstate)
        behind = da.copy()
        behind[0, 2] *= local[3][0, 0]
        return (dh + sum(self.pulled(k, behind) for k in range(3)),), da, totals


def covers(cell: Cell) -> bool:
    """Whether a cell's only recurrent matrices are W's blocks, which the theory takes as random."""
    if isinstance(cell, LSTM):
        return cell.peephole != "full" and not cell.projection
    return isinstance(cell, RNN | GRU)


def population(
    cell: Cell, p: Params, rng: np.random.Generator, units: int, steps: int
) -> Population:
    """A population of `units` like those of a net, resampled; for `steps` steps.

    Raises
    ------
    ValueError
        If the cell has recurrent weights that the theory does not cover.
    """
    if not covers(cell):
        raise ValueError(
            f"{cell.label}: mean field covers rnn, gru, and lstm without full peepholes or "
            "projection"
        )
    count = len(cell.gates)
    which = np.arange(units) % cell.hidden
    inner = {"W": np.zeros((1, count, 1))}
    for name in ("P", "b_rec"):
        if name in p:
            inner[name] = p[name].reshape(1, -1, cell.hidden)[..., which]
    fields = [Field(rng, matrices, units, steps) for matrices in (count, *[1] * count)]
    given = (1, replace(cell, hidden=1), inner, gains(p["W"][0], count)[:, None])
    if isinstance(cell, GRU) and cell.reset == "before":
        extra = Field(rng, 1, units, steps)
        return _ResetBefore(*given, fields[0], tuple(fields[1:]), extra)
    if isinstance(cell, GRU):
        one = replace(cell, hidden=1, bias=True)
        inner.setdefault("b_rec", np.zeros((1, 1, units)))
        return _ResetAfter(1, one, inner, given[3], fields[0], tuple(fields[1:]))
    return Population(*given, fields[0], tuple(fields[1:]))
