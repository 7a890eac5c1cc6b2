"""What is recorded while the adjoints go by, and beside a sum of losses its last one by itself.

Where L = Σ_t ℓ_t stands at several steps, the norm at step k is dominated by the losses near k.
Beside each state of the sum, ``s``, the norm of ∂ℓ_t/∂s_k is recorded for the last t alone,
``s.last``: rates, horizons and verdicts are read from it. The last loss of a backward direction is
the one that it reads last, at the smallest t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gradflow.core.cells.base import carrousel_of, gates_of
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import Contributions, FlowMap, Gates, Kept, Norms, Paths, recorded_steps
from gradflow.core.typing import Array
from gradflow.experiment.recordings.recording import Recorder, Recording, Scope, Setting

__all__ = [
    "ContributionsRecording", "FlowMapRecording", "GatesRecording", "KeptRecording",
    "PathsRecording", "last_alone", "last_forward_in_time", "passes",
]  # fmt: skip


@dataclass(frozen=True)
class PathsRecording(Recording):
    """See `Paths`."""

    name = "paths"
    summary = "the carrousel's part of the flow, and the gates'"
    figure = "paths"
    needs = Paths.needs

    def check(self, net: Network) -> None:
        """Only a carrousel has two ways back."""
        net.where(carrousel_of)

    def numbers(self, scope: Scope) -> int:
        """Two norms, their share and their cosine."""
        return 4 * scope.series

    def observer(self, scope: Scope) -> Recorder:
        """Split the adjoints that go by."""
        return Paths(scope)


@dataclass(frozen=True)
class ContributionsRecording(Recording):
    """See `Contributions`, and `readout` for the losses that have one."""

    name = "contributions"
    summary = "each step's part of the weights' gradients"
    figure = "contributions"
    needs = Contributions.needs

    def numbers(self, scope: Scope) -> int:
        """A norm for each gate of U and of W, and for V."""
        return (2 * scope.net.most_gates + scope.reads) * scope.series

    def beside(self, scope: Scope, schedule: Schedule) -> int:
        """The sums of each gate's U and W, kept for every length.

        A gate's sum is made of all steps of a block at once, from two factors that are brought to
        one level and stand there beside what they were.
        """
        net, block = scope.net, min(schedule.block, max(scope.lengths))
        size, nets = scope.dtype.itemsize, scope.nets * scope.columns * len(scope.lengths)
        matrices = sum(
            part.rows * part.cols
            for layer, _ in net.places()
            for name, part in net.parameters(layer).items()
            if name in ("U", "W")
        )
        widest = max(
            net.features(index) + 2 * layer.cell.hidden for index, layer in enumerate(net.layers)
        )
        return nets * size * (matrices + 4 * block * widest)

    def observer(self, scope: Scope) -> Recorder:
        """Sum the steps' gradients of U and W."""
        return Contributions(scope)

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Sum the loss steps' gradients of V."""
        if not scope.reads:
            return ()
        from gradflow.core.analyses.readout_conflict import readout

        (length,) = scope.lengths
        return readout(
            setting.net, setting.weights, setting.x, setting.loss, length, schedule,
            initial=setting.initial, own_lengths=setting.own_lengths,
        )  # fmt: skip


@dataclass(frozen=True)
class GatesRecording(Recording):
    """See `Gates`."""

    name = "gates"
    summary = "how far the gates are open"
    figure = "gates"
    needs = Gates.needs

    def check(self, net: Network) -> None:
        """The cell has gates."""
        net.where(gates_of)

    def numbers(self, scope: Scope) -> int:
        """Mean, spread and saturated share of each gate."""
        return 3 * scope.net.most_gates * scope.series

    def observer(self, scope: Scope) -> Recorder:
        """Read the gates from the tapes that go by."""
        return Gates(scope)


@dataclass(frozen=True)
class KeptRecording(Recording):
    """See `Kept`: what explanations lean on, measured beside some recordings unasked."""

    name = "kept"
    summary = "what the carrousel alone keeps"
    needs = Kept.needs

    def check(self, net: Network) -> None:
        """Only a carrousel keeps anything unit by unit."""
        net.where(carrousel_of)

    def numbers(self, scope: Scope) -> int:
        """A sum for each unit, and what is made of them."""
        units = sum(scope.net.layers[layer].cell.sizes[-1] + 4 for layer, _ in scope.net.places())
        return units * scope.nets * scope.columns * len(scope.lengths)

    def observer(self, scope: Scope) -> Recorder:
        """Read the carrousel from the tapes that go by."""
        return Kept(scope)


