"""What a measurement returns, arrays that know their axes, and what theory says beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from gradflow.core.typing import Array

__all__ = ["MASKED", "SERIES", "Prediction", "Quantity", "Result", "loss_end"]

SERIES = ("layer", "direction", "sequence", "step")
"""The axes of a norm recorded along time."""

MASKED = ("layer", "direction", "gate")
"""The axes that not every net has all of: those of ``exists``."""


@dataclass(frozen=True)
class Quantity:
    """A recorded array with named axes.

    Parameters
    ----------
    name : str
        Its label: ``h``, ``c``, ``s``, ``x``, …
    dims : tuple of str
        One name for each axis of `values`. Norms along time have
        ``("layer", "direction", "sequence", "step")``.
    values : array
        The numbers, float64.
    coords : mapping of str to array
        Labels along axes. ``step`` is the direction's own time: how many inputs it has read, 0..T
        (for a backward direction step ``j`` is the original ``T + 1 − j``). ``lag``, shaped
        (direction, step), counts the steps back from the direction's own last loss step.
        Where sequences have lengths of their own, ``length`` (sequence,) says them, the lag is
        (direction, sequence, step), and values after a sequence's end are NaN. ``exists``, over the
        first axes, says which layers have which directions and gates, where not all have all:
        elsewhere the values are NaN.
    unit : str
        ``log10`` for norms, else what the numbers count.
    """

    name: str
    dims: tuple[str, ...]
    values: Array
    coords: Mapping[str, Array] = field(default_factory=dict)
    unit: str = "log10"

    def __post_init__(self) -> None:
        if len(self.dims) != self.values.ndim:
            raise ValueError(f"{self.name}: {self.values.ndim} axes, but dims {self.dims}")

    def exists(self, **index: int) -> bool:
        """Whether the network has what stands at an index along some axes (see `coords`)."""
        mask = self.coords.get("exists")
        if mask is None:
            return True
        at = [index[name] for name in MASKED if name in index]
        return bool(np.any(np.asarray(mask)[tuple(at[: mask.ndim])]))


Result: TypeAlias = dict[str, Quantity]
"""Everything recorded at one point, by name."""


@dataclass(frozen=True)
class Prediction:
    """The rate at which ‖∂L/∂s_k‖ changes per step back from the loss.

    Parameters
    ----------
    name : str
        Which theory.
    rate : float
        Decades per step back: negative where the gradient vanishes; −inf where nothing passes.
    kind : {"estimate", "upper bound"}
        How it compares with a measurement.
    applies : bool
        Whether the theory's assumptions hold here.
    note : str
        The assumptions; where they do not hold, why not.
    source : str
        Where the theory is from.
    error : float
        Standard error of the rate where it has been sampled, decades per step.
    """

    name: str
    rate: float
    kind: Literal["estimate", "upper bound"]
    applies: bool
    note: str
    source: str
    error: float = 0.0


def loss_end(norms: Quantity) -> int:
    """Where the last loss of the forward direction stands along the steps: norms after it are 0."""
    at = np.flatnonzero(np.atleast_2d(norms.coords.get("lag", -1))[0] == 0)
    return int(at[0]) if at.size else -1
