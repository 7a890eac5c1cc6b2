"""What stands beside the closing table: sentences, predictions, lessons; any one quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradflow.core.quantity import Prediction
from gradflow.report.format import (
    EXACT_ZERO,
    as_data,
    axis_names,
    cell_name,
    number,
    plus_minus,
    setting,
)
from gradflow.report.read.digest import Digest, Line
from gradflow.report.read.explain import Explanation
from gradflow.report.read.lessons import Lesson
from gradflow.report.read.predictions import RowPrediction
from gradflow.report.read.rows import row_names
from gradflow.report.tables.layout import Sheet, Written, label_column, number_column

__all__ = [
    "lesson_lines", "predictions_data", "predictions_sheet", "quantity_data", "quantity_sheet",
    "sentences",
]  # fmt: skip


def sentences(found: Sequence[Explanation]) -> Sheet:
    """Write a line for each row that has a sentence, after what tells the row apart."""
    names = row_names([one.row for one in found])
    return Sheet(
        (),
        notes=[
            (f"{label} {one.sentence}", "")
            for label, one in zip(names, found, strict=True)
            if one.sentence
        ],
    )


def lesson_lines(found: Sequence[Lesson]) -> Sheet:
    """Write a line for each group of nets that learned."""
    each = [(cell_name(one.cell) + (f", {one.where}" if one.where else ""), one) for one in found]
    return Sheet((), notes=[(f"{label}: {one.sentence}", "") for label, one in each])


def predictions_sheet(found: Sequence[RowPrediction], title: str = "") -> Sheet:
    """Lay out measured rate, predicted rate and residual, and where theory does not apply."""
    names = axis_names(dict.fromkeys(path for one in found for path in one.row.axes))
    notes: dict[str, str] = {}
    rows: list[tuple[Written, ...]] = []
    before: tuple[str, ...] = ()
    for one in found:
        row, said = one.row, one.prediction
        where = (
            cell_name(row.cell),
            *(setting(row.axes[path]) if path in row.axes else "" for path in names),
        )
        first = where if where != before else ("",) * len(where)
        mark = "" if said.applies else f" [{notes.setdefault(said.note, str(len(notes) + 1))}]"
        measured = _measured(one) if where != before else ""
        theory = (said.name + mark, "" if said.applies else "dim")
        rows.append((*first, measured, _predicted(said), _residual(one), theory))
        before = where
    headers = ("cell", *names.values(), "measured", "predicted", "residual", "theory")
    columns = [
        (number_column if name in ("measured", "predicted", "residual") else label_column)(
            name, cells
        )
        for name, cells in zip(headers, zip(*rows, strict=True), strict=True)
    ]
    text = (
        f"decades per step back of ‖∂L/∂{found[0].row.summary.state}‖; residual: measured − "
        f"predicted; ≤: an upper bound.{' In brackets theory does not apply:' if notes else ''}"
    )
    return Sheet(columns, title, [text, *(f"[{mark}] {note}" for note, mark in notes.items())])


def predictions_data(found: Sequence[RowPrediction]) -> list[dict[str, Any]]:
    """Return the comparisons as plain data; what is infinite is the text ``"-inf"``."""
    return [
        {
            "cell": one.row.cell,
            "length": one.row.length,
            "axes": {path: setting(value) for path, value in one.row.axes.items()},
            "state": one.row.summary.state,
            "measured": one.row.summary.slope,
            "prediction": one.prediction.name,
            "predicted": as_data(one.prediction.rate),
            "residual": one.residual,
            "kind": one.prediction.kind,
            "applies": one.prediction.applies,
            "note": one.prediction.note,
            "source": one.prediction.source,
        }
        for one in found
    ]


def _measured(one: RowPrediction) -> str:
    summary = one.row.summary
    return "–" if summary.slope is None else plus_minus(summary.slope, summary.spread)


def _predicted(said: Prediction) -> str:
    return ("≤ " if said.kind == "upper bound" else "") + number(said.rate)


def _residual(one: RowPrediction) -> str:
    if one.prediction.kind == "upper bound":
        return "holds" if one.residual is not None and one.residual <= 0 else "–"
    return "–" if one.residual is None else number(one.residual, 2)


def quantity_sheet(shown: Digest, title: str) -> Sheet:
    """Lay out a row for each place of the quantity; what all rows share is left out."""
    cells = {line.labels["cell"] for line in shown.lines}
    by = f"{shown.quantity} by {shown.along}" if shown.along else shown.quantity
    every = dict.fromkeys(label for line in shown.lines for label in line.labels)
    names = axis_names(label for label in every if _tells(label, shown.lines))
    along = list(dict.fromkeys(column for line in shown.lines for column in line.values))
    if all(map(str.isdigit, along)):
        along.sort(key=int)
    columns = [
        label_column(name, [line.labels.get(label, "") for line in shown.lines])
        for label, name in names.items()
    ]
    columns += [
        number_column(one, [_written(line.values.get(one), shown.unit) for line in shown.lines])
        for one in along
    ]
    unit = {"1": "", "log10": "log10; "}.get(shown.unit, f"{shown.unit}; ")
    return Sheet(
        columns,
        " · ".join([title, *(cells if len(cells) == 1 else ()), by]),
        [f"{unit}medians over sequences, then over seeds."],
    )


def quantity_data(shown: Digest) -> dict[str, Any]:
    """Return it as plain data; what is infinite or undefined is a text."""
    return {
        "quantity": shown.quantity,
        "unit": shown.unit,
        "along": shown.along,
        "rows": [{**line.labels, "values": as_data(line.values)} for line in shown.lines],
    }


def _tells(label: str, lines: Sequence[Line]) -> bool:
    return len({line.labels.get(label) for line in lines}) > 1


def _written(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if np.isnan(value):
        return "–"
    if unit != "log10" or value == np.inf:
        return number(value)
    if value == -np.inf:
        return EXACT_ZERO
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
