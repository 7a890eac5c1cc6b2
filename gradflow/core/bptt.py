"""Backpropagation through time: one driver for every cell, depth, direction and set of lengths.

Time is cut into spans. A forward pass runs span after span through all layers; the backward pass
takes the spans in reverse. A unidirectional net has many short spans, whose tapes are kept or, to
save memory, recomputed from the states between them. A bidirectional net needs all of time at each
layer and has one span. Within a span every direction of a layer runs in blocks of its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from gradflow.core.cells import Cell, State
from gradflow.core.losses import Loss
from gradflow.core.network import Network, Weights, reads
from gradflow.core.scaled import Scaled, add, zeros_like_columns
from gradflow.core.scan import Swept, Tape, pull_back, unroll
from gradflow.core.typing import Array, Params
from gradflow.errors import NumericalError

__all__ = ["Block", "Observer", "Schedule", "backpropagate"]

States: TypeAlias = tuple[tuple[State, ...], ...]
Tapes: TypeAlias = list[list[list[Tape]]]
"""By layer, direction and block."""


@dataclass(frozen=True)
class Block:
    """What an observer sees: consecutive steps of one layer and direction, swept back.

    Parameters
    ----------
    layer, direction : int
        Where.
    cell, p
        The cell and its parameters there.
    first : int
        The direction's own time of the state before the block's first step, 0..T − 1.
    tape : Tape
        The forward pass's records; ``swept.start`` is the offset of the block's steps in it.
    swept : Swept
        The cotangents. With several lengths, arrays have an axis of lengths in front, longest
        first, as many as have joined.
    """

    layer: int
    direction: int
    cell: Cell
    p: Params
    first: int
    tape: Tape
    swept: Swept


class Observer(Protocol):
    """Looks at cotangents as they go by."""

    needs_states: bool
    """Whether the tapes must hold the states after every step."""

    needs_inputs: bool
    """Whether ∂L/∂x is to be computed for the network's inputs."""

    def block(self, block: Block) -> None:
        """See a block of a layer."""

    def inputs(self, first: int, dx: Scaled) -> None:
        """See ∂L/∂x_k for the steps first + 1, … in original time."""


@dataclass(frozen=True)
class Schedule:
    """How time is cut, and whether tapes are kept.

    Parameters
    ----------
    block : int
        Most steps in a block.
    keep : bool
        Whether tapes are kept; else each span is run again on the way back.
    """

    block: int
    keep: bool = True

    def cuts(self, length: int, at: Sequence[int] = ()) -> list[tuple[int, int]]:
        """Cut 0..length into blocks, with a border at each of `at`."""
        borders = sorted({*range(0, length, self.block), *at, length})
        return list(zip(borders, borders[1:], strict=False))


def backpropagate(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    lengths: Sequence[int],
    observers: Sequence[Observer],
    schedule: Schedule,
) -> None:
    """Run the network forward once and the adjoints of all lengths back, showing them to observers.

    Parameters
    ----------
    net, weights : Network, Weights
        The network and its parameters, several independent nets side by side.
    x : array
        Inputs ``(steps, nets or 1, inputs, columns)``, at least as long as the longest length.
    loss : Loss
        What is differentiated, apart for each length.
    lengths : sequence of int
        Each is one unrolling of the same stream; several only where the net is unidirectional.
    observers : sequence of Observer
        Who looks.
    schedule : Schedule
        How time is cut.

    Raises
    ------
    NumericalError
        If a state or an adjoint becomes NaN or infinite; names layer, direction and step.
    """
    lengths = sorted(lengths, reverse=True)
    if net.bidirectional and len(lengths) > 1:
        raise ValueError("the lengths of a bidirectional net do not share a forward pass")
    _Run(net, weights, x, loss, lengths, observers, schedule)()


