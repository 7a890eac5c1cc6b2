"""A quantity along time that fills up as blocks go by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import SERIES, Quantity
from gradflow.core.record.track import Every, Track, existing, recorded_steps, time_axes
from gradflow.core.typing import Array

__all__ = ["Series"]


class Series:
    """One number for each net, layer, direction, sequence and recorded step, of each length.

    Parameters
    ----------
    name, unit : str
        As in `Quantity`.
    net : Network
        The network that is observed.
    lengths : sequence of int
        All lengths that run together.
    nets, columns : int
        How many independent nets and sequences there are.
    every : int or "log"
        Which steps.
    layers : sequence of int, optional
        The layers that have it; default all.
    gates : sequence of tuple of str, optional
        Those of each of the layers: labels of a further axis ``gate`` between direction and
        sequence.
    first : int
        The first step at which there is something: 0, or 1 for what belongs to an input.
    """

    def __init__(
        self,
        name: str,
        unit: str,
        net: Network,
        lengths: Sequence[int],
        nets: int,
        columns: int,
        every: Every = 1,
        *,
        layers: Sequence[int] | None = None,
        gates: Sequence[tuple[str, ...]] = (),
        first: int = 0,
    ) -> None:
        self.name, self.unit, self.net = name, unit, net
        self.lengths = sorted(lengths, reverse=True)
        self.layers = list(range(len(net.layers))) if layers is None else list(layers)
        self.gates = tuple(dict.fromkeys(gate for own in gates for gate in own))
        self.exists = existing(net, self.layers)
        if gates:
            has = np.array([[gate in own for gate in self.gates] for own in gates])
            self.exists = self.exists[:, :, None] & has[:, None]
        shape = (nets, *self.exists.shape, columns)
        empty = np.where(self.exists, -np.inf if unit == "log10" else np.nan, np.nan)[
            ..., None, None
        ]
        self.tracks: list[Track] = []
        for length in self.lengths:
            steps = recorded_steps(length, every)
            steps = steps[steps >= first]
            self.tracks.append(Track(steps, np.full((*shape, len(steps)), empty)))

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
        for j, track in enumerate(self.tracks[: values.shape[1]] if several else self.tracks):
            where, chosen = track.within(first, len(values))
            if len(chosen):
                own = values[chosen, j] if several else values[chosen]
                rows = np.moveaxis(track.values, 0, -3)[self.layers.index(layer), *rest]
                rows[..., where] = own.transpose(1, 2, 0)

    def quantity(self, net: int, length: int, loss: Loss) -> Quantity:
        """Return what was recorded of one of the nets at one of the lengths."""
        track = self.tracks[self.lengths.index(length)]
        coords = time_axes(self.net, self.layers, track.steps, length, loss)
        dims: tuple[str, ...] = SERIES
        if self.gates:
            dims = (*SERIES[:2], "gate", *SERIES[2:])
            coords["gate"] = np.array(self.gates)
        if not self.exists.all():
            coords["exists"] = self.exists
        return Quantity(self.name, dims, track.values[net].copy(), coords, self.unit)
