"""What held nets back while they learned: stall, oscillation, conflict, a gradient that dies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.kinds.learning import (
    CONFLICT,
    COSINE,
    FAR,
    GAIN,
    Course,
    courses,
    draw_band,
    longest,
)
from gradflow.report.figures.panels import Panel, Strip, in_columns
from gradflow.report.figures.scales import decade_axis, update_axis
from gradflow.report.figures.sites import at_greatest_length, statistics
from gradflow.report.figures.style import GREY, by_parameter, parameter_keys
from gradflow.report.read.bands import band, finite_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "gather"]

SYMPTOMS = {
    GAIN: "gained",
    COSINE: "cosine of\nupdates",
    CONFLICT: "agreement\nof steps",
    FAR: "far end",
}
"""The rows of the figure of symptoms."""


def gather(run: Run) -> dict[str, list[Course]]:
    """Read how nets learned."""
    return {"symptoms": courses(run)}


def draw(found: Sequence[Course], _: str, setup: Setup) -> Figure:
    """Draw stall, oscillation, conflict and the far end, a column for a setting."""
    found = at_greatest_length(found)
    seen = [name for name in SYMPTOMS if all(name in one.of or one.parts(name) for one in found)]
    grid = in_columns(found, seen)
    far = finite_range([np.zeros(1), *(band(one.of[FAR]) for one in found if FAR in seen)])

    def panel(ax: Axes, one: Panel[Course]) -> list[str]:
        assert isinstance(one, Strip)
        (site,) = one.sites
        for part in site.parts(one.shows):
            draw_band(ax, site.update, site.of[f"{one.shows}.{part}"], by_parameter(part), part)
        if one.shows in site.of:
            draw_band(ax, site.update, site.of[one.shows], {"color": "black"}, SYMPTOMS[one.shows])
        if one.shows == FAR:
            decade_axis(ax, *far)
        else:
            low = -1.0 if one.shows == COSINE else 0.0
            ax.set_ylim(low - 0.05, 1.05)
            ax.set_yticks([low, (low + 1) / 2, 1])
        if one.shows in (GAIN, COSINE):
            ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
        ax.set_ylabel(SYMPTOMS[one.shows])
        update_axis(ax, longest(found))
        return []

    kinds = dict.fromkeys(part for one in found for name in seen for part in one.parts(name))
    notes = [
        statistics(found),
        "gained: of what the trivial answer loses; 0 is a stall",
        "cosine of successive updates: below 0 they undo each other",
        *(
            ["agreement of the steps of a sequence, median over gates: 0, they cancel"]
            if CONFLICT in seen
            else []
        ),
        *(["far end: the gradient there over that at the loss"] if FAR in seen else []),
    ]
    return figure(setup, grid, panel, None, notes, height=1.0, keys=parameter_keys(kinds))
