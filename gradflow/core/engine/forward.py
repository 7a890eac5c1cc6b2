"""The way forward: a span of time through all layers and directions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from gradflow.core.cells import State
from gradflow.core.engine.scan import Keep, Tape, unroll
from gradflow.core.network.stack import Network, States, Weights, reads
from gradflow.core.typing import Array, Params
from gradflow.errors import NumericalError

__all__ = ["Tapes", "forward", "outputs"]

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
) -> tuple[Tapes, States]:
    """Take all layers and directions through the steps of x.

    Parameters
    ----------
    net, weights : Network, Weights
        The network and its parameters.
    x : array
        Inputs ``(steps, nets or 1, inputs, columns)``.
    states : States
        The states before the span; a backward direction starts at its own time 0.
    cuts : sequence of pairs
        The blocks of the span, in each direction's own time from 0.
    first : int
        Steps before the span, for messages.
    keep : Keep
        What is left of every step; states of the layers below, which are the inputs of the next,
        always are.

    Returns
    -------
    tapes : Tapes
        What the way back needs.
    states : States
        The states after the span.

    Raises
    ------
    NumericalError
        If a state overflows; names cell, layer, direction and step.
    """
    tapes: Tapes = []
    after: list[tuple[State, ...]] = []
    for layer, before in enumerate(states):
        cell = net.layers[layer].cell
        made: list[list[Tape]] = []
        ends: list[State] = []
        below = layer + 1 < len(net.layers)
        own_keep = keep | Keep.STATES if below else keep
        for direction, state in enumerate(before):
            p, own = weights[layer][direction], reads(direction, x)
            blocks: list[Tape] = []
            for lo, hi in cuts:
                tape, end = unroll(cell, p, own[lo:hi], state, own_keep)
                if not _finite(end):
                    _complain(net, layer, direction, p, first + lo, tape)
                blocks.append(tape)
                state = end
            made.append(blocks)
            ends.append(state)
        tapes.append(made)
        after.append(tuple(ends))
        if below:
            x = outputs(made)
            if Keep.STATES not in keep:  # the next layer's tapes hold all that is needed of them
                for tape in itertools.chain(*made):
                    del tape.states[1:]
    return tapes, tuple(after)


def outputs(tapes: list[list[Tape]]) -> Array:
    """[h→; h←] of a layer at each step of a span, in original time."""
    each = []
    for direction, blocks in enumerate(tapes):
        own = [tape.outputs() for tape in blocks]
        each.append(reads(direction, own[0] if len(own) == 1 else np.concatenate(own)))
    return each[0] if len(each) == 1 else np.concatenate(each, axis=-2)


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
