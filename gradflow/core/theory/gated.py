"""Mean field of gated networks: what random recurrent weights do to gradients as N → ∞.

The units of a wide network with independent Gaussian weights become independent of each other.
Each sees, in the place of W_k y, a Gaussian field whose covariance in time is that of what all of
them put out,

::

    a_{k,t} = σ_k η_{k,t} + u_{k,t}          E[η_{k,s} η_{k,t}] = E[y_s y_t]
    ∂L/∂h_t ∋ Σ_k σ_k ζ_{k,t+1}              E[ζ_{k,s} ζ_{k,t}] = E[da_{k,s} da_{k,t}]

with σ_k²/N the variance of W_k's elements, y = h (r ⊙ h for the candidate of a GRU that resets
before), u the drive U x + b, da_k the cotangent of the pre-activation, and E the mean over units.
The fields on the way back are independent of those on the way forward (gradient independence).
The weights are *tied*, the same W at every step, so the fields are correlated in time, and what a
forget gate carries along adds up in step: at rest the rate is f + i o σ (see `at_rest`) and not the
untied √(f² + (i o σ)²).

The self-consistent fields are sampled: a population of units is taken through time, and its fields
are drawn as it goes.

References
----------
M. Chen, J. Pennington and S. Schoenholz, Dynamical isometry and a mean field theory of RNNs: gating
enables signal propagation, ICML 2018. D. Gilboa et al., Dynamical isometry and a mean field theory
of LSTMs and GRUs, arXiv 2019 (untied weights). K. Krishnamurthy, T. Can and D. Schwab, Theory of
gating in recurrent neural networks, Physical Review X 12 (2022) (tied weights, continuous time).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gradflow.core.cells import GRU, LSTM, Cell, State, blocks
from gradflow.core.cells.activations import ACTIVATIONS
from gradflow.core.engine.scan import Keep, pull_joint, unroll
from gradflow.core.quantity import Prediction
from gradflow.core.random import stream
from gradflow.core.theory.population import gains, population, why_not_random
from gradflow.core.typing import Array, Params

__all__ = ["at_rest", "population_rate"]

WINDOW = 256
"""Steps of the inputs that predictions look at."""

UNITS, POPULATIONS = 1024, 4
"""Units of a population, and how many of them scatter."""


def at_rest(cell: Cell, p: Params, x: Array | None = None) -> Prediction:
    """Rate where the state stays zero and gates are constant, W_g random.

    ::

        LSTM   c_{t+1} = (f + i o W_g) c_t              rate log10(f + i o σ_g)
        GRU    h_{t+1} = (1 − z + z r W_g) h_t          rate log10(1 − z + z r σ_g)

    times the slopes at zero of what stands for tanh, with f = σ(b_f), …, and σ_g² / N the variance
    of W_g's elements: the spectral radius, since the eigenvalues of W_g fill a disk of radius σ_g.
    It holds for silent input, equal biases over the units of a gate and none of the candidate,
    while the rate is negative; else the state leaves zero.

    Parameters
    ----------
    cell, p
        An LSTM or a GRU, and the parameters of one net, ``(1, rows, cols)``.
    x
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
    count, bias, opened = len(cell.gates), _biases(cell, p), ACTIVATIONS[cell.gate_activation].f
    gate = {name: float(opened(value.copy()).mean()) for name, value in bias.items()}
    sigma = float(gains(p["W"][0], count)[-1])
    if isinstance(cell, GRU):
        keep, write = 1 - gate["z"], gate["z"] * gate["r"]
    else:
        keep = gate["f"] if cell.forget_gate else 1.0
        write = gate["o"] * (1 - gate["f"] if cell.coupled else gate["i"])
    squashers = [cell.activation, *([cell.output_activation] if isinstance(cell, LSTM) else [])]
    for name in squashers:
        write *= float(ACTIVATIONS[name].slope(ACTIVATIONS[name].f(np.zeros(1)))[0])
    rate = math.log10(keep + write * sigma)
    why_not = why_not_random(p["W"][0], count) + _why_not_zero(
        cell, bias, p.get("b_rec", np.zeros(1)), x, squashers
    )
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


