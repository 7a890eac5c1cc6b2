"""What every loss step contributes to the gradient of the readout weights."""

from __future__ import annotations

import numpy as np

from gradflow.core.engine.entering import Entering
from gradflow.core.engine.forward import forward
from gradflow.core.engine.schedule import Schedule
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, Weights
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record.contributions import RankOnes
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["readout"]


def readout(
    net: Network, weights: Weights, x: Array, loss: Loss, length: int, schedule: Schedule
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
    net, weights, x, loss, length
        As in `backpropagate`; the loss has a readout.
    schedule : Schedule
        How time is cut.

    Returns
    -------
    list of Result
        For each net ``contribution_V``, log10 of ‖G_t‖_F, over (sequence, step), the loss steps
        alone, and ``conflict_V`` over sequences, NaN where every summand is zero.

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
    nets, steps = weights[0][0]["U"].shape[0], loss.steps(length)
    states = net.initial(nets, x.shape[-1], x.dtype)
    entering = Entering(net, loss, [length], [steps])
    spans = [(0, length)] if net.bidirectional else schedule.cuts(length)
    total: RankOnes | None = None
    logs: list[Array] = []
    for lo, hi in spans:
        tapes, states = forward(
            net, weights, x[lo:hi], states, schedule.cuts(hi - lo), first=lo, keep=Keep.STATES
        )
        reading = entering.reading((lo, hi), tapes[-1], states)
        if reading is not None:
            left, right = (Scaled.of(a).unit() for a in (reading.slope, reading.y))
            new = RankOnes.sum(left, right)
            total = new if total is None else total + new
            logs.append((left.norm() * right.norm()).log10)
    if total is None:
        raise ValueError(f"none of the loss steps lies within the length {length}")
    values = np.concatenate(logs)
    conflict = total.conflict()
    return [
        {
            "contribution_V": Quantity(
                "contribution_V", ("sequence", "step"), values[:, net_index].T, {"step": steps}
            ),
            "conflict_V": Quantity("conflict_V", ("sequence",), conflict[net_index], {}, "1"),
        }
        for net_index in range(nets)
    ]
