"""Theory beside measurement: the predicted rates of a run, and what is left between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradflow.core.quantity import Prediction, Result
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.read.rates import summarise
from gradflow.report.read.records import default_state
from gradflow.report.read.rows import Row, longest

__all__ = ["RATES", "RowPrediction", "predicted_and_measured", "predictions"]

RATES = "theory_rate"


@dataclass(frozen=True)
class RowPrediction:
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


def predicted_and_measured(run: Run, state: str | None = None) -> list[RowPrediction]:
    """Lay the predictions of the longest sequences beside the measured rates.

    Raises
    ------
    UserError
        If no predictions were recorded.
    """
    state = default_state(run, state)
    found: list[RowPrediction] = []
    for group in longest(run):
        results = [run.result(point) for point in group.points]
        said = predictions(results)
        if not said or state not in results[0]:
            continue
        (summary,) = summarise(results, state)  # predictions are of one layer in one direction
        row = Row(group.cell, group.length, group.axes, summary)
        found += [RowPrediction(row, one) for one in said]
    if not found:
        raise UserError(
            f"{run.name}: no predictions were recorded\n"
            "  fix: set  record.theory: true  for one layer in one direction, and run again"
        )
    return found


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
