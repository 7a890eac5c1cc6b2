"""What is left at the far end: norm of the oldest recorded step against the length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import decade_axis, draw_trace, length_axis, limits
from gradflow.report.figures.sites import need_lengths, statistics
from gradflow.report.figures.style import hue, in_turns, norm_label
from gradflow.report.figures.traces import Curve, Trace
from gradflow.report.read.bands import finite_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]


def draw(found: Sequence[Curve], state: str, setup: Setup) -> Figure:
    """Draw the norm at the far end against the length, coloured by cell or swept axis."""
    lengths = sorted({one.length for one in found})
    need_lengths("length", found)
    shown = hue(found, setup.cells)
    grid = facets(found, {shown.axis, "length"})
    ranges = common_ranges(grid, _range)
    first = 1 if state.startswith("x") else 0

    def panel(ax: Axes, one: Panel[Curve]) -> list[str]:
        decade_axis(ax, *ranges[one])
        length_axis(ax, lengths)
        ax.set_ylabel(norm_label(state, str(first)))
        ax.set_xlabel("length $T$")
        notes = limits(ax)
        keys = list(dict.fromkeys(shown.key(site) for site in one.sites))
        ends = [_far_ends([site for site in one.sites if shown.key(site) == key]) for key in keys]
        lines, turns = in_turns([shown.line(key) for key in keys], ends, ax.get_ylim())
        for key, end, line in zip(keys, ends, lines, strict=True):
            notes += draw_trace(ax, end, "lag", line | {"marker": "o", "ms": 2.5}, key)
        return [*notes, *turns]

    return figure(setup, grid, panel, shown, [statistics(found)])


def _far_ends(sites: Sequence[Curve]) -> Trace:
    """The norms at the far end, with the length in place of the lag."""
    ordered = sorted(sites, key=lambda one: one.length)
    low, median, high = (
        np.array([getattr(one.trace, name)[-1] for one in ordered])
        for name in ("low", "median", "high")
    )
    lengths = np.array([one.length for one in ordered])
    return Trace(low, median, high, lengths, lengths)


def _range(sites: Sequence[Curve]) -> tuple[float, float]:
    return finite_range([np.zeros(1), _far_ends(sites)])
