"""Backpropagation through time: one driver for every cell, depth, direction and set of lengths.

Time is cut into spans. A forward pass runs span after span through all layers; the backward pass
takes the spans in reverse. A unidirectional net has many short spans, whose tapes are kept or, to
save memory, recomputed from the states between them. A bidirectional net needs all of time at each
layer and has one span. Within a span every direction of a layer runs in blocks of its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gradflow.core.cells import State
from gradflow.core.engine.entering import Entering
from gradflow.core.engine.forward import Tapes, forward
from gradflow.core.engine.observe import Block, Listener, Observer, whole
from gradflow.core.engine.scan import Keep, Tape, pull_back
from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, States, Weights, reads
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array
from gradflow.errors import NumericalError

__all__ = ["Unrolling", "backpropagate"]


def backpropagate(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    lengths: Sequence[int],
    observers: Sequence[Observer],
    schedule: Schedule,
    *,
    at: Sequence[int | Array] | None = None,
    initial: States | None = None,
    own_lengths: Array | None = None,
    beyond: States | None = None,
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
        Each is one unrolling of the same stream; different ones if the net is unidirectional.
    observers, schedule
        Who looks, and how time is cut.
    at : sequence of int or array, optional
        One loss step for each of `lengths`, in place of the loss's own: many losses of one
        unrolling, side by side. An array has a step for each sequence, 0 where it has no loss.
    initial : States, optional
        s_0 of every layer and direction (see `Network.initial`); default 0.
    own_lengths : array of int, optional
        Where each sequence ends, ``(columns,)``, in 1 to the one length that is asked for. The loss
        stands at each one's own last step and not after it, a backward direction starts there, and
        what `x` holds after it is never read.
    beyond : States, optional
        ∂L/∂ of the state that every layer and direction ends in, by paths that `loss` does not see;
        default 0. For one length.

    Raises
    ------
    ValueError
        If different lengths are asked for of a bidirectional net, of sequences with lengths of
        their own or with error from beyond the end; or the loss looks at what the net lacks.
    NumericalError
        If a state or an adjoint becomes NaN or infinite; names layer, direction and step.
    """
    own_lengths = _checked(net, own_lengths, lengths, x.shape[-1], alone=beyond is not None)
    each = [loss.steps(n) for n in lengths] if at is None else [np.atleast_1d(k) for k in at]
    longest_first = sorted(range(len(lengths)), key=lambda j: -lengths[j])
    targets, lengths = [each[j] for j in longest_first], [lengths[j] for j in longest_first]
    nets = next(iter(weights[0][0].values())).shape[0]
    states = net.initial(nets, x.shape[-1], x.dtype, initial)
    after = None if beyond is None else net.initial(nets, x.shape[-1], x.dtype, beyond)
    Unrolling(
        net, weights, x, loss, lengths, targets, observers, schedule,
        own_lengths=own_lengths, spread=at is not None,
    ).between(0, lengths[0], states, after)  # fmt: skip


def _checked(
    net: Network, own_lengths: Array | None, lengths: Sequence[int], columns: int, *, alone: bool
) -> Array | None:
    """Lengths of their own, if any sequence ends before the others."""
    if net.bidirectional and len(set(lengths)) > 1:
        raise ValueError("the lengths of a bidirectional net do not share a forward pass")
    if alone and len(lengths) > 1:
        raise ValueError("what comes from beyond the end belongs to one length")
    if own_lengths is None:
        return None
    own = np.asarray(own_lengths)
    longest = max(lengths)
    if own.shape != (columns,) or own.min() < 1 or own.max() > longest:
        raise ValueError(
            f"{columns} sequences of at most {longest} steps need as many lengths from 1 to "
            f"{longest}, not {own.tolist()}"
        )
    if len(set(lengths)) > 1:
        raise ValueError("sequences with lengths of their own are unrolled to one length at a time")
    return own if (own < longest).any() else None


