"""The ways back: what the carrousel brings, and what comes through gates and hidden state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import X, decades_over_steps, draw_trace, limits, whole_axis
from gradflow.report.figures.sites import statistics
from gradflow.report.figures.style import COLOURS, DASHES, GREY, Hue, hue, norm_label
from gradflow.report.figures.traces import Part, Traces, extent, none_recorded, traces
from gradflow.report.format import cell_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "gather"]

CARROUSEL: Part = ("path_carrousel", "")
GATES: Part = ("path_gates", "")
SHARE: Part = ("path_share", "")
COSINE: Part = ("path_cosine", "")

PARTS = {
    CARROUSEL: ("the carrousel alone", {"color": COLOURS[0], "linestyle": DASHES[0]}),
    GATES: ("gates and hidden state", {"color": COLOURS[1], "linestyle": DASHES[1]}),
}

LABELS = {
    "share": "share of the carrousel",
    "cosine": "cosine of the two parts",
}


def gather(run: Run) -> dict[str, list[Traces]]:
    """Read the parts, the carrousel's share and their cosine: a figure for each."""
    found = traces(run, [name for name, _ in (CARROUSEL, GATES, SHARE, COSINE)])
    if not found:
        raise none_recorded(run, "paths", "paths")
    figures = {"parts": found, "share": found}
    agreeing = [one for one in found if np.isfinite(one.of[COSINE].median).any()]
    return figures | ({"cosine": agreeing} if agreeing else {})


def draw(found: Sequence[Traces], name: str, setup: Setup) -> Figure:
    """Draw both parts, a panel for each cell; or their share or cosine, coloured by cell."""
    if name == "parts":
        return _parts(found, setup)
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis})

    def panel(ax: Axes, one: Panel[Traces]) -> list[str]:
        return _ratio(ax, one.sites, shown, name, setup.x)

    return figure(setup, grid, panel, shown, [statistics(found), _meaning(name)])


def _parts(found: Sequence[Traces], setup: Setup) -> Figure:
    grid = facets(found, ())
    ranges = common_ranges(grid, lambda sites: extent(sites, PARTS))

    def panel(ax: Axes, one: Panel[Traces]) -> list[str]:
        decades_over_steps(ax, ranges[one], setup.x, f"parts of {norm_label('c')}")
        notes = limits(ax)
        for key, (label, line) in PARTS.items():
            trace = one.sites[0].of[key]
            notes += draw_trace(ax, trace, setup.x, line, label)
            if np.isneginf(trace.median).all():
                notes.append(f"{cell_name(one.sites[0].cell)}: nothing comes through gates")
        return notes

    keys = [(Line2D([], [], **line), label) for label, line in PARTS.values()]
    meaning = "c is the cell state, or h where there is no other"
    return figure(setup, grid, panel, notes=[statistics(found), meaning], keys=keys)


def _ratio(ax: Axes, sites: Sequence[Traces], shown: Hue, name: str, x: str) -> list[str]:
    """Draw numbers between −1 or 0 and 1."""
    for one in sites:
        key = shown.key(one)
        draw_trace(ax, one.of[f"path_{name}", ""], x, shown.line(key), key)
    if name == "cosine":
        ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
    ax.set_ylim(-0.04 if name == "share" else -1.08, 1.04 if name == "share" else 1.08)
    whole_axis(ax)
    ax.set_xlabel(X[x])
    ax.set_ylabel(LABELS[name])
    return []


def _meaning(name: str) -> str:
    if name == "cosine":
        return "1: the parts add up, −1: they cancel"
    return "1: all error comes back by the carrousel, 0: all comes through gates and hidden state"
