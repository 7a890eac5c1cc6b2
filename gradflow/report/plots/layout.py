"""What colour tells apart, and what has a panel of its own."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gradflow.report.format import axis_names
from gradflow.report.plots.data import Band
from gradflow.report.plots.style import COLOURS, DASHES, ramp

__all__ = ["Hue", "Panel", "by_cell", "hue", "longest", "panels", "varying"]

PANELS = 6
"""Panels in a figure, where lengths can be left out."""

MOST = 12
"""Panels in a figure in any case."""


@dataclass(frozen=True)
class Hue:
    """What the colour of a line stands for: the cell, or the value of a swept axis.

    Parameters
    ----------
    axis : str
        Dotted path of the axis; empty for the cell.
    title : str
        The axis in words.
    keys : tuple of str
        The values, written out, in the order of the sweep.
    numbers : tuple of float
        The values as numbers where all are, for a colour map; else empty.
    """

    axis: str
    title: str
    keys: tuple[str, ...]
    numbers: tuple[float, ...] = ()

    def key(self, band: Band) -> str:
        """Return the value at a band."""
        return band.value(self.axis) if self.axis else band.cell

    def line(self, key: str) -> dict[str, Any]:
        """Return colour and dashes of a value."""
        i = self.keys.index(key)
        if self.numbers:
            colours, scale = ramp(self.numbers)
            return {"color": colours(scale(self.numbers[i])), "linestyle": "-"}
        return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def hue(bands: Sequence[Band]) -> Hue:
    """Choose what colour stands for: the axis with the most values, or else the cell."""
    swept = varying(bands)
    if not swept:
        return by_cell(bands)
    axis = max(swept, key=lambda path: len({band.value(path) for band in bands}))
    values = {band.value(axis): band.axes.get(axis) for band in bands}
    numeric = [v for v in values.values() if isinstance(v, int | float) and type(v) is not bool]
    numbers = tuple(map(float, numeric)) if len(numeric) == len(values) else ()
    return Hue(axis, axis_names(swept)[axis], tuple(values), numbers)


def by_cell(bands: Sequence[Band]) -> Hue:
    """Let colour stand for the cell."""
    return Hue("", "", tuple(dict.fromkeys(band.cell for band in bands)))


def varying(bands: Sequence[Band]) -> list[str]:
    """Return the swept axes, other than cell and length, with more than one value."""
    paths = dict.fromkeys(path for band in bands for path in band.axes)
    return [path for path in paths if len({band.value(path) for band in bands}) > 1]


@dataclass(frozen=True)
class Panel:
    """Bands that share a pair of axes."""

    title: str
    bands: tuple[Band, ...]


def panels(bands: Sequence[Band], inside: Collection[str]) -> tuple[list[Panel], str]:
    """Split bands by all that is not told apart `inside` a panel.

    Parameters
    ----------
    bands : sequence of Band
        Of one state.
    inside : collection of str
        ``cell``, ``length`` or dotted paths of swept axes.

    Returns
    -------
    panels : list of Panel
        At most `PANELS`, where leaving out lengths can do it, and `MOST` in any case.
    note : str
        What was left out, in words; empty if nothing was.
    """
    lengths = [] if "length" in inside else sorted({band.length for band in bands})
    axes = [path for path in varying(bands) if path not in inside]
    cells = "cell" not in inside and len({band.cell for band in bands}) > 1
    names = axis_names(axes)

    def other(band: Band) -> tuple[str, ...]:
        parts = [band.cell] if cells else []
        parts += [f"{names[path]} {band.value(path)}" for path in axes]
        return tuple(filter(None, [*parts, _place(band, bands)]))

    others = list(dict.fromkeys(map(other, bands)))
    notes = []
    if len(others) > MOST:
        notes.append(f"{MOST} of {len(others)} panels")
        others = _spread(others, MOST)
    chosen = _spread(lengths, max(1, PANELS // len(others)))
    if len(chosen) < len(lengths):
        some = f"{len(chosen)} of" if len(chosen) > 1 else "the longest of"
        notes.append(f"{some} {len(lengths)} lengths")
    found = []
    for key, length in itertools.product(others, chosen or [None]):
        within = tuple(b for b in bands if other(b) == key and length in (None, b.length))
        if within:
            title = [*key, *([] if length is None else [f"T = {length}"])]
            found.append(Panel(", ".join(title), within))
    return found, "; ".join(notes)


def longest(bands: Sequence[Band]) -> list[Band]:
    """Keep, of bands equal in all but length, the one of the greatest."""
    best: dict[object, Band] = {}
    for band in bands:
        key = (band.cell, band.place, *(band.value(path) for path in band.axes))
        if key not in best or band.length > best[key].length:
            best[key] = band
    return list(best.values())


def _place(band: Band, bands: Sequence[Band]) -> str:
    layers = len({other.place[0] for other in bands}) > 1
    directions = len({other.place[1] for other in bands}) > 1
    parts = [f"layer {band.place[0]}"] if layers else []
    return " ".join([*parts, band.place[1]] if directions else parts)


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """Choose `most` items evenly, the first and the last among them; a single one is the last."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
