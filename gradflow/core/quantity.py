"""What a measurement returns: an array that knows its axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gradflow.core.typing import Array

__all__ = ["SERIES", "Quantity", "Result"]

SERIES = ("layer", "direction", "sequence", "step")
"""The axes of a norm recorded along time."""


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
        ``exists``, over the first axes, says which layers have which directions and gates, where
        not all have all: elsewhere the values are NaN.
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

    def exists(self, *index: int) -> bool:
        """Whether the network has what stands at an index (see `coords`)."""
        mask = self.coords.get("exists")
        return mask is None or bool(mask[index[: mask.ndim]])


Result: TypeAlias = dict[str, Quantity]
"""Everything recorded at one point, by name."""