@dataclass
class Unrolling:
    """What goes forward and back; the arguments of `backpropagate`, the longest length first.

    ``targets`` are the loss steps of each length.
    """

    net: Network
    weights: Weights
    x: Array
    loss: Loss
    lengths: Sequence[int]
    targets: Sequence[Array]
    observers: Sequence[Observer]
    schedule: Schedule
    own_lengths: Array | None = None
    spread: bool = False
    wants_dx: bool = field(init=False)
    keep: Keep = field(init=False)
    entering: Entering = field(init=False)

    def __post_init__(self) -> None:
        self.wants_dx = any(o.needs_inputs for o in self.observers)
        listeners = [o for o in self.observers if isinstance(o, Listener)]
        given = (self.net, self.loss, self.lengths, self.targets)
        self.entering = Entering(*given, listeners, self.own_lengths, self.spread)
        self.keep = Keep.LOCAL | self.entering.keep
        for observer in self.observers:
            self.keep |= observer.needs

    def between(self, first: int, last: int, states: States, beyond: States | None = None) -> None:
        """Go forward from the states at step `first` to step `last`, and the adjoints back."""
        spans = [(first, last)]
        if not self.net.bidirectional:
            ends = [length - first for length in [*self.lengths, *self.borders]]
            spans = [(first + a, first + b) for a, b in self.schedule.cuts(last - first, ends)]
        before: list[States] = []
        tapes: list[Tapes | None] = []
        for span in spans:
            before.append(states)
            stays = self.schedule.keep or span == spans[-1]
            made, states = self.forward(span, states, self.keep if stays else Keep.NOTHING)
            tapes.append(made if stays else None)
        adjoints = [[self.nothing(state) for state in layer] for layer in states]
        if beyond is not None:
            adjoints = [[Scaled.of(*dstate) for dstate in layer] for layer in beyond]
        for span in reversed(spans):
            start = before.pop()
            tape = tapes.pop() or self.forward(span, start, self.keep)[0]
            adjoints = self.backward(span, tape, states, adjoints)
            states = start
            del tape  # before the next one is made

    def nothing(self, state: State) -> Scaled:
        """Zero, the adjoint beyond the end; with an (empty) axis of lengths if there are more."""
        parts = tuple(np.zeros_like(part) for part in state)
        if len(self.lengths) > 1:
            parts = tuple(part[None][:0] for part in parts)
        return Scaled.of(*parts)

    def forward(self, span: tuple[int, int], states: States, keep: Keep) -> tuple[Tapes, States]:
        """Take all layers through a span."""
        lo, hi = span
        return forward(
            self.net,
            self.weights,
            self.x[lo:hi],
            states,
            self.schedule.cuts(hi - lo, [end - lo for end in self.borders if lo < end < hi]),
            first=lo,
            keep=keep,
            own_lengths=self.own_lengths,
        )

    @property
    def borders(self) -> list[int]:
        """Where sequences end."""
        return [] if self.own_lengths is None else sorted(set(self.own_lengths.tolist()))

    def backward(
        self, span: tuple[int, int], tapes: Tapes, states: States, adjoints: list[list[Scaled]]
    ) -> list[list[Scaled]]:
        """Take the adjoints back through a span that has led to `states`, from the top layer."""
        lo, hi = span
        adjoints = [[self.joined(a, hi) for a in layer] for layer in adjoints]
        adjoints[-1], dy = self.entering.enter(adjoints[-1], span, tapes[-1], states)
        after: list[list[Scaled]] = []
        for layer in range(len(self.net.layers) - 1, -1, -1):
            wants_dx = layer > 0 or self.wants_dx
            dx: list[Scaled] = []
            ends: list[Scaled] = []
            for direction in range(len(tapes[layer])):
                inject = None if dy is None else self.share(dy, layer, direction)
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
                dy = dx[0] if len(dx) == 1 else dx[0] + dx[1]
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
        cell, p = self.net.layers[layer].cell, self.weights[layer][direction]
        keep = self.keep | Keep.COTANGENTS if wants_dx else self.keep
        dx: list[Array] = []
        exponents: list[Array] = []
        end = sum(len(tape.x) for tape in tapes)
        for tape in reversed(tapes):
            start, running = end - len(tape.x), tape.columns
            joining = None if inject is None else inject[start:end]
            own = adjoint
            if running is not None:
                own = adjoint[..., running]
                joining = None if joining is None else joining[..., running]
            for swept in pull_back(cell, p, tape, own, joining, keep):
                first = lo + start + swept.start
                block = Block(layer, direction, cell, p, first, tape, swept)
                self.check(block)
                block = whole(block, adjoint.exponent.shape[-1])
                for observer in self.observers:
                    observer.block(block)
                own = Scaled(swept.before, swept.exponent)
                if wants_dx:
                    dx += [cell.drive_vjp(p, da) for da in reversed(block.swept.da)]
                    exponents += [block.swept.exponent] * len(swept.dstates)
            adjoint = own if running is None else _among(adjoint, running, own)
            end = start
        if not wants_dx:
            return adjoint, []
        values, exponent = (
            reads(direction, np.stack(each[::-1]), self.own_lengths) for each in (dx, exponents)
        )
        return adjoint, [Scaled((values,), exponent)]

    def joined(self, adjoint: Scaled, step: int) -> Scaled:
        """Let the lengths that end at `step` join, as zeros: their loss is injected next."""
        new = self.lengths.count(step) if len(self.lengths) > 1 else 0
        return adjoint.grown(new)

    def share(self, dy: Scaled, layer: int, direction: int) -> Scaled:
        """The part of ∂L/∂[h→; h←] that belongs to a direction, in its own time."""
        H = self.net.layers[layer].cell.sizes[0]
        part = dy.values[..., direction * H : (direction + 1) * H, :]
        values, exponent = (reads(direction, a, self.own_lengths) for a in (part, dy.exponent))
        return Scaled((values,), exponent)

    def check(self, block: Block) -> None:
        """Raise where an adjoint is NaN or infinite."""
        if not np.isfinite(block.swept.state_squares).all():
            last = block.first + len(block.swept.dstates)
            where = self.net.name(block.layer, block.direction)
            raise NumericalError(
                f"the adjoint of {where} is not finite at one of the steps {block.first + 1} to "
                f"{last}: the derivative of a single step overflows"
            )


def _among(adjoint: Scaled, running: Array, own: Scaled) -> Scaled:
    """An adjoint of all sequences, with that of the running ones in its place."""
    parts = tuple(part.copy() for part in adjoint.parts)
    exponent = adjoint.exponent.copy()
    for part, new in zip(parts, own.parts, strict=True):
        part[..., running] = new
    exponent[..., running] = own.exponent
    return Scaled(parts, exponent)
