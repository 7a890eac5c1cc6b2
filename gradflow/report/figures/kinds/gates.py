"""How far the gates are open, beside the gradient: a figure for each cell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, Strip, in_columns
from gradflow.report.figures.scales import X, decade_axis, draw_trace, limits, whole_axis
from gradflow.report.figures.sites import statistics
from gradflow.report.figures.style import GATES, by_gate, gate_keys, in_turns, norm_label
from gradflow.report.figures.traces import Trace, Traces, extent, none_recorded, traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "gather"]

MEAN, SPREAD, SATURATED = "gate_mean", "gate_spread", "gate_saturated"

NORMS = ("s", "c", "h")
"""The gradient that is shown: the first of these that was recorded."""


def gather(run: Run) -> dict[str, list[Traces]]:
    """Read gates and norms, by a name for each cell."""
    figures: dict[str, list[Traces]] = {}
    for one in traces(run, [MEAN, SPREAD, SATURATED, *NORMS]):
        if one.gates(MEAN):
            name = re.sub(r"[^a-z0-9]+", "-", one.cell.lower()).strip("-")
            figures.setdefault(name, []).append(one)
    if not figures:
        raise none_recorded(run, "gates", "gates")
    return figures


def draw(found: Sequence[Traces], name: str, setup: Setup) -> Figure:
    """Draw means, saturated shares and the gradient below each other, a column for a setting."""
    norm = next((state for state in NORMS if all((state, "") in one.of for one in found)), "")
    grid = in_columns(found, [MEAN, SATURATED, *([norm] if norm else [])])
    ends = extent([panel.sites[0] for panel in grid.panels], [(norm, "")])

    def panel(ax: Axes, one: Panel[Traces]) -> list[str]:
        assert isinstance(one, Strip)
        whole_axis(ax)
        ax.set_xlim(-0.02 * one.sites[0].length, 1.02 * one.sites[0].length)
        ax.set_xlabel(X[setup.x])
        if one.shows == norm:
            return _gradient(ax, one.sites[0].of[norm, ""], norm, setup.x, ends)
        return _openings(ax, one.sites[0], one.shows, setup.x)

    gates = dict.fromkeys(gate for one in found for gate in one.gates(MEAN))
    notes = [statistics(found), "saturated: below 0.1 or above 0.9"]
    return figure(setup, grid, panel, notes=notes, height=1.25, keys=gate_keys(gates))


def _openings(ax: Axes, shown: Traces, quantity: str, x: str) -> list[str]:
    """Draw a number in 0..1 of each gate; means with their spread over the units."""
    ax.set_ylim(-0.03, 1.03)
    gates = shown.gates(quantity)
    lines, notes = in_turns(
        [by_gate(gate) for gate in gates],
        [shown.of[quantity, gate] for gate in gates],
        ax.get_ylim(),
    )
    for gate, line in zip(gates, lines, strict=True):
        trace = shown.of[quantity, gate]
        if quantity == MEAN:
            wide = shown.of[SPREAD, gate].median
            trace = replace(trace, low=trace.median - wide, high=trace.median + wide)
        draw_trace(ax, trace, x, line, GATES.get(gate, gate))
    ax.set_yticks([0, 0.5, 1])
    ax.set_ylabel("opening" if quantity == MEAN else "saturated")
    return [*(["opening: mean over the units ± their spread"] if quantity == MEAN else []), *notes]


def _gradient(ax: Axes, trace: Trace, state: str, x: str, ends: tuple[float, float]) -> list[str]:
    decade_axis(ax, *ends)
    ax.set_ylabel(norm_label(state))
    line = {"color": "black", "linestyle": "-"}
    return [*limits(ax), *draw_trace(ax, trace, x, line, f"∂L/∂{state}")]