class _Run:
    """One call of `backpropagate`."""

    def __init__(
        self,
        net: Network,
        weights: Weights,
        x: Array,
        loss: Loss,
        lengths: Sequence[int],
        observers: Sequence[Observer],
        schedule: Schedule,
    ) -> None:
        self.net, self.weights, self.x, self.loss = net, weights, x, loss
        self.lengths, self.observers, self.schedule = lengths, observers, schedule
        self.wants_dx = any(o.needs_inputs for o in observers)
        self.wants_states = loss.sees_outputs or any(o.needs_states for o in observers)

    def __call__(self) -> None:
        total = self.lengths[0]
        nets = next(iter(self.weights[0][0].values())).shape[0]
        states = self.net.initial(nets, self.x.shape[-1], self.x.dtype)
        spans = [(0, total)]
        if not self.net.bidirectional:
            spans = self.schedule.cuts(total, self.lengths)
        before: list[States] = []
        tapes: list[Tapes | None] = []
        for span in spans:
            before.append(states)
            made, states = self.forward(span, states)
            tapes.append(made if self.schedule.keep or span == spans[-1] else None)
        adjoints: list[list[Scaled]] = [[self.nothing(part) for part in layer] for layer in states]
        for span in reversed(spans):
            tape = tapes.pop() or self.forward(span, before[len(tapes)])[0]
            adjoints = self.backward(span, tape, adjoints)

    def nothing(self, state: State) -> Scaled:
        """The adjoint beyond the end: zero, with an (empty) axis of lengths if there are several."""
        parts = tuple(np.zeros_like(part) for part in state)
        if len(self.lengths) > 1:
            parts = tuple(part[None][:0] for part in parts)
        return Scaled(parts, zeros_like_columns(parts[0]))

    def forward(self, span: tuple[int, int], states: States) -> tuple[Tapes, States]:
        """Take all layers through a span."""
        x = self.x[slice(*span)]
        tapes: Tapes = []
        after: list[tuple[State, ...]] = []
        for layer in range(self.net.layers):
            keep = self.wants_states or layer + 1 < self.net.layers
            made: list[list[Tape]] = []
            ends: list[State] = []
            for direction, p in enumerate(self.weights[layer]):
                state = states[layer][direction]
                own = reads(direction, x)
                blocks: list[Tape] = []
                for lo, hi in self.schedule.cuts(len(own)):
                    tape, end = unroll(self.net.cell, p, own[lo:hi], state, keep=keep)
                    if not all(np.isfinite(part).all() for part in end):
                        self.complain(layer, direction, span[0] + lo, tape, state)
                    blocks.append(tape)
                    state = end
                made.append(blocks)
                ends.append(state)
            tapes.append(made)
            after.append(tuple(ends))
            if keep:
                x = _outputs(made)
        return tapes, tuple(after)

    def backward(
        self, span: tuple[int, int], tapes: Tapes, adjoints: list[list[Scaled]]
    ) -> list[list[Scaled]]:
        """Take the adjoints back through a span, layer by layer from the top."""
        lo, hi = span
        adjoints = [[self.joined(a, hi) for a in layer] for layer in adjoints]
        dy = self.injection(span, tapes[-1])
        after: list[list[Scaled]] = []
        for layer in range(self.net.layers - 1, -1, -1):
            wants_dx = layer > 0 or self.wants_dx
            dx: list[Scaled] = []
            ends: list[Scaled] = []
            for direction in range(len(self.net.directions)):
                inject = None if dy is None else self.share(dy, direction)
                end, piece = self.sweep(
                    layer,
                    direction,
                    lo,
                    tapes[layer][direction],
                    adjoints[layer][direction],
                    inject,
                    wants_dx,
                )
                ends.append(end)
                dx += piece
            after.append(ends)
            if wants_dx:
                dy = dx[0] if len(dx) == 1 else add(*dx)
        if self.wants_dx and dy is not None:
            for observer in self.observers:
                observer.inputs(lo, dy)
        return after[::-1]

    def sweep(
        self,
        layer: int,
        direction: int,
        lo: int,
        tapes: list[Tape],
        adjoint: Scaled,
        inject: Scaled | None,
        wants_dx: bool,
    ) -> tuple[Scaled, list[Scaled]]:
        """Take one direction's adjoint back through its blocks of a span."""
        cell, p = self.net.cell, self.weights[layer][direction]
        dx: list[Array] = []
        exponents: list[Array] = []
        end = sum(len(tape.caches) for tape in tapes)
        for tape in reversed(tapes):
            start = end - len(tape.caches)
            joining = None
            if inject is not None:
                joining = Scaled((inject.parts[0][start:end],), inject.exponent[start:end])
            for swept in pull_back(cell, p, tape, adjoint, joining):
                first = lo + start + swept.start
                block = Block(layer, direction, cell, p, first, tape, swept)
                self.check(block)
                for observer in self.observers:
                    observer.block(block)
                adjoint = Scaled(swept.before, swept.exponent)
                if wants_dx:
                    dx += [cell.drive_vjp(p, da) for da in reversed(swept.da)]
                    exponents += [swept.exponent] * len(swept.da)
            end = start
        if not wants_dx:
            return adjoint, []
        own = Scaled((np.stack(dx[::-1]),), np.stack(exponents[::-1]))
        return adjoint, [Scaled((reads(direction, own.parts[0]),), reads(direction, own.exponent))]

    def joined(self, adjoint: Scaled, step: int) -> Scaled:
        """Let the lengths that end at `step` join, as zeros: their loss is injected next."""
        new = self.lengths.count(step) if len(self.lengths) > 1 else 0
        if not new:
            return adjoint
        parts = tuple(_grown(part, new) for part in adjoint.parts)
        return Scaled(parts, _grown(adjoint.exponent, new))

    def injection(self, span: tuple[int, int], top: list[list[Tape]]) -> Scaled | None:
        """∂L/∂y of the loss at the steps of a span, for each length that has joined."""
        lo, hi = span
        steps = np.arange(lo + 1, hi + 1)
        joined = [length for length in self.lengths if length >= hi]
        at = np.stack([np.isin(steps, self.loss.steps(length)) for length in joined], axis=1)
        if not at.any():
            return None
        nets, _, columns = top[0][0].states[0][0].shape
        y = _outputs(top) if self.loss.sees_outputs else None
        dy = self.loss.cotangent(lo + 1, hi - lo, (nets, self.net.outputs, columns), y)
        chosen = at[:, :, None, None, None].astype(self.x.dtype)
        if len(self.lengths) == 1:
            chosen = chosen[:, 0]
        else:
            dy = dy[:, None]
        dy = dy * chosen
        return Scaled((dy,), zeros_like_columns(dy))

    def share(self, dy: Scaled, direction: int) -> Scaled:
        """The part of ∂L/∂[h→; h←] that belongs to a direction, in its own time."""
        H = self.net.cell.hidden
        part = dy.parts[0][..., direction * H : (direction + 1) * H, :]
        return Scaled((reads(direction, part),), reads(direction, dy.exponent))

    def complain(self, layer: int, direction: int, first: int, tape: Tape, state: State) -> None:
        """Raise for the first step whose state is not finite."""
        cell, p = self.net.cell, self.weights[layer][direction]
        for k in range(len(tape.caches)):
            _, state = unroll(cell, p, tape.x[k : k + 1], state, keep=False)
            if not all(np.isfinite(part).all() for part in state):
                raise NumericalError(
                    f"the state of {self.where(layer, direction)} overflows at step "
                    f"{first + k + 1}: smaller weights, gains or inputs keep it finite"
                )

    def check(self, block: Block) -> None:
        """Raise where an adjoint is NaN or infinite."""
        squares = sum(block.swept.squares)
        if not np.isfinite(squares).all():
            last = block.first + len(block.swept.da)
            raise NumericalError(
                f"the adjoint of {self.where(block.layer, block.direction)} is not finite at one "
                f"of the steps {block.first + 1} to {last}: one step's derivative overflows"
            )

    def where(self, layer: int, direction: int) -> str:
        """Name a place in the network."""
        way = f", {self.net.directions[direction]}" if self.net.bidirectional else ""
        return f"{self.net.cell.label} (layer {layer}{way})"


def _outputs(tapes: list[list[Tape]]) -> Array:
    """[h→; h←] of a layer at each step of a span, in original time."""
    each = [
        reads(direction, np.concatenate([tape.outputs() for tape in blocks]))
        for direction, blocks in enumerate(tapes)
    ]
    return each[0] if len(each) == 1 else np.concatenate(each, axis=-2)


def _grown(a: Array, new: int) -> Array:
    """`a` with `new` more lengths of zeros, the axis of lengths third in memory (see `pull`)."""
    lengths, nets, rows, columns = a.shape
    grown = np.zeros((nets, rows, lengths + new, columns), a.dtype).transpose(2, 0, 1, 3)
    grown[:lengths] = a
    return grown
