"""Where a loss enters: what it looks at, and ∂L/∂ of it at the steps of a span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.engine.forward import outputs
from gradflow.core.engine.observe import Listener, Reading
from gradflow.core.engine.tape import Keep, Tape
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, States
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Entering"]


@dataclass(frozen=True)
class Entering:
    """A loss and when it looks at a network.

    Parameters
    ----------
    net : Network
        The network.
    loss : Loss
        The loss.
    lengths : sequence of int
        All that run together, the longest first.
    targets : sequence of array
        The loss steps of each length; spread, one for all sequences or one for each.
    listeners : sequence of Listener
        Who sees what the loss looks at.
    own_lengths : array of int, optional
        Where each sequence ends: the last step is its own, and it has no loss after that.
    spread : bool
        Whether each length has one loss step in place of the loss's own (see `backpropagate`).

    Raises
    ------
    ValueError
        If the loss looks at a part that the top layer's state does not have.
    """

    net: Network
    loss: Loss
    lengths: Sequence[int]
    targets: Sequence[Array]
    listeners: Sequence[Listener] = ()
    own_lengths: Array | None = None
    spread: bool = False

    def __post_init__(self) -> None:
        cell = self.net.layers[-1].cell
        if self.loss.of not in cell.parts:
            raise ValueError(f"the loss looks at {self.loss.of}, but {cell.label} has no such part")
        if self.spread and self.loss.of != "h":
            raise ValueError(f"a loss on {self.loss.of} looks at the end alone, not at each step")

    @property
    def keep(self) -> Keep:
        """What the tapes must hold for it."""
        blind = self.loss.linear and not self.listeners
        return Keep.NOTHING if blind else Keep.STATES

    def reading(
        self, span: tuple[int, int], top: list[list[Tape]], after: States
    ) -> Reading | None:
        """What the loss looks at in a span; None where that is nothing.

        Parameters
        ----------
        span : tuple of int
            The span.
        top : list of list of Tape
            The top layer's tapes, by direction and block.
        after : States
            The states after the span.
        """
        lo, hi = span
        pairs = zip(self.lengths, self.targets, strict=True)
        joined = [(length, at) for length, at in pairs if length >= hi]
        if self._at_ends:
            counts = np.array([[length == hi for length, _ in joined]])
            ends = [state[self._which] for state in after[-1]]
            y = np.concatenate(ends, axis=-2)[None]
            own = np.array([hi]) if self.own_lengths is None else self.own_lengths[None]
            return self._reading(own, y, counts) if counts.any() else None
        steps = np.arange(lo + 1, hi + 1)
        counts = np.stack([self._counting(steps, at) for _, at in joined], axis=1)
        if self.own_lengths is not None:
            counts = self._each_to_its_end(steps, counts)
        rows = np.flatnonzero(counts.reshape(len(counts), -1).any(axis=1))
        if not len(rows):
            return None
        h = after[-1][0][0]
        shape = (len(rows), len(h), self.net.outputs, h.shape[-1])
        y = (
            outputs(top, self.own_lengths)[rows]
            if self.keep
            else np.broadcast_to(np.zeros((), h.dtype), shape)
        )
        return self._reading(steps[rows], y, counts[rows])

    def enter(
        self, adjoints: list[Scaled], span: tuple[int, int], top: list[list[Tape]], after: States
    ) -> tuple[list[Scaled], Scaled | None]:
        """Let the loss enter at the steps of a span, for each length that has joined.

        Parameters
        ----------
        adjoints : list of Scaled
            ∂L/∂ of the top layer's state after the span, by direction.
        span, top, after
            As in `reading`.

        Returns
        -------
        adjoints : list of Scaled
            With a loss on another part than h at the end.
        dy : Scaled or None
            ∂L/∂y at each step of the span.
        """
        reading = self.reading(span, top, after)
        if reading is None:
            return adjoints, None
        for listener in self.listeners:
            listener.reading(reading)
        dy = reading.abreast(reading.cotangent.astype(after[-1][0][0].dtype, copy=False))
        dy = np.where(reading.counts, dy, np.zeros((), dy.dtype))
        if self.loss.of != "h":
            own = np.split(dy[0], len(adjoints), axis=-2)
            return [self._ended(*pair) for pair in zip(adjoints, own, strict=True)], None
        lo, hi = span
        if len(dy) == hi - lo and not self._at_ends:
            return adjoints, Scaled.of(dy)
        whole = np.zeros((hi - lo, *dy.shape[1:]), dy.dtype)
        if self._at_ends:
            H = dy.shape[-2] // 2
            whole[0, ..., H:, :] = dy[0, ..., H:, :]
            for j, last in enumerate(np.broadcast_to(reading.steps[0], dy.shape[-1])):
                whole[last - lo - 1, ..., :H, j] = dy[0, ..., :H, j]
        else:
            whole[reading.steps - lo - 1] = dy
        return adjoints, Scaled.of(whole)

    @property
    def _at_ends(self) -> bool:
        """Whether the states at the ends are looked at, not the outputs at a step."""
        both = self.loss.at == "ends" and self.net.layers[-1].bidirectional and not self.spread
        return both or self.loss.of != "h"

    @property
    def _which(self) -> int:
        return self.net.layers[-1].cell.parts.index(self.loss.of)

    def _counting(self, steps: Array, at: Array) -> Array:
        """Which steps have a loss, ``(steps,)``; of each sequence apart, ``(steps, columns)``."""
        if self.spread:
            return np.asarray(steps[:, None] == at)
        counts = np.zeros(len(steps), bool)
        counts[at[(at >= steps[0]) & (at <= steps[-1])] - steps[0]] = True
        return counts

    def _each_to_its_end(self, steps: Array, counts: Array) -> Array:
        """Which steps count for which sequence, ``(steps, 1, columns)``."""
        lengths, step = self.own_lengths, steps[:, None, None]
        assert lengths is not None
        if self.loss.at in ("last", "ends") and not self.spread:
            return np.asarray(step == lengths)
        counts = counts if counts.ndim == 3 else counts[..., None]
        return np.asarray(counts & (step <= lengths))

    def _reading(self, steps: Array, y: Array, counts: Array) -> Reading:
        counts = counts[..., None, None, :] if counts.ndim == 3 else counts[..., None, None, None]
        return Reading(self.loss, steps, y, counts if len(self.lengths) > 1 else counts[:, 0])

    def _ended(self, adjoint: Scaled, d: Array) -> Scaled:
        """An adjoint beyond the end, with ∂L/∂ of the part that the loss looks at."""
        parts = list(adjoint.parts)
        parts[self._which] = parts[self._which] + d
        return Scaled(tuple(parts), adjoint.exponent)
