"""A call of a recurrent net as arrays, and the same recurrence again through the engine.

What a framework's autograd hands over are the cotangents at the net's outputs and at the state that
it ends in. Everything inside follows from them: the net is run again, and they go back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule, Work
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Given
from gradflow.core.network.stack import Network, States, Weights, states_among
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import Norms, Timeline
from gradflow.core.typing import Array
from gradflow.errors import UserError

__all__ = ["NAMES", "Call", "results_of"]

NAMES = ("h", "c", "s", "x")

NARROW = 16
"""Sequences that a product takes as fast as fewer: for want of memory, so few go together first."""


@dataclass(frozen=True)
class Call:
    """What went into a net, and what came back to it.

    Parameters
    ----------
    net, weights : Network, Weights
        The one net.
    x : array
        Inputs ``(steps, 1, inputs, sequences)``.
    lengths : array of int
        Where each sequence ends.
    initial : States or None
        s_0 of every layer and direction; None is 0.
    dy : array or None
        ∂L/∂y at every step, ``(steps, 1, outputs, sequences)``; None is 0.
    beyond : States or None
        ∂L/∂ of the state that every layer and direction ends in; None is 0.
    """

    net: Network
    weights: Weights
    x: Array
    lengths: Array
    initial: States | None = None
    dy: Array | None = None
    beyond: States | None = None

    def among(self, columns: slice) -> Call:
        """Return the call as if it had these sequences alone."""
        return replace(
            self,
            x=self.x[..., columns],
            lengths=self.lengths[columns],
            initial=states_among(self.initial, columns),
            dy=None if self.dy is None else self.dy[..., columns],
            beyond=states_among(self.beyond, columns),
        )

    @cached_property
    def looks(self) -> Array:
        """At which steps the loss looks at which sequence, by direction, in original time.

        ``(directions, steps, sequences)``; where it looks at the state that a direction ends in, it
        looks at that direction's last step.
        """
        T, ways = len(self.x), len(self.net.directions)
        found = np.zeros((ways, T, len(self.lengths)), bool)
        if self.dy is not None:
            found[:] = self.dy.any(axis=(1, 2))
        ends = (self.lengths - 1, np.zeros_like(self.lengths))
        for layer in self.beyond or ():
            for way, state in enumerate(layer):
                looked_at = sum(part.any(axis=(0, 1)) for part in state) > 0
                found[way, ends[way], np.arange(len(self.lengths))] |= looked_at
        return found

    @property
    def reached(self) -> bool:
        """Whether any error comes back."""
        return bool(self.looks.any())

    @property
    def several(self) -> bool:
        """Whether the loss looks at more than one step of a sequence."""
        return bool((self.looks.sum(axis=1) > 1).any())

    @property
    def ends(self) -> Array:
        """Each direction's last loss step, in its own time, ``(directions, sequences)``.

        Where there is none, the end of the sequence.
        """
        last = len(self.x) - np.argmax(self.looks[0, ::-1], axis=0)
        first = np.argmax(self.looks[-1], axis=0) + 1
        found = np.stack([last, self.lengths + 1 - first])[: len(self.looks)]
        return np.where(self.looks.any(axis=1), found, self.lengths)

    def last_alone(self) -> Call:
        """Return the call with the last loss of each sequence alone, by which a sum is judged."""
        here = np.arange(1, len(self.x) + 1)[:, None] == self.ends[0]
        dy = None if self.dy is None else np.where(here[:, None, None], self.dy, 0)
        beyond = self.beyond and tuple(
            tuple(
                tuple(part if not way else np.zeros_like(part) for part in state)
                for way, state in enumerate(layer)
            )
            for layer in self.beyond
        )
        return replace(self, dy=dy, beyond=beyond)


def results_of(call: Call, memory: int) -> Result:
    """The norms, and where the loss is a sum over steps those of the last one beside them.

    Raises
    ------
    UserError
        If `memory`, in bytes, does not suffice for one sequence.
    """
    found = _norms(call, memory)
    if call.several:
        alone = _norms(call.last_alone(), memory)
        found |= {f"{name}.last": replace(q, name=f"{name}.last") for name, q in alone.items()}
    return found


def _norms(call: Call, memory: int) -> Result:
    """log10 of the norms of h, c, s and x at every step."""
    schedule, width = _schedule(call, memory)
    starts, columns = range(0, len(call.lengths), width), len(call.lengths)
    each = [call] if width == columns else [call.among(slice(k, k + width)) for k in starts]
    pieces = [_together(one, schedule) for one in each]
    alike = all(len(set(ends.tolist())) == 1 for ends in (call.lengths, *call.ends))
    found = {}
    for name, first in pieces[0].items():
        whole = np.concatenate([piece[name].values for piece in pieces], axis=2)
        ends = call.ends[: len(first.coords["direction"])]
        lags = ends[:, :, None] - first.coords["step"]
        own = {"lag": lags[:, 0]} if alike else {"lag": lags, "length": call.lengths}
        coords = {**first.coords, **own}
        found[name] = Quantity(name, first.dims, whole, coords, first.unit)
    return found


def _together(call: Call, schedule: Schedule) -> Result:
    """The same with all sequences together."""
    T, columns = len(call.x), len(call.lengths)
    at_ends = not (call.looks[0] & (np.arange(1, T + 1)[:, None] != call.lengths)).any()
    none = np.broadcast_to(np.zeros((), call.x.dtype), (T, 1, call.net.outputs, columns))
    loss = Given(at="last" if at_ends else "all", targets=none if call.dy is None else call.dy)
    own = None if (call.lengths == T).all() else call.lengths
    observer = Norms(Timeline(call.net, loss, [T], 1, columns, own_lengths=own), NAMES)
    backpropagate(
        call.net,
        call.weights,
        call.x,
        loss,
        [T],
        [observer],
        schedule,
        initial=call.initial,
        own_lengths=own,
        beyond=call.beyond,
    )
    return observer.quantities(0, T)


def _schedule(call: Call, memory: int) -> tuple[Schedule, int]:
    """How time is cut, and how many sequences go together, so that they fit into memory."""
    columns, T = len(call.lengths), len(call.x)
    while True:
        keep = Keep.LOCAL | Keep.COTANGENTS
        work = Work(call.net, 1, columns, (T,), len(NAMES) * (T + 1), call.x.dtype, keep)
        schedule = work.schedule(memory if columns <= NARROW else None)
        needed = work.footprint(schedule).peak
        if needed <= memory:
            return schedule, columns
        if columns == 1:
            raise UserError(
                f"a sequence of {T:,} steps through {call.net.label} needs {needed:,} bytes, but "
                f"the probe may take {memory:,}\n  fix: watch(model, memory={needed:,})"
            )
        columns = -(-columns // 2)
