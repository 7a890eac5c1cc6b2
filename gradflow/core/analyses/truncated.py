"""Truncated backpropagation through time, and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradflow.core.engine.bptt import Unrolling, backpropagate
from gradflow.core.engine.observe import Observer
from gradflow.core.engine.schedule import OBJECT, Schedule, Work
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import Adjoints, Gradients
from gradflow.core.record.series import Every, Series, Timeline
from gradflow.core.scaled import Scaled, concatenated, cosine
from gradflow.core.typing import Array, DType

__all__ = ["bias", "bytes_needed", "truncated", "windows"]

_SUMMAND = 300
"""Bytes of the objects of a gate's summand of a parameter's gradient."""

_SUM = 600
"""Bytes of a sum of adjoints, its arrays left aside."""


def windows(length: int, k1: int, k2: int) -> list[tuple[int, int, int]]:
    """(start, first, end): losses after step `first` go back from `end` to the state at `start`.

    ::

        end = k1, 2 k1, …, T     first = end − k1     start = max(0, end − k2)

    so every loss step belongs to one window, and its error goes back by k2 − k1 + 1 to k2 steps,
    the last of which is the state at `start`. Where k1 does not divide T the last window has the
    losses that are left, first = k1 ⌊T/k1⌋.

    Raises
    ------
    ValueError
        Unless 1 ≤ k1 ≤ k2: with k2 < k1 the errors of some losses would go nowhere.
    """
    if not 1 <= k1 <= k2:
        raise ValueError(
            f"truncated BPTT needs 1 ≤ k1 ≤ k2, not k1 = {k1} and k2 = {k2}: k1 is the number of "
            "steps between two passes back, k2 how far each of them goes"
        )
    ends = [*range(k1, length, k1), length]
    starts = [0, *ends[:-1]]
    return [(max(0, end - k2), first, end) for first, end in zip(starts, ends, strict=True)]


def truncated(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    length: int,
    k1: int,
    k2: int,
    observers: Sequence[Observer],
    schedule: Schedule,
    *,
    begin: Callable[[int], None] | None = None,
    initial: States | None = None,
) -> None:
    """Every k1 steps, go back k2 steps; states are carried on, weights stay as they are.

    ::

        ∂L/∂θ ≈ Σ_windows Σ_{start < k ≤ end} (∂L_window/∂a_k) (∂a_k/∂θ)

    with L_window the losses of the last k1 steps. The observers see each window as a pass of its
    own, steps in the time of the whole sequence; what they show is to be summed over windows
    (`Gradients` and `Adjoints` do).

    Parameters
    ----------
    net, weights, x, loss, length, observers, schedule, initial
        As in `backpropagate`, for each window; the net is unidirectional.
    k1, k2 : int
        Steps between passes, and steps that each goes back; BPTT(k2; k1) in the notation of
        Williams and Peng.
    begin : callable, optional
        Is told of each window's start before it runs; starts ascend.

    Raises
    ------
    ValueError
        If the net is bidirectional, or k1 and k2 make no sense.

    References
    ----------
    R. J. Williams and J. Peng, An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories, Neural Computation 2 (1990). I. Sutskever, Training recurrent
    neural networks, PhD thesis, University of Toronto (2013), section 2.8.6.
    """
    _check_forward(net)
    nets = weights[0][0]["U"].shape[0]
    states, now = net.initial(nets, x.shape[-1], x.dtype, initial), 0
    at = loss.steps(length)
    for start, first, end in windows(length, k1, k2):
        targets = at[(at > first) & (at <= end)]
        if not len(targets):
            continue
        run = Unrolling(net, weights, x, loss, [end], [targets], observers, schedule)
        for lo, hi in schedule.cuts(start - now):
            _, states = run.forward((now + lo, now + hi), states, Keep.NOTHING)
        now = start
        if begin:
            begin(start)
        run.between(start, end, states)


def _check_forward(net: Network) -> None:
    if net.bidirectional:
        raise ValueError(
            "truncated BPTT follows a stream forward; a backward direction has no past to cut off, "
            "so it is not defined for a bidirectional net"
        )


def bias(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    length: int,
    k1: int,
    k2: Sequence[int],
    schedule: Schedule,
    *,
    every: Every = 1,
    initial: States | None = None,
) -> list[Result]:
    """Compare truncated gradients with the exact one, of the parameters and of the states.

    ::

        truncation_error   ‖ĝ − g‖ / ‖g‖            g: all parameters' gradients, one vector
        truncation_cosine  ĝ·g / ‖ĝ‖‖g‖
        truncated_h, …     log10 ‖Σ_windows ∂L_window/∂s_k‖, beside the exact ``h``, …

    The error is a difference of two gradients, and so is 0 where it is below rounding.

    Parameters
    ----------
    net, weights, x, loss, length, k1, schedule, initial
        As in `truncated`.
    k2 : sequence of int
        Each is tried.
    every : int or "log"
        At which steps the states' norms are recorded.

    Returns
    -------
    list of Result
        For each net the above, the first two over ``k2``, the others over ``k2`` and the axes of a
        series; NaN where a gradient is exactly zero.
    """
    for each in k2:
        windows(length, k1, each)
    nets = weights[0][0]["U"].shape[0]
    timeline = Timeline(net, loss, [length], nets, x.shape[-1], every)
    exact, names = Gradients(net), ["s", *net.parts]
    backpropagate(net, weights, x, loss, [length], [exact], schedule, initial=initial)
    wanted = _vector(exact)
    errors, cosines = [], []
    series: list[dict[str, Series]] = []
    for each in k2:
        series.append({name: Series(timeline, name, layers=net.having(name)) for name in names})
        found, adjoints = Gradients(net), Adjoints(net, series[-1])
        seen: list[Observer] = [found, adjoints]
        truncated(
            net, weights, x, loss, length, k1, each, seen, schedule,
            begin=adjoints.begin, initial=initial,
        )  # fmt: skip
        adjoints.begin(length + 1)
        reached = _vector(found) if found.sums else Scaled.of(np.zeros_like(wanted.values))
        errors.append(((reached + -wanted).norm() / wanted.norm()).plain[:, 0])
        cosines.append(cosine(reached, wanted)[:, 0])
    return _compared(k2, errors, cosines, series, length)


def _compared(
    k2: Sequence[int],
    errors: list[Array],
    cosines: list[Array],
    series: list[dict[str, Series]],
    length: int,
) -> list[Result]:
    """What each k2 gave, for each net."""
    axis = {"k2": np.array(k2)}
    results: list[Result] = []
    for index in range(len(errors[0])):
        result: Result = {}
        for name, values in (("error", errors), ("cosine", cosines)):
            chosen = np.array([value[index] for value in values])
            result[f"truncation_{name}"] = Quantity(
                f"truncation_{name}", ("k2",), chosen, axis, "1"
            )
        for name in series[0]:
            each_k2 = [one[name].quantity(index, length) for one in series]
            result[f"truncated_{name}"] = Quantity(
                f"truncated_{name}",
                ("k2", *each_k2[0].dims),
                np.stack([quantity.values for quantity in each_k2]),
                axis | dict(each_k2[0].coords),
            )
        results.append(result)
    return results


def bytes_needed(
    net: Network,
    nets: int,
    columns: int,
    length: int,
    k2: Sequence[int],
    dtype: DType,
    schedule: Schedule,
) -> int:
    """Predict the bytes that `bias` takes at its peak, its results left aside.

    The exact pass needs tapes of all steps, a window's pass those of k2 steps and as many sums of
    adjoints; either adds up gradients of all parameters.
    """
    far, size = min(max(k2), length), dtype.itemsize

    def pass_(steps: int) -> int:
        keep = Keep.LOCAL | Gradients.needs
        needed = Work(net, nets, columns, (steps,), 0, dtype, keep).footprint(schedule)
        return needed.tapes + needed.block

    cells = [net.layers[layer].cell for layer, _ in net.places()]
    numbers = sum(2 * sum(cell.sizes) - cell.sizes[0] for cell in cells)
    objects = sum(_SUM + OBJECT * (2 * len(cell.parts) - 1) for cell in cells)
    adjoints = (far + 1) * (nets * columns * size * numbers + objects)
    summands = max(
        sum(len(parameter.blocks) for parameter in net.parameters(layer).values())
        for layer in range(len(net.layers))
    )
    gradients = 4 * nets * net.size * size + _SUMMAND * summands * min(schedule.block, length)
    return max(pass_(length), pass_(far) + adjoints) + gradients


def _vector(gradients: Gradients) -> Scaled:
    """All gradients of a net as one vector, ``(nets, parameters, 1)``."""
    sums = gradients.sums.values()
    return concatenated(
        [Scaled((s.values.reshape(len(s.values), -1, 1),), s.exponent) for s in sums]
    )
