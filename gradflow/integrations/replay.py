"""A call of a recurrent net as arrays, and the same recurrence again through the engine.

What a framework's autograd hands over are the cotangents at the net's outputs and at the state that
it ends in. Everything inside follows from them: the net is run again, and they go back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradflow.core.cells import State
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Given
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.quantity import Result
from gradflow.core.record import Norms, Timeline
from gradflow.core.typing import Array

__all__ = ["NAMES", "Call", "last_alone", "norms", "of_equal_length"]

NAMES = ("h", "c", "s", "x")
SCHEDULE = Schedule(64)


@dataclass(frozen=True)
class Call:
    """What went into a net, and what came back to it.

    Parameters
    ----------
    net, weights : Network, Weights
        The one net.
    x : array
        Inputs ``(steps, 1, inputs, sequences)``.
    initial : States or None
        s_0 of every layer and direction; None is 0.
    dy : array or None
        ∂L/∂y at every step, ``(steps, 1, outputs, sequences)``; None is 0.
    beyond : States or None
        ∂L/∂ of the state that every layer and direction ends in; None is 0.
    lengths : array of int
        Where each sequence ends.
    sequences : array of int
        Which of a batch they are.
    """

    net: Network
    weights: Weights
    x: Array
    initial: States | None
    dy: Array | None
    beyond: States | None
    lengths: Array
    sequences: Array

    def chosen(self, columns: Array, length: int) -> Call:
        """Return the call as if it had these sequences alone, cut at a length."""

        def of(states: States | None) -> States | None:
            if states is None:
                return None
            return tuple(tuple(_columns(state, columns) for state in layer) for layer in states)

        dy = None if self.dy is None else self.dy[:length, ..., columns]
        return replace(
            self,
            x=self.x[:length, ..., columns],
            initial=of(self.initial),
            dy=dy,
            beyond=of(self.beyond),
            lengths=self.lengths[columns],
            sequences=self.sequences[columns],
        )

    @property
    def reached(self) -> bool:
        """Whether any error comes back."""
        return bool(self.steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """At which steps 1..T the loss looks at the net, a state's end counting as its step."""
        T = len(self.x)
        found = set[int]()
        if self.dy is not None:
            found |= set((np.flatnonzero(self.dy.any(axis=(1, 2, 3))) + 1).tolist())
        for layer in self.beyond or ():
            ends = zip((T, 1), layer, strict=False)
            found |= {step for step, state in ends if any(part.any() for part in state)}
        return tuple(sorted(found))


def _columns(state: State, columns: Array) -> State:
    return tuple(part[..., columns] for part in state)


def of_equal_length(call: Call) -> Iterator[Call]:
    """Split a call by the lengths of its sequences, the shortest first."""
    lengths = np.unique(call.lengths)
    if len(lengths) == 1 and lengths[0] == len(call.x):
        yield call
        return
    for length in lengths.tolist():
        yield call.chosen(np.flatnonzero(call.lengths == length), length)


def norms(call: Call) -> Result:
    """log10 of the norms of h, c, s and x at every step, of sequences of equal length."""
    T, columns = len(call.x), call.x.shape[-1]
    steps = call.steps or (T,)
    none = np.broadcast_to(np.zeros((), call.x.dtype), (T, 1, call.net.outputs, columns))
    loss = Given(
        at="last" if steps == (T,) else steps, targets=none if call.dy is None else call.dy
    )
    observer = Norms(Timeline(call.net, loss, [T], 1, columns), NAMES)
    backpropagate(
        call.net,
        call.weights,
        call.x,
        loss,
        [T],
        [observer],
        SCHEDULE,
        initial=call.initial,
        beyond=call.beyond,
    )
    return {
        name: replace(found, coords={**found.coords, "sequence": call.sequences})
        for name, found in observer.quantities(0, T).items()
    }


def last_alone(call: Call) -> Result:
    """The norms of the last loss step alone, by which a sum over steps is judged; else nothing."""
    steps = call.steps
    if len(steps) < 2 or call.dy is None or not call.dy.any():
        return {}
    last = steps[-1]
    dy = np.zeros_like(call.dy)
    dy[last - 1] = call.dy[last - 1]
    alone = replace(call, dy=dy, beyond=call.beyond if last == len(call.x) else None)
    return {f"{name}.last": replace(q, name=f"{name}.last") for name, q in norms(alone).items()}
