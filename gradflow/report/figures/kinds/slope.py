"""Decades per step: of each cell, or along a swept axis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.margins import LINE, ruler
from gradflow.report.figures.panels import facets
from gradflow.report.figures.scales import BAND
from gradflow.report.figures.sites import at_greatest_length
from gradflow.report.figures.style import GREY, Hue, by_cell, hue, literal
from gradflow.report.figures.traces import Curve, norm_curves
from gradflow.report.format import wrap
from gradflow.report.read.bands import band, finite_range
from gradflow.report.read.records import default_state

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "gather"]

LABEL = "decades per step"

WIDEST = 1.3
"""How wide the names of rows may be before they are broken, in inches for text of 8 points."""

TICKS = 4
"""Values of an axis that can all be written below it."""


def gather(run: Run) -> dict[str, list[Curve]]:
    """Read the slopes of every state: of a sum of losses, those of the last one alone."""
    default_state(run)
    return norm_curves(run, alone=True)


def draw(found: Sequence[Curve], state: str, setup: Setup) -> Figure:
    """Draw the slopes of the longest sequences: against a numeric axis, or a row for each cell."""
    found = at_greatest_length(found)
    axis = hue(found, setup.cells)
    notes = [f"slope of log10 of the norm of ∂L/∂{state} per step back"]
    if axis.axis != "layer" and len(axis.numbers) > 2:
        shown = by_cell(found, {axis.axis}, setup.cells)
        grid = facets(found, {shown.axis, axis.axis, "length"})
        ends = _reach(found, [])
        return figure(
            setup, grid, lambda ax, one: _along(ax, one.sites, axis, shown, ends), shown, notes
        )
    axis = by_cell(found, cells=setup.cells) if len({one.cell for one in found}) > 1 else axis
    grid = facets(found, {"length", axis.axis})
    rows = max(_tall({axis.key(site) for site in one.sites}) for one in grid.panels)
    ends = _reach(found, [float(slope) for one in found for slope in one.slopes])
    return figure(
        setup,
        grid,
        lambda ax, one: _by_row(ax, one.sites, axis, ends),
        None,
        notes,
        height=0.4 + rows,
    )


def _broken(key: str) -> list[str]:
    return wrap(key, WIDEST, ruler(7.0))


def _tall(keys: Collection[str]) -> float:
    """Return the height in inches of rows that have these names."""
    return len(keys) * max(0.17, *(len(_broken(key)) * 7.0 * LINE for key in keys))


def _reach(found: Sequence[Curve], more: Sequence[float]) -> tuple[float, float]:
    """Return where all panels begin and end: around zero and what is drawn."""
    fits = [band(one.slopes) for one in found if one.slopes.size]
    low, high = finite_range([np.array([0.0, *more]), *fits])
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _along(
    ax: Axes, found: Sequence[Curve], axis: Hue, shown: Hue, ends: tuple[float, float]
) -> list[str]:
    """Draw slope against the value of a swept axis: median and band over seeds, by cell."""
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
    several = False
    for key in shown.keys:
        mine = [one for one in found if shown.key(one) == key and one.slopes.size]
        mine.sort(key=lambda one: axis.numbers[axis.keys.index(axis.key(one))])
        along = [axis.numbers[axis.keys.index(axis.key(one))] for one in mine]
        fits = [band(one.slopes) for one in mine]
        line = shown.line(key)
        low, high = [fit.low for fit in fits], [fit.high for fit in fits]
        ax.fill_between(
            along, low, high, color=line["color"], alpha=0.16, linewidth=0, label=BAND + key
        )
        ax.plot(along, [fit.median for fit in fits], marker="o", ms=2.5, label=key, **line)
        several |= any(one.slopes.size > 1 for one in mine)
    first, last = min(axis.numbers), max(axis.numbers)
    ax.set_xlim(first - 0.04 * (last - first), last + 0.04 * (last - first))
    if len(axis.numbers) <= TICKS:
        ax.set_xticks(axis.numbers, [literal(key) for key in axis.keys])
    ax.set_ylim(ends)
    ax.set_xlabel(literal(axis.title))
    ax.set_ylabel(LABEL)
    return ["median and 10–90 % of the seeds"] if several else []


def _by_row(ax: Axes, found: Sequence[Curve], axis: Hue, ends: tuple[float, float]) -> list[str]:
    """Draw a row for each cell or setting: every seed, their median and 10–90 % range."""
    ax.axvline(0, color=GREY, linewidth=0.5, zorder=0.5)
    keys = [key for key in axis.keys if any(axis.key(one) == key for one in found)]
    several = False
    for one in found:
        row = keys.index(axis.key(one))
        if not one.slopes.size:
            continue
        colour = axis.line(axis.key(one))["color"]
        fit = band(one.slopes)
        ax.plot([fit.low, fit.high], [row, row], color=colour, linewidth=2.4, alpha=0.35)
        rows = np.full(one.slopes.size, row)
        ax.plot(one.slopes, rows, "o", ms=3, mew=0, color=colour, alpha=0.6)
        ax.plot(fit.median, row, "|", ms=8, mew=1.6, color=colour)
        several |= one.slopes.size > 1
    ax.set_yticks(range(len(keys)), [literal("\n".join(_broken(key))) for key in keys])
    ax.set_xlim(ends)
    ax.set_ylim(len(keys) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(LABEL)
    ax.set_ylabel(literal(axis.title))
    return ["each seed, their median and 10–90 %"] if several else []
