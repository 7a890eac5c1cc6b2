"""What the open gates alone keep of a gradient."""

from __future__ import annotations

import math

import numpy as np

from gradflow.core.quantity import Prediction
from gradflow.core.scaled import log10_rms
from gradflow.core.typing import Array

__all__ = ["carrousel_rate", "chrono_decay", "chrono_rate"]


_APART = 1.0
"""Decades over all steps by which slow units may outlive the mean gate, and it still says much."""


def carrousel_rate(kept: Array) -> Prediction:
    """Rate of Π_t mean_j f_tj (LSTM) or Π_t mean_j (1 − z_tj) (GRU): the carrousel, unit by unit.

    ::

        rate = (1/T) Σ_t log10 mean_j f_tj

    What passes through gates and hidden state is left out: it adds or cancels. It does not apply
    where units differ so much that the slow ones outlive the mean, ½ log10 mean_j Π_t f_tj².

    Parameters
    ----------
    kept : array
        f_t, or 1 − z_t, at each step: ``(steps, units)``, or their means over units ``(steps,)``.

    Raises
    ------
    ValueError
        If one is not within 0..1.

    References
    ----------
    F. Gers, J. Schmidhuber and F. Cummins, Learning to forget, Neural Computation 12 (2000).
    """
    if kept.size == 0 or not ((kept >= 0) & (kept <= 1)).all():
        raise ValueError("gates lie in 0..1, at least one step of them")
    units = kept.reshape(len(kept), -1)
    with np.errstate(divide="ignore"):
        rate = float(np.mean(np.log10(units.mean(axis=1))))
        left = float(log10_rms(np.log10(units).sum(axis=0), 0))
    apart = 0.0 if math.isinf(rate) else left - rate * len(units)
    note = "the carrousel alone: paths through gates and hidden state are left out"
    if apart > _APART:
        note = f"gates differ from unit to unit: the slow ones leave {apart:.1f} decades more"
    return Prediction(
        name="Π mean gate",
        rate=rate,
        kind="estimate",
        applies=apart <= _APART,
        note=note,
        source="Gers, Schmidhuber & Cummins 2000",
    )


def chrono_rate(t_max: int) -> Prediction:
    """Rate log10(1 − 1/T_max) of the slowest unit: f = σ(ln τ) = τ/(1 + τ), τ ≤ T_max − 1.

    Such a unit forgets in T_max steps: (1 − 1/T)^T ≈ 1/e. Without recurrent weights it bounds the
    others; see `chrono_decay` for all of them together.

    Parameters
    ----------
    t_max : int
        T_max, at least 2.

    Raises
    ------
    ValueError
        If T_max is smaller.

    References
    ----------
    C. Tallec and Y. Ollivier, Can recurrent neural networks warp time?, ICLR 2018.
    """
    _check(t_max)
    return Prediction(
        name="chrono",
        rate=math.log10(1 - 1 / t_max),
        kind="estimate",
        applies=True,
        note=f"the slowest unit, of time scale {t_max}; gates at their biases",
        source="Tallec & Ollivier 2018",
    )


def chrono_decay(t_max: int, lags: Array) -> Array:
    """log10 √E[f^2k] after k steps, over τ ~ U(1, T_max − 1): the carrousels of all units together.

    Not an exponential: fast units go first, and the slope flattens towards `chrono_rate`.

    Parameters
    ----------
    t_max : int
        T_max, at least 2.
    lags : array
        Steps back k.

    Returns
    -------
    array
        log10 of the norm's ratio to that at lag 0, expected for gates at their biases.

    Raises
    ------
    ValueError
        If T_max is smaller than 2.
    """
    _check(t_max)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    tau = 1 + (nodes + 1) / 2 * (t_max - 2)
    logs = -np.asarray(lags, float)[..., None] * np.log1p(1 / tau) / math.log(10)
    return log10_rms(logs, -1, weights)


def _check(t_max: int) -> None:
    if t_max < 2:
        raise ValueError(f"chrono needs t_max of at least 2, not {t_max}")
