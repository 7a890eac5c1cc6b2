"""What colour tells apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gradflow.report.figures.spots import Spot, varying
from gradflow.report.figures.style import COLOURS, DASHES, ramp
from gradflow.report.format import axis_names

__all__ = ["Hue", "by_cell", "hue"]


@dataclass(frozen=True)
class Hue:
    """What the colour of a line stands for.

    Parameters
    ----------
    axis : str
        Dotted path of a swept axis, or ``cell``, ``layer``, ``direction``.
    title : str
        The axis in words; empty for the cell, whose names need none.
    keys : tuple of str
        The values, written out, in the order of the sweep.
    numbers : tuple of float
        The values as numbers where all are, for a colour map; else empty.
    """

    axis: str
    title: str
    keys: tuple[str, ...]
    numbers: tuple[float, ...] = ()

    def key(self, spot: Spot) -> str:
        """Return the value at a spot."""
        return str(spot.at(self.axis))

    def line(self, key: str) -> dict[str, Any]:
        """Return colour and dashes of a value."""
        i = self.keys.index(key)
        if self.numbers:
            colours, scale = ramp(self.numbers)
            return {"color": colours(scale(self.numbers[i])), "linestyle": "-"}
        return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def hue(spots: Sequence[Spot]) -> Hue:
    """Choose what colour stands for: of swept axes and cell what has the most values.

    Where neither varies it is the layer, then the direction. More values than there are colours
    are left to panels, unless they are numbers and have a colour map.
    """
    kinds = [_of(spots, dim) for dim in (*varying(spots), "cell")]
    fit = [one for one in kinds if one.numbers or len(one.keys) <= len(COLOURS)]
    best = max(fit or kinds[-1:], key=lambda one: len(one.keys))
    if len(best.keys) > 1 or len(kinds) > 1:
        return best
    places = [_of(spots, dim) for dim in ("layer", "direction")]
    return next((one for one in places if len(one.keys) > 1), best)


def by_cell(spots: Sequence[Spot], inside: Collection[str] = ()) -> Hue:
    """Let colour stand for the cell; where there is but one, for layer or direction."""
    kinds = [_of(spots, dim) for dim in ("cell", "layer", "direction") if dim not in inside]
    return next((one for one in kinds if len(one.keys) > 1), kinds[0])


def _of(spots: Sequence[Spot], dim: str) -> Hue:
    keys = tuple(dict.fromkeys(str(spot.at(dim)) for spot in spots))
    if dim == "layer":
        keys = tuple(sorted(keys, key=int))
        return Hue(dim, dim, keys, tuple(map(float, keys)))
    if "." not in dim and dim not in spots[0].axes:
        return Hue(dim, "" if dim == "cell" else dim, keys)
    values = {spot.value(dim): spot.axes.get(dim) for spot in spots}
    numeric = [v for v in values.values() if isinstance(v, int | float) and type(v) is not bool]
    numbers = tuple(map(float, numeric)) if len(numeric) == len(values) else ()
    return Hue(dim, axis_names(varying(spots)).get(dim, dim), tuple(values), numbers)