def _biases(cell: Cell, p: Params) -> dict[str, Array]:
    count = len(cell.gates)
    drive = p["b"][0] if "b" in p else np.zeros((count * cell.hidden, 1))
    return dict(zip(cell.gates, blocks(drive, count), strict=True))


def _why_not_zero(
    cell: LSTM | GRU,
    bias: Mapping[str, Array],
    inner: Array,
    x: Array | None,
    squashers: Sequence[str],
) -> list[str]:
    """What keeps the state from staying at zero, or W from acting on it."""
    why_not: list[str] = []
    if x is not None and x.any():
        why_not.append("the input is not silent")
    if any(np.ptp(value) > 0 for value in bias.values()):
        why_not.append("biases differ from unit to unit")
    if bias["g"].any() or inner.any():
        why_not.append("the candidate has a bias, so the state is not zero")
    if any(ACTIVATIONS[name].f(np.zeros(1)).any() for name in squashers):
        why_not.append("a nonlinearity is not zero at zero, so the state is not")
    if "relu" in squashers:
        why_not.append("relu has no slope at zero")
    if isinstance(cell, LSTM) and cell.projection:
        why_not.append("a projection stands between the state and W")
    return why_not


def population_rate(cell: Cell, p: Params, x: Array, *, units: int = UNITS) -> Prediction:
    """Predict the rate of one layer from its gains σ_k, its drive and its inputs.

    Of W only σ_k = ‖W_k‖_F/√N is used, and of U, b and diagonal peepholes each unit's own.

    Parameters
    ----------
    cell : Cell
        A vanilla RNN, an LSTM without full peepholes, or a GRU.
    p : Params
        The parameters of one net, ``(1, rows, cols)``.
    x : array
        One sequence ``(steps, 1, inputs, 1)``; its first `WINDOW` steps are used, and a quarter at
        either end is left out of the rate.
    units : int
        Size of a population; the scatter of `POPULATIONS` of them gives the error.

    Raises
    ------
    ValueError
        If the cell has recurrent weights that the theory does not cover, or x is too short.
    """
    steps = min(WINDOW, len(x))
    settle = steps // 4
    if steps < 2 * settle + 2:
        raise ValueError(f"{steps} steps are too few: {settle} settle at either end")
    halves = np.array(
        [_slopes(cell, p, x[:steps], units, settle, draw) for draw in range(POPULATIONS)]
    )
    rate, error = _mean(halves.mean(axis=1))
    drift, uncertain = _mean(halves[:, 1] - halves[:, 0])
    why_not = why_not_random(p["W"][0], len(cell.gates))
    if abs(drift) > 3 * uncertain + 0.1 * abs(rate):
        why_not.append(f"the rate still changes over {steps} steps: the state has not settled")
    return Prediction(
        name="mean field",
        rate=rate,
        kind="estimate",
        applies=not why_not,
        note="; ".join(why_not) or "random weights, tied in time, N → ∞",
        source="Chen, Pennington & Schoenholz 2018; Krishnamurthy, Can & Schwab 2022",
        error=error,
    )


def _mean(values: Array) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _slopes(
    cell: Cell, p: Params, x: Array, units: int, settle: int, draw: int
) -> tuple[float, float]:
    """Decades per step back of one population, over the later and the earlier half of time."""
    rng = stream(draw, "population")
    made = population(cell, p, rng, units, len(x))
    which = np.arange(units) % cell.hidden
    drive = cell.drive(p, x).reshape(len(x), 1, len(cell.gates), cell.hidden)[..., which]
    zeros = np.zeros((1, 1, units))
    tape, _ = unroll(made, {}, drive, tuple(zeros for _ in cell.parts), Keep.LOCAL)
    logs = [0.0]

    def visit(adjoints: list[State]) -> list[State]:
        size = math.sqrt(sum(float(np.mean(part**2)) for part in adjoints[0]))
        logs.append(logs[-1] + math.log10(size))
        return [tuple(part / size for part in adjoints[0])]

    start = (rng.standard_normal(zeros.shape), *(zeros for _ in cell.parts[1:]))
    pull_joint([(made, {}, tape)], [start], visit)
    first, last = settle, len(logs) - 1 - settle
    middle = (first + last) // 2
    return (
        (logs[middle] - logs[first]) / (middle - first),
        (logs[last] - logs[middle]) / (last - middle),
    )
