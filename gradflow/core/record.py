"""What is kept of the cotangents that go by: an observer for each kind of record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradflow.core.losses import Loss
from gradflow.core.network import Network
from gradflow.core.observe import Block
from gradflow.core.quantity import SERIES, Quantity, Result
from gradflow.core.scaled import Scaled, log10_norm, square_norms
from gradflow.core.typing import Array

__all__ = ["Every", "Gradients", "Norms", "Vectors", "recorded_steps"]

Every: TypeAlias = int | str
"""A stride, or ``log``: about 20 lags per decade."""

STATES = ("h", "c", "s")


def recorded_steps(length: int, every: Every = 1) -> Array:
    """Steps 0..length of which something is kept, counted back from the last one.

    The loss end and step 0 always belong to them.
    """
    if every == "log":
        decades = max(1, int(np.ceil(20 * np.log10(length + 1))))
        lags = np.unique(np.round(np.geomspace(1, length + 1, decades)).astype(np.int64)) - 1
    else:
        lags = np.arange(0, length + 1, int(every))
    return np.unique(np.append(length - lags, [0, length]))


@dataclass
class _Track:
    """One length's rows of a series, filled as blocks go by."""

    steps: Array
    values: Array

    def within(self, first: int, count: int) -> tuple[slice, Array]:
        """Where the steps first, …, first + count − 1 go, and which of them are recorded."""
        lo, hi = np.searchsorted(self.steps, [first, first + count])
        return slice(int(lo), int(hi)), self.steps[lo:hi] - first


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
        self.tracks: dict[str, list[_Track]] = {}
        for name in self.names:
            self.tracks[name] = []
            for length in self.lengths:
                steps = recorded_steps(length, every)
                steps = steps[steps > 0] if name == "x" else steps
                shape = (1, 1) if name == "x" else places
                self.tracks[name].append(
                    _Track(steps, np.full((nets, *shape, columns, len(steps)), -np.inf))
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
        at = loss.steps(length)
        last = {"forward": int(at[-1]), "backward": length + 1 - int(at[0])}
        result: Result = {}
        for name in self.names:
            track = self.tracks[name][self.lengths.index(length)]
            directions: tuple[str, ...] = self.net.directions
            lags = [last[way] - track.steps for way in directions]
            if name == "x" and self.net.bidirectional:
                directions, lags = ("both",), lags[:1]
            coords = {
                "layer": np.arange(track.values.shape[1]),
                "direction": np.array(directions),
                "step": track.steps,
                "lag": np.stack(lags),
            }
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


class Vectors:
    """The cotangents themselves, for tests and for looking closely: log-free, m and e apart.

    ``h[layer, direction, step]`` and so on are `Scaled` with one part ``([lengths,] nets, hidden,
    columns)``; ``x[step]`` likewise.
    """

    needs_states = False
    needs_inputs = True

    def __init__(self) -> None:
        self.parts: dict[tuple[str, int, int, int], Scaled] = {}
        self.x: dict[int, Scaled] = {}

    def block(self, block: Block) -> None:
        """Keep every part and every total."""
        swept, place = block.swept, (block.layer, block.direction)
        for k, (dstate, totals) in enumerate(zip(swept.dstates, swept.totals, strict=True)):
            step = block.first + k + 1
            for part, value in zip(block.cell.parts, dstate, strict=True):
                self._keep(
                    part if part == "h" else f"carried_{part}", place, step, value, swept.exponent
                )
            for part, value in zip(block.cell.parts[1:], totals, strict=True):
                self._keep(part, place, step, value, swept.exponent)
        if block.first == 0:
            for part, value in zip(block.cell.parts, swept.before, strict=True):
                self._keep(part, place, 0, value, swept.exponent)
                if part != "h":
                    self._keep(f"carried_{part}", place, 0, value, swept.exponent)

    def _keep(self, name: str, place: tuple[int, int], step: int, value: Array, e: Array) -> None:
        self.parts[name, *place, step] = Scaled((value,), e)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Keep ∂L/∂x."""
        for k in range(len(dx.parts[0])):
            self.x[first + k + 1] = Scaled((dx.parts[0][k],), dx.exponent[k])


class Gradients:
    """Gradients of all parameters, Σ over steps and sequences, for each net.

    Contributions are added at one exponent for each net, so that neither an exploding nor a
    vanishing adjoint leaves the range. Runs with one length only.
    """

    needs_states = True
    needs_inputs = False

    def __init__(self, net: Network) -> None:
        self.net = net
        self.sums: dict[tuple[int, int, str], Scaled] = {}

    def block(self, block: Block) -> None:
        """Add the block's steps."""
        swept, tape = block.swept, block.tape
        count = len(swept.da)
        steps = slice(swept.start, swept.start + count)
        before, after = tape.states[steps], tape.states[steps.start + 1 : steps.stop + 1]
        top = swept.exponent.max(axis=(-2, -1), keepdims=True)
        for k in range(count):
            da = np.ldexp(swept.da[k], swept.exponent - top)
            summands = block.cell.summands(
                block.p, tape.caches[steps][k], da, before[k], after[k], tape.x[steps][k]
            )
            for name, each in summands.items():
                value = np.concatenate([_product(*s[1:]) for s in each], axis=-2)
                self._add((block.layer, block.direction, name), Scaled((value,), top))

    def _add(self, key: tuple[int, int, str], term: Scaled) -> None:
        if key not in self.sums:
            self.sums[key] = term.normalised()
            return
        top = np.maximum(self.sums[key].exponent, term.exponent)
        total = self.sums[key].at(top).parts[0] + term.at(top).parts[0]
        self.sums[key] = Scaled((total,), top)

    def inputs(self, first: int, dx: Scaled) -> None:
        """Parameters do not depend on ∂L/∂x."""


def _product(form: str, left: Array, right: Array | None) -> Array:
    """left ⊗ right, summed over columns: ``(nets, rows, cols)``."""
    if right is not None and form == "outer":
        outer: Array = left @ right.swapaxes(-1, -2)
        return outer
    each = left if right is None else left * right
    total: Array = np.sum(each, axis=-1, keepdims=True)
    return total
