"""Norm by lag and length, or by lag and gain: a panel for each cell, a row for each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, facets
from gradflow.report.figures.scales import NOTHING, decades_bar, diverging, edges
from gradflow.report.figures.sites import at_greatest_length, need_lengths
from gradflow.report.figures.style import Hue, literal, norm_label, swept_hues
from gradflow.report.figures.traces import Curve
from gradflow.report.read.bands import finite_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

ZERO = "#000000"

LEAST = 1.15
"""Inches of height that the panels have together at least: a colour bar stands beside them."""


def draw(found: Sequence[Curve], state: str, setup: Setup) -> Figure:
    """Draw median norms, a row for each length or value of a numeric axis, whichever are more."""
    rows = _rows(found)
    if rows.axis != "length":
        found = at_greatest_length(found)
    keys = list(rows.keys)
    grid = facets(found, {rows.axis, "length"})
    low, high = finite_range(one.trace for one in found)
    scale, colours = diverging(low, high)
    colours = colours.with_extremes(bad=ZERO)

    def panel(ax: Axes, one: Panel[Curve]) -> list[str]:
        ax.set_facecolor(NOTHING)
        dead = False
        for site in one.sites:
            row, trace = keys.index(rows.key(site)), site.trace
            alive = np.isfinite(trace.median)
            ax.pcolormesh(
                edges(trace.lag),
                [row - 0.47, row + 0.47],
                np.where(alive, trace.median, np.nan)[None],
                norm=scale,
                cmap=colours,
                rasterized=True,
            )
            dead |= not alive.all()
        _axes(ax, max(site.length for site in found), keys)
        ax.set_ylabel("length $T$" if rows.axis == "length" else literal(rows.title))
        return ["black: exactly 0"] if dead else []

    tall = max(0.5 + 0.12 * min(len(keys), 12), LEAST / grid.shape[0])
    bar = decades_bar(
        ScalarMappable(scale, colours), norm_label(state), low, high, grid.shape[0], tall
    )
    none = (
        "no such step" if len({site.place[0] for site in found}) == 1 else "no such step or layer"
    )
    notes = [f"median; blue: vanished, white: 1, red: exploded, grey: {none}"]
    return figure(setup, grid, panel, None, notes, height=tall, bar=bar)


def _rows(found: Sequence[Curve]) -> Hue:
    """Choose what the rows stand for: length, or the numeric axis that has more values.

    Raises
    ------
    UserError
        If there is neither.
    """
    lengths = sorted({one.length for one in found})
    numeric = [one for one in swept_hues(found) if len(one.numbers) > 1]
    most = max(numeric, key=lambda one: len(one.keys), default=None)
    if most is not None and len(most.keys) > len(lengths):
        return most
    need_lengths("heatmap", found)
    return Hue("length", "", tuple(map(str, lengths)))


def _axes(ax: Axes, longest: int, keys: Sequence[str]) -> None:
    ax.set_xscale("symlog", base=2, linthresh=1, linscale=0.6)
    ax.set_xlim(-0.5, longest + 0.5)
    powers = [2**k for k in range(longest.bit_length())]
    every = -(-len(powers) // 5)
    ax.set_xticks([0, *powers[::-1][::every]])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-0.5, len(keys) - 0.5)
    every = -(-len(keys) // 10)
    rows = range(len(keys))[::-1][::every]
    ax.set_yticks(rows, [keys[row] for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("lag (steps back from the last loss)")
