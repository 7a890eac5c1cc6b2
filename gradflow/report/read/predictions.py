"""Theory beside measurement: the predicted rates of a run, and what is left between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradflow.core.quantity import Result
from gradflow.core.theory import Prediction
from gradflow.errors import UserError
from gradflow.report.format import axis_names, number, plain, plus_minus, setting
from gradflow.report.read.rates import summarise
from gradflow.report.read.records import Run, default_state, length_of
from gradflow.report.read.rows import Row, longest

__all__ = ["Comparison", "compare", "predictions", "print_predictions", "records"]

RATES = "theory_rate"


@dataclass(frozen=True)
class Comparison:
    """A prediction for a row of the closing table.

    Parameters
    ----------
    row : Row
        What was measured.
    prediction : Prediction
        Its rate is the median over seeds; it applies where it does for every seed.
    """

    row: Row
    prediction: Prediction

    @property
    def residual(self) -> float | None:
        """Measured minus predicted decades per step; None where there is no such thing."""
        slope, rate = self.row.summary.slope, self.prediction.rate
        return None if slope is None or math.isinf(rate) else slope - rate


def predictions(results: Sequence[Result]) -> list[Prediction]:
    """Return what theory says of a point, its seeds together; empty where nothing was recorded."""
    found: dict[str, list[Prediction]] = {}
    for result in results:
        for one in _stored(result):
            found.setdefault(one.name, []).append(one)
    return [_pool(each) for each in found.values()]


def compare(run: Run, state: str | None = None) -> list[Comparison]:
    """Lay the predictions of the longest sequences beside the measured rates.

    Raises
    ------
    UserError
        If no predictions were recorded.
    """
    state = default_state(run, state)
    found: list[Comparison] = []
    for group in longest(run):
        results = [run.result(point) for point in group.points]
        said = predictions(results)
        if not said or state not in results[0]:
            continue
        length = length_of(group.points[0], results[0])
        (summary,) = summarise(results, state)  # predictions are of one layer in one direction
        row = Row(group.cell, length, group.axes, summary)
        found += [Comparison(row, one) for one in said]
    if not found:
        raise UserError(
            f"{run.name}: no predictions were recorded\n"
            "  fix: set  record.theory: true  for one layer in one direction, and run again"
        )
    return found


def print_predictions(
    found: Sequence[Comparison], console: Console | None = None, *, title: str = ""
) -> None:
    """Print measured rate, predicted rate and residual, and where theory does not apply."""
    console = console or Console()
    write = str if console.encoding.lower().startswith("utf") else plain
    made = Table(
        title=Text(write(title), style="bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD if write is str else box.ASCII2,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    paths = dict.fromkeys(path for one in found for path in one.row.axes)
    names = axis_names(paths)
    for header in ("cell", *names.values()):
        made.add_column(Text(write(header)), overflow="fold")
    for header in ("measured", "predicted", "residual"):
        made.add_column(header, justify="right", no_wrap=True)
    made.add_column("theory", overflow="fold")
    notes: dict[str, str] = {}
    before: tuple[str, ...] = ()
    for one in found:
        row, said = one.row, one.prediction
        label = row.cell.replace("(", " (", 1)
        where = (label, *(setting(row.axes[p]) if p in row.axes else "" for p in paths))
        cells = where if where != before else ("",) * len(where)
        rates = [_measured(one) if where != before else "", _predicted(said), _residual(one)]
        mark = "" if said.applies else f" [{_mark(notes, said.note)}]"
        theory = Text(write(said.name + mark), style="" if said.applies else "dim")
        made.add_row(*(Text(write(cell)) for cell in (*cells, *rates)), theory)
        before = where
    console.print(made)
    state = found[0].row.summary.state
    text = (
        f"decades per step back of ‖∂L/∂{state}‖; residual: measured − predicted; ≤: an upper "
        "bound. In brackets theory does not apply:"
        if notes
        else f"decades per step back of ‖∂L/∂{state}‖; residual: measured − predicted; ≤: a bound."
    )
    for line in (text, *(f"[{mark}] {note}" for note, mark in notes.items())):
        console.print(Text(write(line), style="dim"))


def records(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as plain data; what is infinite is the text ``"-inf"``."""
    return [
        {
            "cell": one.row.cell,
            "length": one.row.length,
            "axes": {path: setting(value) for path, value in one.row.axes.items()},
            "state": one.row.summary.state,
            "measured": one.row.summary.slope,
            "prediction": one.prediction.name,
            "predicted": one.prediction.rate if math.isfinite(one.prediction.rate) else "-inf",
            "residual": one.residual,
            "kind": one.prediction.kind,
            "applies": one.prediction.applies,
            "note": one.prediction.note,
            "source": one.prediction.source,
        }
        for one in found
    ]


def _stored(result: Result) -> list[Prediction]:
    if RATES not in result:
        return []
    quantity = result[RATES]
    at = {name: np.asarray(values).tolist() for name, values in quantity.coords.items()}
    return [
        Prediction(
            name=at["prediction"][i],
            rate=rate,
            kind=at["kind"][i],
            applies=bool(at["applies"][i]),
            note=at["note"][i],
            source=at["source"][i],
            error=float(at["error"][i]),
        )
        for i, rate in enumerate(quantity.values.tolist())
    ]


def _pool(seeds: Sequence[Prediction]) -> Prediction:
    reasons = [one.note for one in seeds if not one.applies]
    return replace(
        seeds[0],
        rate=float(np.median([one.rate for one in seeds])),
        applies=not reasons,
        note=reasons[0] if reasons else seeds[0].note,
        error=max(one.error for one in seeds),
    )


def _measured(one: Comparison) -> str:
    summary = one.row.summary
    return "–" if summary.slope is None else plus_minus(summary.slope, summary.spread)


def _predicted(said: Prediction) -> str:
    return ("≤ " if said.kind == "upper bound" else "") + number(said.rate)


def _residual(one: Comparison) -> str:
    if one.prediction.kind == "upper bound":
        return "holds" if one.residual is not None and one.residual <= 0 else "–"
    return "–" if one.residual is None else number(one.residual, 2)


def _mark(notes: dict[str, str], note: str) -> str:
    return notes.setdefault(note, str(len(notes) + 1))
