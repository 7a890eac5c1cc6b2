"""Gated cells at rest: a zero state and constant gates."""

from __future__ import annotations

import math

import numpy as np

from gradflow.core.cells import GRU, LSTM, Cell, blocks, sigmoid
from gradflow.core.quantity import Prediction
from gradflow.core.theory.weights import gains, why_not_random
from gradflow.core.typing import Array, Params

__all__ = ["at_rest"]


def at_rest(cell: Cell, p: Params, x: Array | None = None) -> Prediction:
    """Rate where the state stays zero and gates are constant, W_g random.

    ::

        LSTM   c_{t+1} = (f + i o W_g) c_t              rate log10(f + i o σ_g)
        GRU    h_{t+1} = (1 − z + z r W_g) h_t          rate log10(1 − z + z r σ_g)

    with f = σ(b_f), …, and σ_g² / N the variance of W_g's elements: the spectral radius, since the
    eigenvalues of W_g fill a disk of radius σ_g. It holds for silent input, equal biases over the
    units of a gate and none of the candidate, while the rate is negative; else the state leaves
    zero.

    Parameters
    ----------
    cell : Cell
        An LSTM or a GRU.
    p : Params
        The parameters of one net, ``(1, rows, cols)``.
    x : array or None
        The inputs, to judge whether this applies; None means silence.

    Raises
    ------
    ValueError
        If the cell is neither.

    References
    ----------
    T. Can, K. Krishnamurthy and D. Schwab, Gating creates slow modes and controls phase-space
    complexity in GRUs and LSTMs, MSML 2020. V. Girko, Circular law, Theory of Probability and its
    Applications 29 (1985).
    """
    if not isinstance(cell, LSTM | GRU):
        raise ValueError(  # noqa: TRY004  # the wrong cell, not the wrong type of argument
            f"{cell.label} has no gates that are constant at rest"
        )
    count = len(cell.gates)
    drive = p["b"][0] if "b" in p else np.zeros((count * cell.hidden, 1))
    bias = dict(zip(cell.gates, blocks(drive, count), strict=True))
    inner = p["b_rec"] if "b_rec" in p else np.zeros(1)
    gate = {name: float(sigmoid(value).mean()) for name, value in bias.items()}
    sigma = float(gains(p["W"][0], count)[-1])
    if isinstance(cell, GRU):
        keep, write = 1 - gate["z"], gate["z"] * gate["r"]
    else:
        keep = gate["f"] if cell.forget_gate else 1.0
        write = gate["o"] * (1 - gate["f"] if cell.coupled else gate["i"])
    rate = math.log10(keep + write * sigma)
    why_not = why_not_random(p["W"][0], count)
    if x is not None and x.any():
        why_not.append("the input is not silent")
    if any(np.ptp(value) > 0 for value in bias.values()):
        why_not.append("biases differ from unit to unit")
    if bias["g"].any() or inner.any():
        why_not.append("the candidate has a bias, so the state is not zero")
    if rate >= 0:
        why_not.append("the rest is not stable, so the state does not stay there")
    return Prediction(
        name="at rest",
        rate=rate,
        kind="estimate",
        applies=not why_not,
        note="; ".join(why_not) or "silent input, random W, N → ∞",
        source="Can, Krishnamurthy & Schwab 2020",
    )
