"""What is recorded along time: at which steps, and the arrays that fill up as blocks go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import SERIES, Quantity
from gradflow.core.typing import Array

__all__ = ["Every", "Series", "Timeline", "recorded_steps"]

Every: TypeAlias = int | str
"""A stride, or ``log``: about 20 lags per decade."""


def recorded_steps(length: int, every: Every = 1, ends: Sequence[int] = ()) -> Array:
    """Steps 0..length of which something is kept, counted from each of the `ends`.

    Steps 0 and `length` always belong to them, and so do the ends: where error sets out, step
    `length` if none is given.
    """
    kept = [np.array([0, length])]
    for end in ends or (length,):
        if every == "log":
            back, on = _about_20_a_decade(end), _about_20_a_decade(length - end)
            kept += [end - back, end + on]
        else:
            kept.append(np.arange(end % int(every), length + 1, int(every)))
    return np.unique(np.concatenate(kept))


def _about_20_a_decade(farthest: int) -> Array:
    """Distances from 0 to at most `farthest`, even on a logarithmic scale."""
    count = max(1, int(np.ceil(20 * np.log10(farthest + 1))))
    return np.unique(np.round(np.geomspace(1, farthest + 1, count)).astype(np.int64)) - 1


@dataclass(frozen=True)
class Timeline:
    """What recordings along time have in common: the unrollings, and the steps that are kept.

    Parameters
    ----------
    net : Network
        The network that is observed.
    loss : Loss
        Lags are counted back from its last step.
    lengths : sequence of int
        All lengths that run together.
    nets, columns : int
        How many independent nets and sequences there are.
    every : int or "log"
        Which steps.
    grid : array, optional
        The steps themselves, in place of `every`; of each length those that it has.
    own_lengths : array of int, optional
        Where each sequence ends. Nothing is recorded of it after that (NaN), and its lags are
        counted from its own last loss step.
    losses : mapping of int to array, optional
        By length, the first and the last step at which the loss of each sequence counts,
        ``(2, columns or 1)``, see `Loss.ends`; lags are then counted from these.
    """

    net: Network
    loss: Loss
    lengths: Sequence[int]
    nets: int
    columns: int
    every: Every = 1
    grid: Array | None = None
    own_lengths: Array | None = None
    losses: Mapping[int, Array] | None = None

    def ends(self, length: int) -> tuple[int, ...]:
        """The last loss step in each direction's own time; where there is no loss, the end."""
        first, last = self.loss.span(length)
        if not last:
            return (length,) * len(self.net.directions)
        if self.loss.at == "ends" and self.net.layers[-1].bidirectional:
            first = 1
        return (last, length + 1 - first)[: len(self.net.directions)]

    def steps(self, length: int, first: int = 0) -> Array:
        """The recorded steps first..length of an unrolling, both ends included."""
        if self.grid is not None:
            return self.grid[(self.grid >= first) & (self.grid <= length)]
        own = {length} if self.own_lengths is None else {*self.own_lengths.tolist(), length}
        each = [recorded_steps(n, self.every, self.ends(n)) for n in own]
        return np.unique(np.maximum(np.concatenate(each), first))

    def lags(self, length: int, steps: Array) -> Array:
        """Steps back from the last loss step, ``(directions, steps)``.

        Where sequences end apart ``(directions, sequences, steps)``.
        """
        if self.own_lengths is None and self.losses is None:
            return np.stack([end - steps for end in self.ends(length)])
        own = self.each_length(length)
        ends = np.array([self.ends(int(n)) for n in own]).T
        if self.losses is not None:
            first, last = self.losses[length]
            each = np.stack([last + 0 * own, own + 1 - first])[: len(ends)]
            ends = np.where(last, each, own)
        together = self.own_lengths is None and bool((ends == ends[:, :1]).all())
        return ends[:, :1] - steps if together else ends[:, :, None] - steps

    def each_length(self, length: int) -> Array:
        """Where each sequence ends, ``(columns,)``."""
        return np.full(self.columns, length) if self.own_lengths is None else self.own_lengths

    def count(self, length: int) -> int:
        """The number of recorded steps 0..length, which are not made for it."""
        if self.grid is not None or not isinstance(self.every, int) or self.own_lengths is not None:
            return len(self.steps(length))
        ends, every = self.ends(length), self.every
        strides = {end % every for end in ends}
        apart = {step for step in (0, length) if step % every not in strides}
        return sum((length - stride) // every + 1 for stride in strides) + len(apart)

    def existing(self, layers: Sequence[int]) -> Array:
        """Which of some layers has which direction, ``(layers, directions)``."""
        each = [self.net.layers[k].directions for k in layers]
        return np.array([[way in own for way in self.net.directions] for own in each])


class Series:
    """One number for each net, layer, direction, sequence and recorded step, of each length.

    Parameters
    ----------
    timeline : Timeline
        Whose, and at which steps.
    name, unit : str
        As in `Quantity`.
    layers : sequence of int, optional
        The layers that have it; default all.
    gates : sequence of tuple of str, optional
        Those of each of the layers: labels of a further axis ``gate`` between direction and
        sequence.
    first : int
        The first step at which there is something: 0, or 1 for what belongs to an input.
    inputs : bool
        Whether it is of the network's inputs, which belong to no layer and to both directions.
    entries : sequence of int
        Of norms: how many numbers the vector has in each of the layers.
    """

    def __init__(
        self,
        timeline: Timeline,
        name: str,
        unit: str = "log10",
        *,
        layers: Sequence[int] | None = None,
        gates: Sequence[tuple[str, ...]] = (),
        first: int = 0,
        inputs: bool = False,
        entries: Sequence[int] = (),
    ) -> None:
        self.entries = tuple(entries)
        self.timeline, self.name, self.unit, self.inputs = timeline, name, unit, inputs
        self.lengths = sorted(timeline.lengths, reverse=True)
        self.steps = [timeline.steps(length, first) for length in self.lengths]
        every = range(1 if inputs else len(timeline.net.layers))
        self.layers = list(every if layers is None else layers)
        self.gates = tuple(dict.fromkeys(gate for own in gates for gate in own))
        self.exists = np.ones((1, 1), bool) if inputs else timeline.existing(self.layers)
        if gates:
            has = np.array([[gate in own for gate in self.gates] for own in gates])
            self.exists = self.exists[:, :, None] & has[:, None]
        nothing = np.where(self.exists, -np.inf if unit == "log10" else np.nan, np.nan)
        shape = (timeline.nets, *self.exists.shape, timeline.columns)
        self.values = [
            np.full((*shape, len(steps)), nothing[..., None, None]) for steps in self.steps
        ]
        if timeline.own_lengths is not None:
            for values, steps in zip(self.values, self.steps, strict=True):
                values[..., steps > timeline.own_lengths[:, None]] = np.nan

    def put(self, place: tuple[int, ...], first: int, values: Array) -> None:
        """Keep the recorded ones of the steps first, first + 1, ….

        Parameters
        ----------
        place : tuple of int
            Layer, direction and, where there is that axis, the gate's index.
        first : int
            The direction's own time of the first of the values.
        values : array
            ``(steps, [lengths,] nets, columns)``; without an axis of lengths they hold for all.
        """
        several, (layer, *rest) = values.ndim == 4, place
        for j in range(values.shape[1] if several else len(self.lengths)):
            steps = self.steps[j]
            lo, hi = np.searchsorted(steps, [first, first + len(values)])
            if lo < hi:
                chosen: Array | slice = steps[lo:hi] - first
                if steps[hi - 1] - steps[lo] == hi - lo - 1:  # every step: nothing to gather
                    chosen = slice(steps[lo] - first, steps[hi - 1] - first + 1)
                own = values[chosen, j] if several else values[chosen]
                rows = np.moveaxis(self.values[j], 0, -3)[self.layers.index(layer), *rest]
                found = own.transpose(1, 2, 0)
                if (ends := self.timeline.own_lengths) is not None:
                    found = np.where(steps[lo:hi] <= ends[:, None], found, np.nan)
                rows[..., lo:hi] = found

    def quantity(self, net: int, length: int) -> Quantity:
        """Return what was recorded of one of the nets at one of the lengths."""
        index = self.lengths.index(length)
        lags = self.timeline.lags(length, self.steps[index])
        ways = self.timeline.net.directions
        if self.inputs:
            lags, ways = lags[:1], ("both",) if len(ways) > 1 else ways
        coords = {
            "layer": np.array(self.layers),
            "direction": np.array(ways),
            "step": self.steps[index],
            "lag": lags,
        }
        if lags.ndim > 2:
            coords["length"] = self.timeline.each_length(length)
        dims: tuple[str, ...] = SERIES
        if self.gates:
            dims = (*SERIES[:2], "gate", *SERIES[2:])
            coords["gate"] = np.array(self.gates)
        if self.entries:
            coords["entries"] = np.array(self.entries)
        if not self.exists.all():
            coords["exists"] = self.exists
        return Quantity(self.name, dims, self.values[index][net].copy(), coords, self.unit)
