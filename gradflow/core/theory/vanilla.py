"""The vanilla RNN: what the size of W alone says, and the mean field for N → ∞.

References
----------
H. Sompolinsky, A. Crisanti and H. J. Sommers, Chaos in random neural networks, Physical Review
Letters 61 (1988). B. Poole et al., Exponential expressivity in deep neural networks through
transient chaos, NeurIPS 2016. S. Schoenholz et al., Deep information propagation, ICLR 2017.
"""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np

from gradflow.core.cells.activations import ACTIVATIONS, Activation
from gradflow.core.quantity import Prediction
from gradflow.core.theory.population import why_not_wide
from gradflow.core.typing import Array

__all__ = ["STEEPEST", "norm_bound", "radius_rate", "rnn_chi", "rnn_driven"]

STEEPEST: dict[Activation, float] = {
    "tanh": 1.0,
    "sigmoid": 0.25,
    "relu": 1.0,
    "identity": 1.0,
    "hard_sigmoid": 1 / 6,
    "hard_sigmoid_keras2": 0.2,
    "squash1": 0.5,
    "squash2": 1.0,
}
"""γ = max |f′|."""

_SOURCE = "Pascanu, Mikolov & Bengio 2013"

_LINEAR = 0.95

_Z = np.arange(-1000, 1000) * 0.01 + 0.005
_DZ = np.exp(-(_Z**2) / 2) * 0.01 / math.sqrt(2 * math.pi)
"""∫Dz by the midpoint rule: exact to rounding for smooth functions, and no node at relu's kink."""

_COARSE = np.arange(-80, 80) * 0.1 + 0.05
_WEIGHTS = np.exp(-(_COARSE**2) / 2) * 0.1 / math.sqrt(2 * math.pi)
"""The same, for functions that are also averaged over units."""

_LARGEST = 1e12
"""Variance beyond which the state counts as growing without bound."""

_CHAOS = 500


def norm_bound(W: Array, activation: Activation = "tanh") -> Prediction:
    """‖∂s_{t+1}/∂s_t‖₂ = ‖diag(f′) W‖₂ ≤ γ ‖W‖₂, hence the rate is at most log10(γ ‖W‖₂).

    γ‖W‖₂ < 1 is sufficient for vanishing (Hochreiter 1991 for sigmoid units: ‖W‖ < 4), γ‖W‖₂ > 1
    necessary for exploding, no more.

    Parameters
    ----------
    W : array
        ``(H, H)``.
    activation : str
        f, of which γ = max |f′|.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks,
    ICML 2013, section 2.1.
    """
    rate = _log10(STEEPEST[activation] * float(np.linalg.norm(W, 2)))
    note = "holds at every step" if rate < 0 else "holds at every step, but does not forbid growth"
    return Prediction("γ‖W‖₂", rate, "upper bound", True, note, _SOURCE)


def radius_rate(
    W: Array, activation: Activation = "tanh", slope: float | None = None
) -> Prediction:
    """The rate log10(γ ρ(W)) of units that stay where f is steepest, so that ∂s_{t+1}/∂s_t = γ W.

    Exact for identity units; for others only while they are at their steepest (a silent tanh
    network near zero). No bound: a product of different diag(f′) W can grow although γ ρ(W) < 1.

    Parameters
    ----------
    W : array
        ``(H, H)``.
    activation : str
        f, of which γ = max |f′|.
    slope : float or None
        Root mean square of f′ as measured over units and time, to judge whether this applies.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks,
    ICML 2013, section 2.1.
    """
    gamma = STEEPEST[activation]
    radius = float(np.abs(np.linalg.eigvals(W)).max())
    applies = activation == "identity" or (slope is not None and slope >= _LINEAR * gamma)
    note = "units stay where f is steepest"
    if not applies:
        measured = "no measured slope" if slope is None else f"their mean slope is {slope:.3g}"
        note = f"units are not known to stay where f is steepest ({gamma:g}): {measured}"
    return Prediction("γρ(W)", _log10(gamma * radius), "estimate", applies, note, _SOURCE)


