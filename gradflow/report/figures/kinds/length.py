"""What is left at the far end: norm of the oldest recorded step against the length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from gradflow.errors import UserError
from gradflow.report.figures.data import Band
from gradflow.report.figures.facets import Panel, common_ranges, facets
from gradflow.report.figures.frame import figure
from gradflow.report.figures.hues import Hue, hue
from gradflow.report.figures.spots import statistics
from gradflow.report.figures.style import decade_axis, length_axis, limits, norm_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]


def draw(bands: Sequence[Band], state: str, x: str) -> Figure:
    """Draw the norm at the far end against the length, coloured by cell or swept axis."""
    lengths = sorted({band.length for band in bands})
    if len(lengths) < 2:
        raise UserError(
            f"kind length needs more than one length; this run has {lengths[0]} only\n"
            f"  fix: sweep it, for example  length: [16, 64, 256]"
        )
    shown = hue(bands)
    grid = facets(bands, {shown.axis, "length"})
    ranges = common_ranges(grid, _range)

    def panel(ax: Axes, one: Panel[Band]) -> list[str]:
        ax.set_ylabel(f"{norm_label(state)} at the far end")
        ax.set_xlabel("length $T$")
        return _far_ends(ax, one.spots, shown, lengths, ranges[one])

    return figure(grid, panel, shown, [statistics(bands)])


def _range(bands: Sequence[Band]) -> tuple[float, float]:
    ends = np.array([[0.0, b.low[-1], b.median[-1], b.high[-1]] for b in bands])
    finite = ends[np.isfinite(ends)]
    return float(finite.min()), float(finite.max())


def _far_ends(
    ax: Axes,
    bands: Sequence[Band],
    shown: Hue,
    lengths: Sequence[int],
    ends: tuple[float, float],
) -> list[str]:
    low, high = ends
    decade_axis(ax, low, high)
    length_axis(ax, lengths)
    notes = limits(ax)
    floor = low - (high - low) - 4
    for key in dict.fromkeys(shown.key(band) for band in bands):
        mine = [b for b in bands if shown.key(b) == key]
        mine.sort(key=lambda band: band.length)
        along = [band.length for band in mine]
        line = shown.line(key)
        ax.fill_between(
            along,
            [max(band.low[-1], floor) for band in mine],
            [max(band.high[-1], floor) for band in mine],
            color=line["color"],
            alpha=0.16,
            linewidth=0,
        )
        medians = np.array([band.median[-1] for band in mine])
        ax.plot(along, np.maximum(medians, floor), marker="o", ms=2.5, **line)
        dead = [length for length, y in zip(along, medians, strict=True) if y == -np.inf]
        if dead:
            ax.plot(
                dead,
                len(dead) * [ax.get_ylim()[0]],
                "x",
                ms=4,
                color=line["color"],
                clip_on=False,
            )
            notes.append("×: exactly 0")
    return notes
