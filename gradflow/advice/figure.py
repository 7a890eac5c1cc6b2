"""What advice is worth: the curves before and after the change, a panel for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow.advice.advise import Advice
from gradflow.advice.search import Trial
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.margins import LegendEntry
from gradflow.report.figures.output import private_style, target
from gradflow.report.figures.panels import Grid, Panel, common_ranges, facets
from gradflow.report.figures.scales import decades_over_steps, draw_trace, limits
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import (
    COLOURS,
    DASHES,
    norm_label,
)
from gradflow.report.figures.traces import Trace, condense, thin
from gradflow.report.read.bands import finite_range
from gradflow.report.read.rates import STEADY
from gradflow.report.read.records import curves, judged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_advice", "draw_changes"]

STATE = "s"
"""What advice is measured on."""

BEFORE: dict[str, Any] = {"color": COLOURS[1], "linestyle": DASHES[1]}
AFTER: dict[str, Any] = {"color": COLOURS[0], "linestyle": DASHES[0]}
GOAL = "#dcefe6"


@dataclass(frozen=True)
class _Change(Site):
    """The curves of one cell; None where the state overflows, or nothing is changed."""

    before: Trace | None
    after: Trace | None
    change: str

    @property
    def shown(self) -> list[Trace]:
        return [one for one in (self.before, self.after) if one is not None]


def draw_advice(
    advice: Sequence[Advice], out: str | Path, formats: Sequence[str] | None = None
) -> list[Path]:
    """Draw the curve of each cell as it is and with the best change, and write the figure.

    Parameters
    ----------
    advice : sequence of Advice
        By cell.
    out : path
        A folder, or with a suffix of png, svg or pdf the one file.
    formats : sequence of {"png", "svg", "pdf"}, optional
        Files to write in a folder.

    Returns
    -------
    list of Path
        The files: ``advice.png`` and so on.

    Raises
    ------
    UserError
        If a format is unknown.
    """
    place = target(out, formats)
    with private_style():
        return place.write(draw_changes(advice), "advice")


def draw_changes(advice: Sequence[Advice]) -> Figure:
    """Draw before and after, and where the curve is to end: within a decade of the loss end."""
    found = [_change(one) for one in advice]
    whole = facets(found, ("length",))
    titles = [": ".join(filter(None, [_cell(whole, p), p.sites[0].change])) for p in whole.panels]
    grid = Grid(whole.panels, tuple(titles), (), whole.heading, whole.note)
    ranges = common_ranges(grid, _range)

    def panel(ax: Axes, one: Panel[_Change]) -> list[str]:
        decades_over_steps(ax, ranges[one], "lag", norm_label(STATE))
        notes = limits(ax)
        (shown,) = one.sites
        for trace, line, label in (
            (shown.before, BEFORE, "before"),
            (shown.after, AFTER, "after"),
        ):
            if trace is not None:
                notes += draw_trace(ax, trace, "lag", line, label)
        if shown.before is None:
            notes.append(f"{shown.cell}: as it is, the state overflows")
        for trace in shown.shown[-1:]:
            start = trace.start
            ax.axhspan(start - STEADY, start + STEADY, color=GOAL, zorder=0, linewidth=0)
        ax.set_xlim(-0.02 * shown.length, 1.02 * shown.length)
        return notes

    return figure(Setup(), grid, panel, notes=[statistics(found)], keys=_keys())


def _cell(grid: Grid[_Change], panel: Panel[_Change]) -> str:
    return panel.sites[0].cell if len(grid.panels) > 1 else ""


def _keys() -> list[LegendEntry]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        (Line2D([], [], **BEFORE), "as it is"),
        (Line2D([], [], **AFTER), "after the change"),
        (Patch(color=GOAL), "steady"),
    ]


def _change(one: Advice) -> _Change:
    before = _trace(one.before)
    best = one.best
    after = None if best is None else _trace(best.judged)
    change = "nothing helps" if best is None else best.setting
    if one.before.steady:
        change = "steady as it is"
    results = one.before.results or (best.judged.results if best else ())
    sequences = results[0][STATE].values.shape[2] if results else 1
    seeds = max(1, len(results))
    place = (0, "forward")
    return _Change(one.cell, one.length, {}, place, seeds, sequences, before, after, change)


def _trace(trial: Trial) -> Trace | None:
    """Condense the curves of the lowest layer over seeds and sequences."""
    each = [next(curves(judged(result, STATE))) for result in trial.results]
    if not each:
        return None
    at = thin(each[0].lag)
    return condense(each[0].lag[at], each[0].step[at], [one.values[:, at] for one in each])


def _range(sites: Sequence[_Change]) -> tuple[float, float]:
    return finite_range(trace for one in sites for trace in one.shown)
