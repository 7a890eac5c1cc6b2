"""The norms of the state's and the input's derivatives along time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradflow.core.losses import Loss
from gradflow.core.network import Network
from gradflow.core.observe import Block
from gradflow.core.quantity import SERIES, Quantity, Result
from gradflow.core.record.track import Every, Track, recorded_steps, time_axes
from gradflow.core.scaled import Scaled, log10_norm, square_norms
from gradflow.core.typing import Array

__all__ = ["Norms"]


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
        Any of ``h``, ``c``, ``s``, ``x``; ``c`` is passed over where the cell has none.
    every : int or "log"
        Which steps.
    """

    needs_states = False

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
        self.names = [n for n in states if n in ("h", "s", "x") or n in net.cell.parts]
        places = (net.layers, len(net.directions))
        self.tracks: dict[str, list[Track]] = {}
        for name in self.names:
            self.tracks[name] = []
            for length in self.lengths:
                steps = recorded_steps(length, every)
                steps = steps[steps > 0] if name == "x" else steps
                shape = (1, 1) if name == "x" else places
                self.tracks[name].append(
                    Track(steps, np.full((nets, *shape, columns, len(steps)), -np.inf))
                )

    def block(self, block: Block) -> None:
        """Record the states after the block's steps, and state 0 where the block starts there."""
        swept, place = block.swept, (block.layer, block.direction)
        of_part = dict(zip(block.cell.parts, swept.squares, strict=True))
        for name in self.names:
            if name == "x":
                continue
            if name == "s":
                squares = np.sum(swept.squares, axis=0)
            elif name == "h":
                squares = of_part["h"]
            else:
                which = block.cell.parts.index(name) - 1
                squares = square_norms([total[which] for total in swept.totals])
            self._put(name, place, block.first + 1, squares, swept.exponent)
        if block.first == 0:
            origin = [square_norms([part])[0] for part in swept.before]
            at_zero = dict(zip(block.cell.parts, origin, strict=True)) | {"s": sum(origin)}
            for name in self.names:
                if name != "x":
                    self._put(name, place, 0, np.asarray(at_zero[name])[None], swept.exponent)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Record ∂L/∂x."""
        if self.needs_inputs:
            squares = square_norms(list(dx.parts[0]))
            self._put("x", (0, 0), first + 1, squares, dx.exponent)

    def quantities(self, net: int, length: int, loss: Loss) -> Result:
        """Everything recorded of one of the nets at one of the lengths, by name."""
        result: Result = {}
        for name in self.names:
            track = self.tracks[name][self.lengths.index(length)]
            coords = time_axes(self.net, track.steps, length, loss)
            if name == "x":
                way = "both" if self.net.bidirectional else "forward"
                coords |= {"layer": np.arange(1), "direction": np.array([way])}
                coords |= {"lag": coords["lag"][:1]}
            result[name] = Quantity(name, SERIES, track.values[net].copy(), coords)
        return result

    def _put(
        self, name: str, place: tuple[int, int], first: int, squares: Array, exponent: Array
    ) -> None:
        """Store squares ``(steps, [lengths,] nets, columns)`` of consecutive steps."""
        several = len(self.lengths) > 1
        exponents = np.broadcast_to(exponent[..., 0, :], squares.shape)
        for j in range(squares.shape[1] if several else 1):
            track = self.tracks[name][j]
            where, chosen = track.within(first, len(squares))
            if len(chosen):
                own = (chosen, j) if several else (chosen,)
                logs = log10_norm(squares[own], exponents[own])
                track.values[:, place[0], place[1], :, where] = logs.transpose(1, 2, 0)
