"""The last loss of a sum by itself: how far error reaches, which the sum does not say.

Where L = Σ_t ℓ_t stands at several steps, the norm at step k is dominated by the losses near k.
Beside each state of the sum, ``s``, the norm of ∂ℓ_t/∂s_k is recorded for the last t alone,
``s.last``: rates, horizons and verdicts are read from it. The last loss of a backward direction is
the one that it reads last, at the smallest t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import Norms
from gradflow.core.typing import Array
from gradflow.experiment.recordings import Scope, Setting

__all__ = ["last_alone", "last_forward_in_time", "passes"]


class _Recorded(Protocol):
    def quantities(self, net: int, length: int) -> Result: ...


def passes(
    loss: Loss, net: Network, lengths: Sequence[int], own_lengths: Array | None = None
) -> list[list[int | Array]]:
    """The last loss step of each length, for each direction; empty where all have but one loss.

    Sequences with lengths of their own have each its own.
    """
    spans = [loss.span(length) for length in lengths]
    if own_lengths is not None:
        spans = [loss.span(int(n)) for n in own_lengths]
    if all(first == last for first, last in spans):
        return []
    each = [[last for _, last in spans], [first for first, _ in spans]]
    ends: list[list[int | Array]] = [[*e] if own_lengths is None else [np.array(e)] for e in each]
    return ends[: len(net.directions)]


def last_alone(
    scope: Scope, setting: Setting, schedule: Schedule, nets: int
) -> dict[int, list[Result]]:
    """Take the adjoint of the last loss back: by length, a result for each net."""
    each: list[_Recorded] = []
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
            alone = replace(setting.loss, at=(int(at),))
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
