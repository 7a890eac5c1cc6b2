"""The way forward: a span of time through all layers and directions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.engine.scan import Keep, Tape, unroll
from gradflow.core.network.stack import Network, States, Weights, reads
from gradflow.core.typing import Array, Params
from gradflow.errors import NumericalError

__all__ = ["Tapes", "filled", "forward", "outputs"]

Tapes: TypeAlias = list[list[list[Tape]]]
"""By layer, direction and block."""


def forward(
    net: Network,
    weights: Weights,
    x: Array,
    states: States,
    cuts: Sequence[tuple[int, int]],
    *,
    first: int = 0,
    keep: Keep = Keep.LOCAL,
    own_lengths: Array | None = None,
) -> tuple[Tapes, States]:
    """Take all layers and directions through the steps of x.

    Parameters
    ----------
    net, weights, x
        As in `backpropagate`.
    states : States
        The states before the span; a backward direction starts at its own time 0.
    cuts : sequence of pairs
        The blocks of the span, in each direction's own time from 0.
    first : int
        Steps before the span, for messages.
    keep : Keep
        What is left of every step; the next layer's inputs, the states below, always are.
    own_lengths : array of int, optional
        Where each sequence ends, counted from the start of time; blocks have borders there. A
        sequence that has ended keeps its state, and nothing of it is read.

    Returns
    -------
    tapes, states : Tapes, States
        What the way back needs, and the states after the span.

    Raises
    ------
    NumericalError
        If a state overflows; names cell, layer, direction and step.
    """
    tapes: Tapes = []
    after: list[tuple[State, ...]] = []
    for layer, before in enumerate(states):
        below = layer + 1 < len(net.layers)
        own_keep = keep | Keep.STATES if below else keep
        made, ends = [], list[State]()
        for direction, state in enumerate(before):
            given = weights[layer][direction], reads(direction, x, own_lengths), state
            blocks, end = _blocks(
                net, (layer, direction), *given, cuts, first, own_keep, own_lengths
            )
            made.append(blocks)
            ends.append(end)
        tapes.append(made)
        after.append(tuple(ends))
        if below:
            x = outputs(made, own_lengths)
        if below and Keep.STATES not in keep:  # the next layer's tapes hold all that is needed
            for tape in itertools.chain(*made):
                del tape.states[1:]
    return tapes, tuple(after)


def _blocks(
    net: Network,
    place: tuple[int, int],
    p: Params,
    x: Array,
    state: State,
    cuts: Sequence[tuple[int, int]],
    first: int,
    keep: Keep,
    own_lengths: Array | None,
) -> tuple[list[Tape], State]:
    """All blocks of one layer and direction."""
    cell, made = net.layers[place[0]].cell, []
    for lo, hi in cuts:
        running = _running(own_lengths, first + lo)
        tape, state = _block(cell, p, x[lo:hi], state, keep, running)
        if not _finite(state):
            _complain(net, *place, p, first + lo, tape)
        made.append(tape)
    return made, state


def _block(
    cell: Cell, p: Params, x: Array, state: State, keep: Keep, running: Array | None
) -> tuple[Tape, State]:
    """One block of one direction, of the sequences that are still running (None: all)."""
    if running is None:
        return unroll(cell, p, x, state, keep)
    tape, end = unroll(cell, p, x[..., running], tuple(a[..., running] for a in state), keep)
    tape.columns = running
    return tape, _among(state, running, end)


def outputs(tapes: list[list[Tape]], own_lengths: Array | None = None) -> Array:
    """[h→; h←] of a layer at each step of a span, in original time; 0 where sequences have ended.

    With lengths of their own a span that has a backward direction starts at time 0.
    """
    each = []
    for direction, blocks in enumerate(tapes):
        own = [tape.outputs() for tape in blocks]
        if own_lengths is not None:
            own = [
                filled(a, tape.columns, len(own_lengths))
                for a, tape in zip(own, blocks, strict=True)
            ]
        whole = own[0] if len(own) == 1 else np.concatenate(own)
        each.append(reads(direction, whole, own_lengths))
    return each[0] if len(each) == 1 else np.concatenate(each, axis=-2)


def filled(a: Array, columns: Array | None, width: int) -> Array:
    """Put arrays of the sequences that run among zeros for those that have ended."""
    if columns is None:
        return a
    whole = np.zeros((*a.shape[:-1], width), a.dtype)
    whole[..., columns] = a
    return whole


def _running(own_lengths: Array | None, step: int) -> Array | None:
    """The sequences that go on after a step; None: all do."""
    if own_lengths is None or (own_lengths > step).all():
        return None
    return np.flatnonzero(own_lengths > step)


def _among(state: State, running: Array, end: State) -> State:
    """The state after a block: of those that have run, and of the others as it was."""
    after = tuple(part.copy() for part in state)
    for part, new in zip(after, end, strict=True):
        part[..., running] = new
    return after


def _finite(state: State) -> bool:
    return all(bool(np.isfinite(part).all()) for part in state)


def _complain(net: Network, layer: int, direction: int, p: Params, first: int, tape: Tape) -> None:
    """Raise for the first step of a block whose state is not finite."""
    state, step = tape.states[0], first
    while _finite(state):
        x = tape.x[step - first : step - first + 1]
        _, state = unroll(net.layers[layer].cell, p, x, state, Keep.NOTHING)
        step += 1
    raise NumericalError(
        f"the state of {net.name(layer, direction)} overflows at step {step}: smaller weights, "
        "gains or inputs keep it finite"
    )
