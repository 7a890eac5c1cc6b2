"""Norm by lag and length: a panel for each cell, a row for each length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.report.figures.data import Band, finite_range
from gradflow.report.figures.facets import Panel, facets
from gradflow.report.figures.frame import figure
from gradflow.report.figures.scale import NOTHING, decades_bar, diverging
from gradflow.report.figures.style import norm_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

ZERO = "#000000"


def draw(bands: Sequence[Band], state: str, x: str) -> Figure:
    """Draw median norms: blue has vanished, white is as at the loss, red has exploded."""
    lengths = sorted({band.length for band in bands})
    if len(lengths) < 2:
        raise UserError(
            f"kind heatmap needs more than one length; this run has {lengths[0]} only\n"
            f"  fix: sweep it, for example  length: [16, 64, 256]"
        )
    grid = facets(bands, {"length"})
    low, high = finite_range(bands)
    scale, colours = diverging(low, high)
    colours = colours.with_extremes(bad=ZERO)

    def panel(ax: Axes, one: Panel[Band]) -> list[str]:
        ax.set_facecolor(NOTHING)
        dead = False
        for band in one.spots:
            row = lengths.index(band.length)
            alive = np.isfinite(band.median)
            ax.pcolormesh(
                _edges(band.lag),
                [row - 0.47, row + 0.47],
                np.where(alive, band.median, np.nan)[None],
                norm=scale,
                cmap=colours,
                rasterized=True,
            )
            dead |= not alive.all()
        _axes(ax, lengths)
        return ["black: exactly 0"] if dead else []

    rows = 0.5 + 0.12 * min(len(lengths), 12)
    bar = decades_bar(ScalarMappable(scale, colours), norm_label(state), low, high, grid.shape[0])
    notes = ["median; blue: vanished, white: 1, red: exploded, grey: no such step"]
    return figure(grid, panel, None, notes, height=rows, bar=bar)


def _axes(ax: Axes, lengths: Sequence[int]) -> None:
    ax.set_xscale("symlog", base=2, linthresh=1, linscale=0.6)
    ax.set_xlim(-0.5, lengths[-1] + 0.5)
    powers = [2**k for k in range(lengths[-1].bit_length())]
    every = -(-len(powers) // 5)
    ax.set_xticks([0, *powers[::-1][::every]])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(-0.5, len(lengths) - 0.5)
    every = -(-len(lengths) // 10)
    rows = range(len(lengths))[::-1][::every]
    ax.set_yticks(rows, [str(lengths[row]) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("lag (steps back from the last loss)")
    ax.set_ylabel("length $T$")


def _edges(lag: Array) -> Array:
    """Return the boundaries between neighbouring lags, and half a step around the outer ones."""
    between = (lag[1:] + lag[:-1]) / 2
    return np.concatenate([[lag[0] - 0.5], between, [lag[-1] + 0.5]])
