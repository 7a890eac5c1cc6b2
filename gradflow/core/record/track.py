"""Which steps are kept, and the arrays that take them in as blocks go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.typing import Array

__all__ = ["Every", "Track", "existing", "recorded_steps", "time_axes"]

Every: TypeAlias = int | str
"""A stride, or ``log``: about 20 lags per decade."""


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
class Track:
    """One length's rows of a series, filled as blocks go by."""

    steps: Array
    values: Array

    def within(self, first: int, count: int) -> tuple[slice, Array]:
        """Where the steps first, …, first + count − 1 go, and which of them are recorded."""
        lo, hi = np.searchsorted(self.steps, [first, first + count])
        return slice(int(lo), int(hi)), self.steps[lo:hi] - first


def time_axes(
    net: Network, layers: Sequence[int], steps: Array, length: int, loss: Loss
) -> dict[str, Array]:
    """Coordinates of a series of some layers along a direction's own time, see `Quantity`."""
    at = loss.steps(length)
    last = {"forward": int(at[-1]), "backward": length + 1 - int(at[0])}
    axes = {
        "layer": np.array(layers),
        "direction": np.array(net.directions),
        "step": steps,
        "lag": np.stack([last[way] - steps for way in net.directions]),
    }
    exists = existing(net, layers)
    return axes if exists.all() else axes | {"exists": exists}


def existing(net: Network, layers: Sequence[int]) -> Array:
    """Which of some layers has which direction, ``(layers, directions)``."""
    return np.array([[way in net.layers[k].directions for way in net.directions] for k in layers])
