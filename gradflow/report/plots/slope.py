"""Decades per step: of each cell, or along a swept axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradflow.report.plots.data import HIGH, LOW, Band
from gradflow.report.plots.frame import figure
from gradflow.report.plots.layout import Hue, by_cell, hue, longest, panels
from gradflow.report.plots.style import GREY, literal
from gradflow.report.records import quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

LABEL = "decades per step"


def draw(bands: Sequence[Band], state: str, x: str) -> Figure:
    """Draw the slopes of the longest sequences: against a numeric axis, or a row for each cell."""
    bands = longest(bands)
    axis = hue(bands)
    notes = [f"slope of log10 of the norm of ∂L/∂{state} per step back", _lengths(bands)]
    if len(axis.numbers) > 1:
        shown = by_cell(bands)
        made, left_out = panels(bands, {"cell", "length", axis.axis})
        return figure(
            made, lambda ax, one: _along(ax, one.bands, axis, shown), shown, [*notes, left_out]
        )
    made, left_out = panels(bands, {"length", axis.axis or "cell"})
    rows = max(len({axis.key(band) for band in one.bands}) for one in made)
    return figure(
        made,
        lambda ax, one: _by_row(ax, one.bands, axis),
        None,
        [*notes, left_out],
        height=0.55 + 0.17 * rows,
    )


def _along(ax: Axes, bands: Sequence[Band], axis: Hue, shown: Hue) -> list[str]:
    """Draw slope against the value of a swept axis: median and band over seeds, by cell."""
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
    several = False
    for cell in shown.keys:
        mine = [b for b in bands if b.cell == cell and b.slopes.size]
        mine.sort(key=lambda band: axis.numbers[axis.keys.index(axis.key(band))])
        along = [axis.numbers[axis.keys.index(axis.key(band))] for band in mine]
        low, median, high = ([float(quantile(b.slopes, q)) for b in mine] for q in (LOW, 0.5, HIGH))
        line = shown.line(cell)
        ax.fill_between(along, low, high, color=line["color"], alpha=0.16, linewidth=0)
        ax.plot(along, median, marker="o", ms=2.5, **line)
        several |= any(b.slopes.size > 1 for b in mine)
    ax.set_xlabel(literal(axis.title))
    ax.set_ylabel(LABEL)
    return ["median and 10–90 % of the seeds"] if several else []


def _by_row(ax: Axes, bands: Sequence[Band], axis: Hue) -> list[str]:
    """Draw a row for each cell or setting: every seed, their median and 10–90 % range."""
    ax.axvline(0, color=GREY, linewidth=0.5, zorder=0.5)
    keys = [key for key in axis.keys if any(axis.key(band) == key for band in bands)]
    several = False
    for band in bands:
        row = keys.index(axis.key(band))
        if not band.slopes.size:
            continue
        colour = axis.line(axis.key(band))["color"]
        low, median, high = (float(quantile(band.slopes, q)) for q in (LOW, 0.5, HIGH))
        ax.plot([low, high], [row, row], color=colour, linewidth=2.4, alpha=0.35)
        rows = np.full(band.slopes.size, row)
        ax.plot(band.slopes, rows, "o", ms=3, mew=0, color=colour, alpha=0.6)
        ax.plot(median, row, "|", ms=8, mew=1.6, color=colour)
        several |= band.slopes.size > 1
    ax.set_yticks(range(len(keys)), [literal(key) for key in keys])
    ax.set_ylim(len(keys) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(LABEL)
    return ["each seed, their median and 10–90 %"] if several else []


def _lengths(bands: Sequence[Band]) -> str:
    lengths = sorted({band.length for band in bands})
    return f"T = {', '.join(map(str, lengths))}"