@dataclass(frozen=True)
class FlowMapRecording(Recording):
    """See `FlowMap`: as many adjoints side by side as there are loss steps."""

    name = "flow_map"
    summary = "every step's loss by every step's state"
    figure = "flow"

    def numbers(self, scope: Scope) -> int:
        """A norm for each loss step, step and state; those of later steps are not filled in."""
        squares = sum(one.recorded * one.series for one in scope.each())
        return squares * len(scope.states) * (4 if scope.net.bidirectional else 3) // 4

    def alone(self, scope: Scope, schedule: Schedule) -> int:
        """The pass of all loss steps at once."""
        from gradflow.core.engine.schedule import Work

        (length,) = scope.lengths
        net = scope.net
        losses = recorded_steps(length, scope.every)
        each = tuple(losses[1:].tolist())
        if net.bidirectional or scope.own_lengths is not None:
            each = (length,) * len(each)
        else:  # time is cut at every loss step
            schedule = replace(schedule, block=min(schedule.block, int(np.diff(losses).max())))
        work = Work(net, scope.nets, scope.columns, each, 0, scope.dtype)
        needed = work.footprint(schedule)
        return needed.tapes + needed.block

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Take the losses of all steps back side by side."""
        (length,) = scope.lengths
        flow = FlowMap(scope, scope.states)
        setting = replace(setting, x=setting.x[:length])
        setting.backpropagate(flow.lengths, [flow], schedule, flow.at)
        return [flow.quantities(index, length) for index in range(scope.nets)]


class _Recorded(Protocol):
    def quantities(self, net: int, length: int) -> Result: ...


def passes(
    loss: Loss, net: Network, lengths: Sequence[int], own_lengths: Array | None = None
) -> list[list[int | Array]]:
    """The last loss step of each length, for each direction; empty where all have but one loss.

    Sequences whose losses end at steps of their own have each its own.
    """
    spans = _spans(loss, lengths, own_lengths).values()
    if all((first == last).all() for first, last in spans):
        return []
    ends: list[list[int | Array]] = [[last for _, last in spans], [first for first, _ in spans]]
    return ends[: len(net.directions)]


def _spans(
    loss: Loss, lengths: Sequence[int], own_lengths: Array | None = None
) -> dict[int, Array]:
    """The first and the last step at which a loss counts, by length, ``(2, columns or 1)``."""
    columns = 1 if loss.targets is None else loss.targets.shape[-1]
    each = {n: np.full(columns, n) if own_lengths is None else own_lengths for n in lengths}
    return {n: loss.ends(own) for n, own in each.items()}


def last_alone(
    scope: Scope, setting: Setting, schedule: Schedule, nets: int
) -> dict[int, list[Result]]:
    """Take the adjoint of the last loss back: by length, a result for each net."""
    each: list[_Recorded] = []
    losses = _spans(setting.loss, scope.lengths, scope.own_lengths)
    scope = replace(scope, losses=losses)
    for at in passes(setting.loss, setting.net, scope.lengths, scope.own_lengths):
        norms = Norms(scope, scope.states)
        setting.backpropagate(scope.lengths, [norms], schedule, at)
        each.append(norms)
    return _by_length(each, scope.lengths, nets)


def last_forward_in_time(setting: Setting, scope: Scope, nets: int) -> dict[int, list[Result]]:
    """The same by real-time recurrent learning, in one direction."""
    from gradflow.core.analyses.rtrl import rtrl

    found: dict[int, list[Result]] = {}
    for length in scope.lengths:
        for (at,) in passes(setting.loss, setting.net, [length]):
            alone = setting.loss.only(np.asarray(at))
            each = rtrl(
                setting.net, setting.weights, setting.x, alone, length, states=scope.states,
                every=scope.every, parameters=False, initial=setting.initial,
            )  # fmt: skip
            found |= _by_length([each], [length], nets)
    return found


def _by_length(
    each: Sequence[_Recorded], lengths: Sequence[int], nets: int
) -> dict[int, list[Result]]:
    if not each:
        return {}
    return {
        length: [_named([one.quantities(net, length) for one in each]) for net in range(nets)]
        for length in lengths
    }


def _named(each: Sequence[Result]) -> Result:
    """Take each direction from the pass of its own last loss."""
    made: Result = {}
    for name, first in each[0].items():
        ways = np.asarray(first.coords["direction"]).size
        values = np.stack([each[way][name].values[:, way] for way in range(ways)], axis=1)
        made[f"{name}.last"] = Quantity(f"{name}.last", first.dims, values, first.coords)
    return made
