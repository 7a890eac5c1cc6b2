"""The table of `gradflow show --quantity`, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradflow.report.format import EXACT_ZERO, as_data, axis_names, number
from gradflow.report.read.digest import Digest, Line
from gradflow.report.tables.layout import Sheet, label_column, number_column

__all__ = ["quantity_data", "quantity_sheet"]


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
