"""What the size of W alone says of a vanilla RNN."""

from __future__ import annotations

import math

import numpy as np

from gradflow.core.cells.rnn import Activation
from gradflow.core.quantity import Prediction
from gradflow.core.typing import Array

__all__ = ["STEEPEST", "norm_bound", "radius_rate"]

STEEPEST: dict[Activation, float] = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "identity": 1.0}
"""γ = max |f′|."""

_SOURCE = "Pascanu, Mikolov & Bengio 2013"

_LINEAR = 0.95


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


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf
