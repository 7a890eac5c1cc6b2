"""Decades per step: of each cell, or along a swept axis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradflow.report.figures.data import HIGH, LOW, Band
from gradflow.report.figures.facets import facets
from gradflow.report.figures.frame import figure
from gradflow.report.figures.hues import Hue, by_cell, hue
from gradflow.report.figures.spots import longest
from gradflow.report.figures.style import GREY, literal
from gradflow.report.figures.text import LINE, ruler
from gradflow.report.format import wrap
from gradflow.report.read.bands import quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

LABEL = "decades per step"

SIZE = 7.0
"""Of the names of rows, in points."""

WIDEST = 1.3
"""How wide the names of rows may be, in inches, before they are broken."""

TICKS = 4
"""Values of an axis that can all be written below it."""


def draw(bands: Sequence[Band], state: str, x: str) -> Figure:
    """Draw the slopes of the longest sequences: against a numeric axis, or a row for each cell."""
    bands = longest(bands)
    axis = hue(bands)
    notes = [f"slope of log10 of the norm of ∂L/∂{state} per step back"]
    if axis.axis != "layer" and len(axis.numbers) > 2:
        shown = by_cell(bands, {axis.axis})
        grid = facets(bands, {shown.axis, axis.axis, "length"})
        ends = _reach(bands, [])
        return figure(grid, lambda ax, one: _along(ax, one.spots, axis, shown, ends), shown, notes)
    axis = by_cell(bands) if len({band.cell for band in bands}) > 1 else axis
    grid = facets(bands, {"length", axis.axis})
    rows = max(_tall({axis.key(band) for band in one.spots}) for one in grid.panels)
    ends = _reach(bands, [float(slope) for band in bands for slope in band.slopes])
    return figure(
        grid,
        lambda ax, one: _by_row(ax, one.spots, axis, ends),
        None,
        notes,
        height=0.4 + rows,
    )


def _broken(key: str) -> list[str]:
    return wrap(key, WIDEST, ruler(SIZE))


def _tall(keys: Collection[str]) -> float:
    """Return the height in inches of rows that have these names."""
    return len(keys) * max(0.17, *(len(_broken(key)) * SIZE * LINE for key in keys))


def _reach(bands: Sequence[Band], more: Sequence[float]) -> tuple[float, float]:
    """Return where all panels begin and end: around zero and what is drawn."""
    fits = [band.slopes for band in bands if band.slopes.size]
    drawn = [0.0, *more, *(float(quantile(one, q)) for one in fits for q in (LOW, HIGH))]
    low, high = min(drawn), max(drawn)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _along(
    ax: Axes, bands: Sequence[Band], axis: Hue, shown: Hue, ends: tuple[float, float]
) -> list[str]:
    """Draw slope against the value of a swept axis: median and band over seeds, by cell."""
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
    several = False
    for key in shown.keys:
        mine = [b for b in bands if shown.key(b) == key and b.slopes.size]
        mine.sort(key=lambda band: axis.numbers[axis.keys.index(axis.key(band))])
        along = [axis.numbers[axis.keys.index(axis.key(band))] for band in mine]
        low, median, high = ([float(quantile(b.slopes, q)) for b in mine] for q in (LOW, 0.5, HIGH))
        line = shown.line(key)
        ax.fill_between(along, low, high, color=line["color"], alpha=0.16, linewidth=0)
        ax.plot(along, median, marker="o", ms=2.5, **line)
        several |= any(b.slopes.size > 1 for b in mine)
    first, last = min(axis.numbers), max(axis.numbers)
    ax.set_xlim(first - 0.04 * (last - first), last + 0.04 * (last - first))
    if len(axis.numbers) <= TICKS:
        ax.set_xticks(axis.numbers, [literal(key) for key in axis.keys])
    ax.set_ylim(ends)
    ax.set_xlabel(literal(axis.title))
    ax.set_ylabel(LABEL)
    return ["median and 10–90 % of the seeds"] if several else []


def _by_row(ax: Axes, bands: Sequence[Band], axis: Hue, ends: tuple[float, float]) -> list[str]:
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
    ax.set_yticks(range(len(keys)), [literal("\n".join(_broken(key))) for key in keys])
    ax.set_xlim(ends)
    ax.set_ylim(len(keys) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(LABEL)
    ax.set_ylabel(literal(axis.title))
    return ["each seed, their median and 10–90 %"] if several else []
