"""What advice is worth: the table of `gradflow advise`, the same for programs, and its figure.

The figure has the curves before and after the change, a panel for each cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow.advice.advise import Advice, Trial
from gradflow.experiment.config import Experiment
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.margins import LegendEntry
from gradflow.report.figures.output import private_style, target
from gradflow.report.figures.panels import Grid, Panel, common_ranges, facets
from gradflow.report.figures.scales import decades_over_steps, draw_trace, limits
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import COLOURS, DASHES, norm_label
from gradflow.report.figures.traces import Trace, condense, thin
from gradflow.report.format import as_data, cell_name, decades, setting
from gradflow.report.read.bands import finite_range
from gradflow.report.read.rates import STEADY
from gradflow.report.read.records import curves, judged
from gradflow.report.tables.layout import Column, Sheet, Written, label_column, number_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["advice_data", "advice_note", "advice_sheet", "draw_advice", "draw_changes"]

STATE = "s"
"""What advice is measured on."""

BEFORE: dict[str, Any] = {"color": COLOURS[1], "linestyle": DASHES[1]}
AFTER: dict[str, Any] = {"color": COLOURS[0], "linestyle": DASHES[0]}
GOAL = "#dcefe6"


def advice_sheet(advice: Sequence[Advice], experiment: Experiment) -> Sheet:
    """Lay out each cell as it is and, below, what its knobs can do, the best first and marked."""
    rows: list[tuple[Written, ...]] = []
    for one in advice:
        cell, before = (cell_name(one.cell), "bold"), decades(one.before.decades)
        rows.append((cell, before, "", "", "", _says(one)))
        for each in one.found:
            best = each is one.best
            after = (decades(each.judged.decades), "green" if each.judged.steady else "yellow")
            change = (each.setting, "bold" if best else "")
            knob = f" {'*' if best else ' '} {each.knob.name}"
            rows.append((knob, "", after, _share(one, each.judged), str(each.tried), change))
    knobs, *counted, changes = zip(*rows, strict=True)
    columns = [
        label_column("cell, knob", knobs),
        *map(number_column, ("before", "after", "seeds", "tried"), counted),
        Column("change", changes, "word"),
    ]
    return Sheet(columns, notes=[advice_note(advice, experiment)])


def advice_note(advice: Sequence[Advice], experiment: Experiment) -> str:
    """Say what the table holds for, and how to read it."""
    one = advice[0]
    text = (
        "before, after: decades of ‖∂L/∂s‖ at the far end over the loss end, the median over "
        f"sequences and seeds, at length {one.length}; wanted is at most one. Each knob is turned "
        f"alone on seeds {_range(one.seeds)}; after, and seeds, in how many it is so, are of fresh "
        f"ones, {_range(one.fresh)}. *: the best of its cell; gradflow run CONFIG CHANGE shows "
        "what it does."
    )
    for path, value in fixed_axes(experiment).items():
        text += f" {path} is taken at its first value, {setting(value)}."
    return text


def fixed_axes(experiment: Experiment) -> dict[str, Any]:
    """Swept axes that the search leaves at their first value."""
    return {
        path: values[0]
        for path, values in experiment.sweep.items()
        if not path.startswith("model.cell") and path not in ("length", "seed") and len(values) > 1
    }


def advice_data(advice: Sequence[Advice], experiment: Experiment) -> dict[str, Any]:
    """Return the advice as plain data; what is infinite is the text ``"inf"`` or ``"-inf"``."""
    return {
        "name": experiment.name,
        "length": advice[0].length,
        "seeds": list(advice[0].seeds),
        "fresh": list(advice[0].fresh),
        "fixed": fixed_axes(experiment),
        "cells": [
            {
                "cell": one.cell,
                "before": as_data(one.before.decades),
                "steady": one.before.steady,
                "best": None if one.best is None else one.best.setting,
                "knobs": [
                    {
                        "knob": each.knob.name,
                        "change": each.setting,
                        "after": as_data(each.judged.decades),
                        "steady": each.judged.steady,
                        "agree": each.judged.agree,
                        "tried": each.tried,
                    }
                    for each in one.found
                ],
            }
            for one in advice
        ],
    }


def _says(one: Advice) -> Written:
    """What stands beside the cell where there is no change to make."""
    if one.before.steady:
        return "nothing has to change", "green"
    if not one.found:
        return "there is nothing to turn", "yellow"
    return "" if one.best else "nothing helps", "yellow"


def _share(one: Advice, trial: Trial) -> str:
    """How many of the fresh seeds are steady, where their median is."""
    return f"{trial.agree}/{len(one.fresh)}" if trial.steady else ""


def _range(seeds: Sequence[int]) -> str:
    """Seeds in a row by their ends, others each, if they are few."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds)) if len(seeds) < 9 else f"({len(seeds)} of them)"


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
    ranges = common_ranges(grid, _extent)

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


def _extent(sites: Sequence[_Change]) -> tuple[float, float]:
    return finite_range(trace for one in sites for trace in one.shown)
