"""Theory laid over measurement: the curve, and the lines that it should fall along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gradflow.core.quantity import Prediction
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.margins import LegendEntry
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import decades_over_steps, draw_trace, limits
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import COLOURS, DASHES, norm_label
from gradflow.report.figures.traces import Trace, none_recorded, pools, traces
from gradflow.report.read.bands import finite_range
from gradflow.report.read.predictions import RATES, predictions
from gradflow.report.read.records import default_state

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Predicted", "draw", "gather"]

MEASURED: dict[str, Any] = {"color": "black", "linestyle": "-", "linewidth": 1.6}

REASONS = 3
"""Reasons why theory does not apply that the small print has room for."""


@dataclass(frozen=True)
class Predicted(Site):
    """The measured curve of a point, and what theory says of it."""

    trace: Trace
    said: tuple[Prediction, ...]


def gather(run: Run) -> dict[str, list[Predicted]]:
    """Read the curves of one state, and the predictions."""
    state = default_state(run)
    said = {
        (group.cell, repr(group.axes)): predictions(results)
        for group, _, results in pools(run, lambda name: name == RATES)
    }
    found = [
        Predicted(
            one.cell, one.length, one.axes, one.place, one.seeds, one.sequences,
            one.of[state, ""], tuple(said[key]),
        )
        for one in traces(run, [state])
        if (key := (one.cell, repr(one.axes))) in said
    ]  # fmt: skip
    if not found:
        raise none_recorded(run, "theory", "predictions")
    return {state: found}


def draw(found: Sequence[Predicted], name: str, setup: Setup) -> Figure:
    """Draw each curve with its predictions; bounds are dashed, what does not apply is faint."""
    grid = facets(found, ())
    ranges = common_ranges(grid, _range)
    theories = list(dict.fromkeys(said.name for one in found for said in one.said))

    def panel(ax: Axes, one: Panel[Predicted]) -> list[str]:
        decades_over_steps(ax, ranges[one], setup.x, norm_label(name))
        notes = limits(ax)
        (shown,) = one.sites
        trace = shown.trace
        along = trace.along(setup.x)
        notes += draw_trace(ax, trace, setup.x, MEASURED, "measured")
        for said in shown.said:
            if np.isfinite(said.rate):
                y = trace.start + said.rate * trace.lag
                faint = {} if said.applies else {"alpha": 0.4, "linewidth": 0.8}
                ax.plot(along, y, label=said.name, **{**_line(theories, said), **faint})
        ax.set_xlim(-0.02 * shown.length, 1.02 * shown.length)
        return notes

    keys: list[LegendEntry] = [(Line2D([], [], **MEASURED), "measured")]
    for theory in theories:
        said = next(s for one in found for s in one.said if s.name == theory)
        label = f"{theory} (upper bound)" if said.kind == "upper bound" else theory
        keys.append((Line2D([], [], **_line(theories, said)), label))
    return figure(setup, grid, panel, notes=[statistics(found), *_doubts(found)], keys=keys)


def _line(theories: Sequence[str], said: Prediction) -> dict[str, Any]:
    i = theories.index(said.name)
    dashes = DASHES[1] if said.kind == "upper bound" else DASHES[(0, 2, 3)[i % 3]]
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": dashes, "linewidth": 1.1}


def _range(sites: Sequence[Predicted]) -> tuple[float, float]:
    """Return where the curve and the estimates that apply begin and end."""
    ends = [
        one.trace.start + said.rate * float(one.trace.lag[-1])
        for one in sites
        for said in one.said
        if said.applies and said.kind == "estimate"
    ]
    return finite_range([*(one.trace for one in sites), np.array(ends)])


def _doubts(found: Sequence[Predicted]) -> list[str]:
    """Say why theory does not apply where it does not."""
    reasons: dict[str, str] = {}
    for one in found:
        for said in one.said:
            if not said.applies:
                reasons.setdefault(said.name, said.note)
    if not reasons:
        return []
    shown = [f"{name} ({note})" for name, note in list(reasons.items())[:REASONS]]
    return [f"faint: theory does not apply: {', '.join(shown)}"]
