"""What theory predicts for the rate of a gradient, to be laid over what is measured.

Each prediction says whether its assumptions hold (see `gradflow.core.quantity.Prediction`), and if
not, why not.
"""

from __future__ import annotations

import numpy as np

from gradflow.core.cells import GRU, LSTM, RNN
from gradflow.core.engine.forward import forward
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.quantity import Prediction
from gradflow.core.theory.carrousel import carrousel_rate, chrono_decay, chrono_rate
from gradflow.core.theory.gated import UNITS, WINDOW, at_rest, population_rate
from gradflow.core.theory.population import covers, gains
from gradflow.core.theory.vanilla import norm_bound, radius_rate, rnn_chi, rnn_driven
from gradflow.core.typing import Array, Params

__all__ = [
    "at_rest",
    "carrousel_rate",
    "chrono_decay",
    "chrono_rate",
    "norm_bound",
    "population_rate",
    "predict",
    "radius_rate",
    "rnn_chi",
    "rnn_driven",
]


def predict(
    net: Network, weights: Weights, x: Array, initial: States | None = None
) -> list[Prediction]:
    """Every prediction of the rate that there is for a network of one layer.

    ================  ===========================================================
    vanilla RNN       γ‖W‖₂, γρ(W), mean field under the given drive
    LSTM, GRU         Π mean gate, at rest, mean field of a population
    others            Π mean of what their carrousel keeps, if they have one
    ================  ===========================================================

    Parameters
    ----------
    net : Network
        One layer, one direction.
    weights : Weights
        Of one net, arrays ``(1, rows, cols)``.
    x : array
        One sequence ``(steps, 1, inputs, 1)``; its first 256 steps are used.
    initial : States, optional
        As in `backpropagate`.

    Raises
    ------
    ValueError
        If there are more layers or directions.
    NumericalError
        If the state overflows.
    """
    if len(net.layers) > 1 or net.bidirectional:
        raise ValueError("predictions are known for one layer in one direction only")
    cell, p, x = net.layers[0].cell, weights[0][0], x[:WINDOW]
    tapes, _ = forward(net, weights, x, net.initial(1, 1, x.dtype, initial), [(0, len(x))])
    local = tapes[0][0][0].local
    if isinstance(cell, RNN):
        return _vanilla(cell, p, x, np.stack([slope for (slope,) in local]))
    found = []
    ways = [carrousel for each in local if (carrousel := cell.carrousel(each)) is not None]
    kept = np.array([way.keep[0, :, 0] for way in ways])
    if kept.size and kept.min() >= 0 and kept.max() <= 1:
        found.append(carrousel_rate(kept))
    if isinstance(cell, LSTM | GRU):
        found.append(at_rest(cell, p, x))
        if covers(cell) and len(x) >= 8:
            found.append(population_rate(cell, p, x))
    return found


def bytes_needed(net: Network, length: int) -> int:
    """Bytes that `predict` takes at its peak: a population's drive, fields and tape."""
    cell = net.layers[0].cell
    each = 8 * len(cell.gates) + 6 if isinstance(cell, LSTM | GRU) else 0
    return 8 * min(length, WINDOW) * UNITS * each


def _vanilla(cell: RNN, p: Params, x: Array, slopes: Array) -> list[Prediction]:
    W, f = p["W"][0], cell.activation
    slope = float(np.sqrt(np.mean(slopes[len(slopes) // 10 :] ** 2)))
    sigma = float(gains(W, 1)[0])
    return [
        norm_bound(W, f),
        radius_rate(W, f, slope),
        rnn_driven(sigma, cell.drive(p, x)[:, 0, :, 0], f),
    ]
