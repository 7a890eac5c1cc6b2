"""Mean field of the vanilla RNN, in closed form for N → ∞.

References
----------
H. Sompolinsky, A. Crisanti and H. J. Sommers, Chaos in random neural networks, Physical Review
Letters 61 (1988). B. Poole et al., Exponential expressivity in deep neural networks through
transient chaos, NeurIPS 2016. S. Schoenholz et al., Deep information propagation, ICLR 2017.
"""

from __future__ import annotations

import math

import numpy as np

from gradflow.core.cells.rnn import ACTIVATIONS, Activation
from gradflow.core.theory.prediction import Prediction
from gradflow.core.theory.weights import why_not_wide
from gradflow.core.typing import Array

__all__ = ["rnn_chi"]

_Z = np.arange(-1000, 1000) * 0.01 + 0.005
_DZ = np.exp(-(_Z**2) / 2) * 0.01 / math.sqrt(2 * math.pi)
"""∫Dz by the midpoint rule: exact to rounding for smooth functions, and no node at relu's kink."""

_LARGEST = 1e12
"""Variance beyond which the state counts as growing without bound."""

_CHAOS = 500


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
    _, slope = ACTIVATIONS[activation]
    chi = gain**2 * _mean(slope(_outputs(activation, min(q, _LARGEST))) ** 2)
    rate = 0.5 * math.log10(chi) if chi > 0 else -math.inf
    why_not = why_not_wide(units)
    if math.isinf(q):
        why_not.append("the state does not settle: its variance grows without bound")
    if units is not None and chi > 1 and units < _CHAOS and not why_not:
        why_not.append(f"chaotic, and {units} units are few: nets may cycle instead (N ≥ {_CHAOS})")
    chaos = "; chaotic: holds for the mean slope, single values do not repeat" if chi > 1 else ""
    return Prediction(
        name="mean field",
        rate=rate,
        kind="estimate",
        applies=not why_not,
        note="; ".join(why_not) or f"random weights, N → ∞: χ = {chi:.4g}, q = {q:.4g}{chaos}",
        source="Sompolinsky, Crisanti & Sommers 1988; Poole et al. 2016; Schoenholz et al. 2017",
    )


def _outputs(activation: Activation, q: float) -> Array:
    f, _ = ACTIVATIONS[activation]
    with np.errstate(over="ignore"):
        return f(math.sqrt(q) * _Z)


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
