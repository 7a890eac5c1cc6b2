"""The norms of the state's and the input's derivatives along time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from gradflow.core.engine.observe import Block
from gradflow.core.engine.squares import log10_norms, square_norms
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import SERIES, Quantity, Result
from gradflow.core.record.track import Every, Track, existing, recorded_steps, time_axes
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array

__all__ = ["Norms"]

Arrays: TypeAlias = Callable[[], list[Array]]
"""The arrays that norms are of, made only if they are needed again."""


class Norms:
    """log10 of ‖∂L/∂h_k‖, ‖∂L/∂c_k‖, ‖∂L/∂s_k‖ and ‖∂L/∂x_k‖ at the recorded steps.

    Parameters
    ----------
    net : Network
        The network that is observed.
    lengths : sequence of int
        All lengths that run together.
    nets, columns : int
        How many independent nets and sequences there are.
    states : sequence of str
        Any of ``h``, ``c``, ``s``, ``x``; ``c`` is passed over where no cell has it.
    every : int or "log"
        Which steps.
    """

    needs = Keep.NOTHING

    def __init__(
        self,
        net: Network,
        lengths: Sequence[int],
        nets: int,
        columns: int,
        states: Sequence[str],
        every: Every = 1,
    ) -> None:
        self.net = net
        self.lengths = sorted(lengths, reverse=True)
        self.needs_inputs = "x" in states
        self.names = [n for n in states if n in ("h", "s", "x") or n in net.parts]
        self.layers = {name: [0] if name == "x" else net.having(name) for name in self.names}
        self.tracks: dict[str, list[Track]] = {}
        for name in self.names:
            exists = np.ones((1, 1), bool) if name == "x" else existing(net, self.layers[name])
            nothing = np.where(exists, -np.inf, np.nan)[..., None, None]
            self.tracks[name] = []
            for length in self.lengths:
                steps = recorded_steps(length, every)
                steps = steps[steps > 0] if name == "x" else steps
                shape = (nets, *exists.shape, columns, len(steps))
                self.tracks[name].append(Track(steps, np.full(shape, nothing)))

    def block(self, block: Block) -> None:
        """Record the states after the block's steps, and state 0 where the block starts there."""
        exponent, place = block.swept.exponent, (block.layer, block.direction)
        known: dict[str, Array] = {}
        for name in self.names:
            if name == "x" or name not in ("s", *block.cell.parts):
                continue
            same = "h" if block.cell.parts == ("h",) else name  # s is h there
            if same not in known:
                known[same] = _logs(_series(name, block), exponent)
            self._put(name, place, block.first + 1, known[same])
            if block.first == 0:
                self._put(name, place, 0, _logs(_origin(name, block), exponent))

    def inputs(self, first: int, dx: Scaled) -> None:
        """Record ∂L/∂x."""
        if self.needs_inputs:
            each = list(dx.values)
            logs = _logs((square_norms(each), lambda: each), dx.exponent)
            self._put("x", (0, 0), first + 1, logs)

    def quantities(self, net: int, length: int, loss: Loss) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        result: Result = {}
        for name in self.names:
            track = self.tracks[name][self.lengths.index(length)]
            coords = time_axes(self.net, self.layers[name], track.steps, length, loss)
            if name == "x":
                way = "both" if self.net.bidirectional else "forward"
                coords |= {"layer": np.arange(1), "direction": np.array([way])}
                coords |= {"lag": coords["lag"][:1]}
                coords.pop("exists", None)
            result[name] = Quantity(name, SERIES, track.values[net].copy(), coords)
        return result

    def _put(self, name: str, place: tuple[int, int], first: int, logs: Array) -> None:
        """Store the norms ``(steps, [lengths,] nets, columns)`` of consecutive steps."""
        several, layer = len(self.lengths) > 1, self.layers[name].index(place[0])
        for j in range(logs.shape[1] if several else 1):
            track = self.tracks[name][j]
            where, chosen = track.within(first, len(logs))
            if len(chosen):
                own = (chosen, j) if several else (chosen,)
                track.values[:, layer, place[1], :, where] = logs[own].transpose(1, 2, 0)


def _logs(found: tuple[Array, Arrays], exponent: Array) -> Array:
    squares, arrays = found
    return log10_norms(squares, exponent, arrays)


def _origin(name: str, block: Block) -> tuple[Array, Arrays]:
    """The same of step 0, where a part's total derivative is what it carries."""
    before = block.swept.before
    parts = before if name == "s" else before[block.cell.parts.index(name) :][:1]
    array = np.concatenate(parts, axis=-2)
    return square_norms([array]), lambda: [array]


def _series(name: str, block: Block) -> tuple[Array, Arrays]:
    """Square norms of a quantity after each step of a block, and the arrays themselves."""
    swept, parts = block.swept, block.cell.parts
    if name == "s":
        return swept.state_squares, lambda: [np.concatenate(s, axis=-2) for s in swept.dstates]
    which = parts.index(name)
    if name == "h":
        return swept.squares[which], lambda: [state[which] for state in swept.dstates]
    return swept.total_squares[which - 1], lambda: [total[which - 1] for total in swept.totals]
