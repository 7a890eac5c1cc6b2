"""What every loss step contributes to the gradient of the readout weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradflow.core.engine.entering import Entering
from gradflow.core.engine.forward import forward
from gradflow.core.engine.observe import Reading
from gradflow.core.engine.schedule import Schedule
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.contributions import RankOnes
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["readout"]


def readout(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    length: int,
    schedule: Schedule,
    *,
    initial: States | None = None,
    own_lengths: Array | None = None,
) -> list[Result]:
    """Measure the output weight conflict: how far the loss steps disagree about the readout V.

    ::

        ∂L/∂V = Σ_t G_t,   G_t = (∂ℓ_t/∂(V y_t)) y_tᵀ      over the loss steps t
        conflict = ‖Σ_t G_t‖_F / Σ_t ‖G_t‖_F

    V leads from the units outward. It should let a unit's content out where it is asked for, and
    keep it from doing harm at all other steps: with one weight for both the steps cancel. The
    gradient needs no way back through time, so this is one forward pass.

    Parameters
    ----------
    net, weights, x, loss, length, schedule, initial, own_lengths
        As in `backpropagate`; the loss has a readout.

    Returns
    -------
    list of Result
        For each net ``contribution_V``, log10 of ‖G_t‖_F at the loss steps, over (sequence, step),
        and ``conflict_V`` over sequences; NaN where there is no loss, or every summand is zero.

    Raises
    ------
    ValueError
        If the loss has no readout.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
    section 3.2, "output weight conflict".
    """
    if loss.readout is None:
        raise ValueError(f"the loss {loss.kind} has no readout whose weights could be in conflict")
    nets = weights[0][0]["U"].shape[0]
    states = net.initial(nets, x.shape[-1], x.dtype, initial)
    total, logs, steps = None, list[Array](), list[Array]()
    for reading in _readings(net, weights, x, loss, length, schedule, states, own_lengths):
        slope = np.where(reading.counts, reading.slope, 0)
        left, right = (Scaled.of(a).unit() for a in (slope, reading.y))
        new = RankOnes.sum(left, right)
        total = new if total is None else total + new
        sizes = (left.norm() * right.norm()).log10
        logs.append(np.where(reading.counts[..., 0, :], sizes, np.nan))
        steps.append(reading.steps.reshape(len(sizes), -1).max(axis=-1))
    if total is None:
        raise ValueError(f"none of the loss steps lies within the length {length}")
    return _results(np.concatenate(logs), np.concatenate(steps), total.conflict())


def _readings(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    length: int,
    schedule: Schedule,
    states: States,
    own_lengths: Array | None,
) -> Iterator[Reading]:
    """What the loss reads of each span that it looks at."""
    entering = Entering(net, loss, [length], [loss.steps(length)], own_lengths=own_lengths)
    ends = [] if own_lengths is None else own_lengths.tolist()
    spans = [(0, length)] if net.bidirectional else schedule.cuts(length, ends)
    for lo, hi in spans:
        cuts = schedule.cuts(hi - lo, [end - lo for end in ends if lo < end < hi])
        tapes, states = forward(
            net, weights, x[lo:hi], states, cuts, first=lo, keep=Keep.STATES,
            own_lengths=own_lengths,
        )  # fmt: skip
        reading = entering.reading((lo, hi), tapes[-1], states)
        if reading is not None:
            yield reading


def _results(values: Array, step: Array, conflict: Array) -> list[Result]:
    """A result for each net."""
    return [
        {
            "contribution_V": Quantity(
                "contribution_V", ("sequence", "step"), values[:, net_index].T, {"step": step}
            ),
            "conflict_V": Quantity("conflict_V", ("sequence",), conflict[net_index], {}, "1"),
        }
        for net_index in range(len(conflict))
    ]
