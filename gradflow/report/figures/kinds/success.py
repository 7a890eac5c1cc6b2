"""How many sequences nets read until they had learnt, against the length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.kinds.learning import Course, courses
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import decade_axis, length_axis
from gradflow.report.figures.sites import need_lengths, statistics
from gradflow.report.figures.style import GREY, hue
from gradflow.report.read.bands import finite_range, quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "gather"]


def gather(run: Run) -> dict[str, list[Course]]:
    """Read how nets learned.

    Raises
    ------
    UserError
        If all have one length.
    """
    found = courses(run)
    need_lengths("success", found, example="[10, 20, 40]")
    return {"success": found}


def draw(found: Sequence[Course], _: str, setup: Setup) -> Figure:
    """Draw the sequences until the criterion was met against the length, by cell or swept axis."""
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis, "length"})
    lengths = sorted({one.length for one in found})
    ranges = common_ranges(grid, _extent)
    failed = any(np.isnan(site.learnt).all() for site in found)

    def panel(ax: Axes, one: Panel[Course]) -> list[str]:
        keys = list(dict.fromkeys(shown.key(site) for site in one.sites))
        decade_axis(ax, *ranges[one])
        rows = _rows_above(ax, len(shown.keys)) if failed else np.zeros(len(shown.keys))
        length_axis(ax, lengths)
        ax.set_ylabel("sequences read")
        ax.set_xlabel("length $T$")
        for row, key in zip(rows, keys, strict=False):
            mine = sorted((s for s in one.sites if shown.key(s) == key), key=lambda s: s.length)
            _reached(ax, mine, shown.line(key) | {"label": key}, row)
        some = any(np.isnan(site.learnt).any() for site in one.sites)
        return ["open: not all seeds"] if some else []

    notes = [statistics(found, "median of those that did, and each")]
    return figure(setup, grid, panel, shown, notes)


def _extent(sites: Sequence[Course]) -> tuple[float, float]:
    """The decades of sequences to the criterion; where no net met it, those that nets read."""
    reached = [_sequences(site) for site in sites]
    if all(np.isnan(own).all() for own in reached):
        reached = [np.log10(site.update[[0, -1]] * site.batch) for site in sites]
    return finite_range(reached)


def _sequences(site: Course) -> Array:
    """log10 of the sequences to the criterion, NaN where it was not met."""
    return np.log10(site.learnt * site.batch)


def _rows_above(ax: Axes, rows: int) -> Array:
    """Make room above the numbers for where no net has learnt; return the heights of its rows."""
    low, high = ax.get_ylim()
    row = 0.07 * (high - low)
    ax.yaxis.set_major_locator(FixedLocator([at for at in ax.get_yticks() if low <= at <= high]))
    ax.set_ylim(low, high + row * (rows + 0.5))
    ax.axhline(high, color=GREY, linewidth=0.5)
    ax.annotate(
        "none", (0, high + row * (rows + 0.5) / 2), (-4, 0), xycoords=ax.get_yaxis_transform(),
        textcoords="offset points", ha="right", va="center", fontsize="small",
    )  # fmt: skip
    return high + row * (rows - 0.25 - np.arange(rows))


def _reached(ax: Axes, sites: Sequence[Course], line: dict[str, Any], row: float) -> None:
    """Draw one line through the lengths at which any net has learnt, and where none has."""
    lengths = np.array([site.length for site in sites])
    each = [_sequences(site) for site in sites]
    for length, own in zip(lengths, each, strict=True):
        ax.plot(np.full(own.size, length), own, "o", ms=1.5, color=line["color"], alpha=0.5)
    some = np.array([not np.isnan(own).all() for own in each])
    every = np.array([not np.isnan(own).any() for own in each])
    medians = np.array([quantile(own, 0.5) for own in each])
    ax.plot(lengths[some], medians[some], **line)
    for which, face in ((every, line["color"]), (some & ~every, "white")):
        ax.plot(
            lengths[which], medians[which], "o", ms=4, color=line["color"], markerfacecolor=face
        )
    none = lengths[~some]
    ax.plot(none, np.full(none.size, row), "x", ms=4, color=line["color"])