def rnn_chi(
    gain: float,
    *,
    drive_variance: float = 0.0,
    activation: Activation = "tanh",
    units: int | None = None,
) -> Prediction:
    """Mean-field rate ½ log10 χ of s_t = f(W s_{t−1} + U x_t + b) with W ~ N(0, g²/N).

    ::

        q = g² ∫Dz f(√q z)² + v         the pre-activation's variance, its fixed point
        χ = g² ∫Dz f′(√q z)²            mean squared growth of a gradient in a step

    Single-time averages suffice although the weights are tied: nothing is carried past W.
    Orthogonal W times g has the same rate.

    Parameters
    ----------
    gain : float
        g.
    drive_variance : float
        v, the variance of U x_t + b over units and time.
    activation : str
        f.
    units : int or None
        N, to judge whether the limit may be applied; None means it may.
    """
    q = _settled_variance(gain, drive_variance, activation)
    slope = ACTIVATIONS[activation].slope
    chi = gain**2 * _mean(slope(_outputs(activation, min(q, _LARGEST))) ** 2)
    rate = 0.5 * math.log10(chi) if chi > 0 else -math.inf
    why_not = _why_not(units, chi)
    if math.isinf(q):
        why_not.append("the state does not settle: its variance grows without bound")
    return _predicted(rate, why_not, f"χ = {chi:.4g}, q = {q:.4g}")


def rnn_driven(gain: float, drive: Array, activation: Activation = "tanh") -> Prediction:
    """Mean-field rate under a given drive: χ_t step by step, its logarithm averaged over time.

    ::

        q_t = g² E_i ∫Dz f(u_{i,t−1} + √q_{t−1} z)²      variance of W s_{t−1}
        χ_t = g² E_i ∫Dz f′(u_{i,t} + √q_t z)²           u_{i,t} of unit i as it is
        rate = mean over t of ½ log10 χ_t

    Where the drive is Gaussian over units and its variance constant, this is `rnn_chi`.

    Parameters
    ----------
    gain : float
        g.
    drive : array
        U x_t + b, ``(steps, units)``; the first tenth of the steps is left out of the mean.
    activation : str
        f.
    """
    f, slope = ACTIVATIONS[activation].f, ACTIVATIONS[activation].slope

    def seen(q: float, u: Array) -> Array:
        return f(u[:, None] + math.sqrt(q) * _COARSE)

    def later(q: float, u: Array) -> float:
        return min(gain**2 * float(np.mean(seen(q, u) ** 2 @ _WEIGHTS)), _LARGEST)

    with np.errstate(divide="ignore", over="ignore"):
        *before, q = accumulate(drive, later, initial=0.0)
        chi = [
            gain**2 * np.mean(slope(seen(*at)) ** 2 @ _WEIGHTS)
            for at in zip(before, drive, strict=True)
        ]
        logs = 0.5 * np.log10(chi)
    rate = float(np.mean(logs[len(logs) // 10 :]))
    why_not = _why_not(drive.shape[1], 10 ** (2 * rate))
    if q >= _LARGEST:
        why_not.append("the state does not settle: its variance grows without bound")
    return _predicted(rate, why_not, f"χ = {10 ** (2 * rate):.4g} on average")


def _why_not(units: int | None, chi: float) -> list[str]:
    reasons = why_not_wide(units)
    if units is not None and chi > 1 and units < _CHAOS and not reasons:
        reasons = [f"chaotic, and {units} units are few: nets may cycle instead (N ≥ {_CHAOS})"]
    return reasons


def _predicted(rate: float, why_not: list[str], figures: str) -> Prediction:
    chaos = "; chaotic: holds for the mean slope, single values do not repeat" if rate > 0 else ""
    return Prediction(
        name="mean field",
        rate=rate,
        kind="estimate",
        applies=not why_not,
        note="; ".join(why_not) or f"random weights, N → ∞: {figures}{chaos}",
        source="Sompolinsky, Crisanti & Sommers 1988; Poole et al. 2016; Schoenholz et al. 2017",
    )


def _outputs(activation: Activation, q: float) -> Array:
    with np.errstate(over="ignore"):
        return ACTIVATIONS[activation].f(math.sqrt(q) * _Z)


def _mean(values: Array) -> float:
    return float(np.sum(values * _DZ))


def _settled_variance(gain: float, v: float, activation: Activation) -> float:
    """The largest fixed point of q ↦ g² E f(√q z)² + v, by bisection; ∞ if there is none."""

    def excess(q: float) -> float:
        return gain**2 * _mean(_outputs(activation, q) ** 2) + v - q

    above = 1.0
    while excess(above) >= 0 and above < _LARGEST:
        above *= 2
    if above >= _LARGEST:
        return math.inf
    below = 0.0
    for _ in range(200):
        middle = (below + above) / 2
        below, above = (middle, above) if excess(middle) > 0 else (below, middle)
    return above


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf
