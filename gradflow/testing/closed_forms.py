"""Curves that can be written down: what the norms of a cell must be, at any lag.

A closed form is a rule for cells of one kind: it takes a cell and gives `ClosedForm`, the network
with its exact curve, or None where it does not hold for the cell's options. Rules for cells of
one's own join by `closed_form`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from gradflow.core.cells import CEC, GRU, LSTM, RNN, Cell, MemoryBlock
from gradflow.core.cells.activations import ACTIVATIONS
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Probe
from gradflow.core.network.stack import Network
from gradflow.core.record import Norms, Timeline
from gradflow.core.typing import Array, Params

__all__ = ["STEPS", "ClosedForm", "biased", "closed_form", "closed_forms", "silence"]

C = TypeVar("C", bound=Cell)

STEPS = 1000
"""Steps over which curves are compared: from 10^−1300 to 10^+301."""


@dataclass(frozen=True)
class ClosedForm:
    """A network and the exact log10 norms of its derivatives.

    L = v · h_T with v a unit vector.

    Parameters
    ----------
    name : str
        The claim.
    cell, p : Cell, Params
        One layer; several nets side by side, one for each rate.
    x : array
        Inputs ``(steps, 1, features, 1)``.
    decades : array
        log10 of the factor by which ∂L/∂ of the state changes with each step back, one a net.
    state : str
        Which derivative: ``h`` or ``c``.
    start : float
        log10 of its norm at the last step.
    """

    name: str
    cell: Cell
    p: Params
    x: Array
    decades: Array
    state: str = "h"
    start: float = 0.0

    @property
    def exact(self) -> Array:
        """log10 norms at the steps 0..T, ``(nets, T + 1)``."""
        lag = len(self.x) - np.arange(len(self.x) + 1)
        curves: Array = self.start + np.asarray(self.decades)[:, None] * lag
        return curves

    def measured(self) -> Array:
        """What the engine says of them."""
        steps, nets = len(self.x), len(self.decades)
        net = Network.of(self.cell, self.x.shape[2])
        v = np.random.default_rng(0).standard_normal((nets, net.outputs, 1))
        loss = Probe(v / np.linalg.norm(v, axis=1, keepdims=True))
        norms = Norms(Timeline(net, loss, [steps], nets, 1), [self.state])
        backpropagate(net, ((self.p,),), self.x, loss, [steps], [norms], Schedule(64))
        curves: Array = norms.series[self.state].values[0][:, 0, 0, 0]
        return curves

    def error(self) -> float:
        """Largest relative error of a norm, however small or large the norm is."""
        gap = (self.measured() - self.exact) * math.log(10)
        return float(np.abs(np.expm1(gap)).max())


_RULES: dict[str, list[Callable[[Any], ClosedForm | None]]] = {}


def closed_form(
    cell: type[C],
) -> Callable[[Callable[[C], ClosedForm | None]], Callable[[C], ClosedForm | None]]:
    """Register a rule for a kind of cell; a decorator."""

    def register(rule: Callable[[C], ClosedForm | None]) -> Callable[[C], ClosedForm | None]:
        _RULES.setdefault(cell.kind, []).append(rule)
        return rule

    return register


def closed_forms(cell: Cell) -> list[ClosedForm]:
    """All closed forms that hold for a cell; of gated ones, with the usual nonlinearities."""
    usual = {"gate_activation": "sigmoid", "projection": 0}
    if cell.kind in ("lstm", "gru"):
        usual |= {"activation": "tanh", "output_activation": "tanh"}
    if any(getattr(cell, name, value) != value for name, value in usual.items()):
        return []
    found = [rule(cell) for rule in _RULES.get(cell.kind, [])]
    return [form for form in found if form is not None]


# --- the rules ---------------------------------------------------------------------------------


def silence(steps: int = STEPS, features: int = 1) -> Array:
    """Inputs of zero."""
    return np.zeros((steps, 1, features, 1))


def biased(cell: Cell, levels: Mapping[str, Array], features: int = 1) -> dict[str, Array]:
    """Weights of zero, but for the biases of some gates, one level for each net."""
    nets = len(next(iter(levels.values()), np.zeros(1)))
    layout = cell.parameters(features)
    p = {name: np.zeros((nets, *spec.shape)) for name, spec in layout.items()}
    for gate, level in levels.items():
        at = layout["b"].blocks.index(gate) * cell.hidden
        p["b"][:, at : at + cell.hidden] = np.asarray(level)[:, None, None]
    return p


def orthogonal_rnn(hidden: int, factors: Array) -> Array:
    """ρQ for each factor ρ, ``(nets, hidden, hidden)``; Q differs from net to net."""
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.standard_normal((len(factors), hidden, hidden)))
    scaled: Array = factors[:, None, None] * q
    return scaled


@closed_form(CEC)
def carrousel(cell: CEC) -> ClosedForm:
    """∂s_t/∂s_{t−1} = 1, whatever comes in."""
    rng = np.random.default_rng(2)
    layout = cell.parameters(2)
    p = {name: rng.standard_normal((1, *spec.shape)) for name, spec in layout.items()}
    x = rng.standard_normal((STEPS, 1, 2, 1))
    return ClosedForm("‖∂L/∂s_k‖ = 1", cell, p, x, np.zeros(1))


REST = {"tanh": math.atanh(0.6), "relu": 1.0, "identity": 1.0}
"""Pre-activations at which units rest; 0 for all others."""


@closed_form(RNN)
def resting(cell: RNN) -> ClosedForm:
    """W = ρQ and all units at the same s: ‖∂L/∂s_k‖ = (f′ρ)^lag.

    The first input puts every unit at s, the others hold it there: U = [f⁻¹(s), f⁻¹(s) − W s],
    x = (1, 0), (0, 1), (0, 1), … For the sigmoid at ½, f′ρ = 1 is Pascanu's bound met (2013).
    """
    f, before = ACTIVATIONS[cell.activation], REST.get(cell.activation, 0.0)
    s = f.f(np.full((cell.hidden, 1), before))
    factors = np.array([0.25, 0.9, 1.0])
    W = orthogonal_rnn(cell.hidden, factors / float(f.slope(s)[0, 0]))
    hold = before - W @ s
    p = biased(cell, {}, 2) | {"W": W, "U": np.concatenate([0 * hold + before, hold], axis=-1)}
    if "b" in p:
        p["b"] = 0 * hold
    x = silence(features=2)
    x[0, 0, 0], x[1:, 0, 1] = 1, 1
    return ClosedForm("W = ρQ at rest: (f′ρ)^lag", cell, p, x, np.log10(factors))


@closed_form(RNN)
def silent(cell: RNN) -> ClosedForm | None:
    """W = ρQ and silence, f′(0) = 1: ‖∂L/∂s_k‖ = ρ^lag, for ρ above 1 as well."""
    if cell.activation not in ("tanh", "identity"):
        return None
    factors = np.array([0.5, 0.9, 1.0, 1.1, 2.0])
    p = biased(cell, {}) | {"W": orthogonal_rnn(cell.hidden, factors)}
    p |= {name: np.zeros((len(factors), cell.hidden, 1)) for name in p if name != "W"}
    return ClosedForm("W = ρQ, silence: ρ^lag", cell, p, silence(), np.log10(factors))


@closed_form(LSTM)
def forgetting(cell: LSTM) -> ClosedForm:
    """Weights of zero: ∂c_T/∂c_k = σ(b_f)^lag; without forget gate 1.

    With b_f = ln(T − 1) that is (1 − 1/T)^lag (chrono; Tallec and Ollivier 2018). Nothing is ever
    stored, c = 0, so peepholes see nothing and pass nothing back: theirs are random. At the last
    step ∂L/∂c_T = o ⊙ v = v / 2.
    """
    biases = np.array([0.0, 1.0, -3.0, 5.0, math.log(STEPS - 1)])
    biases = biases if cell.bias else np.zeros(1)
    kept = 1 / (1 + np.exp(-biases)) if cell.forget_gate else np.ones(1)
    p = biased(cell, {"f": biases} if cell.forget_gate and cell.bias else {})
    if "P" in p:
        p["P"] = np.random.default_rng(3).standard_normal(p["P"].shape)
    claim = "zero weights: σ(b_f)^lag" if cell.forget_gate else "zero weights: c is kept"
    return ClosedForm(claim, cell, p, silence(), np.log10(kept), "c", math.log10(0.5))


@closed_form(MemoryBlock)
def forgetting_together(cell: MemoryBlock) -> ClosedForm | None:
    """Weights of zero: ∂c_T/∂c_k = σ(b_f)^lag for every cell of a block; without forget gate 1.

    At the last step ∂L/∂c_T = o ⊙ h′(0) ⊙ v = h′(0) v / 2.
    """
    biases = np.array([0.0, 1.0, -3.0, 5.0]) if cell.biases != "none" else np.zeros(1)
    kept = 1 / (1 + np.exp(-biases)) if cell.forget_gate else np.ones(1)
    p = biased(cell, {"f": biases} if cell.forget_gate and cell.biases != "none" else {})
    squash, zero = ACTIVATIONS[cell.output_activation], np.zeros(1)
    slope = float(squash.slope(squash.f(zero))[0])
    if ACTIVATIONS[cell.activation].f(zero)[0] or not slope:
        return None  # something is stored, or nothing gets out
    claim = "zero weights: σ(b_f)^lag" if cell.forget_gate else "zero weights: c is kept"
    start = math.log10(0.5 * slope)
    return ClosedForm(claim, cell, p, silence(), np.log10(kept), "c", start)


@closed_form(GRU)
def leaking(cell: GRU) -> ClosedForm:
    """Weights of zero: ∂h_T/∂h_k = (1 − σ(b_z))^lag; without biases 2^−lag."""
    levels = np.array([0.0, 2.0, -2.0, -math.log(STEPS - 1)])
    p = biased(cell, {"z": levels} if cell.bias else {})
    kept = 1 / (1 + np.exp(levels)) if cell.bias else np.full(1, 0.5)
    return ClosedForm("zero weights: (1 − σ(b_z))^lag", cell, p, silence(), np.log10(kept))
