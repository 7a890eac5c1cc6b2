"""Verdicts that explain themselves: a sentence with its figures for a row of the closing table.

What a sentence leans on is what was recorded beside the norms:

LSTM, GRU
    the gates' means (``record.gates``): the carrousel passes on Π mean f, or Π mean (1 − z). Where
    the measurement differs by more, the paths through gates and hidden state make the difference,
    and the mean field of all paths (``record.theory``) says how much.
vanilla RNN
    theory (``record.theory``): γ‖W‖₂ below 1 leaves it no other way than to vanish (Pascanu et al.
    2013), and the mean field's χ gives the rate.
CEC, and an LSTM without forget gate
    nothing: the carrousel's factor is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradflow.core.quantity import Result
from gradflow.core.theory import Prediction
from gradflow.report.format import number, power
from gradflow.report.read.predictions import predictions
from gradflow.report.read.rates import Summary
from gradflow.report.read.records import Group, Run
from gradflow.report.read.rows import Row, rows_with_results

__all__ = ["Explanation", "explain", "sentence"]

ENOUGH = 0.15
"""Share of the measured decades by which a prediction may miss them and still explain them."""

OTHERS = "paths through gates and hidden state make the difference"


@dataclass(frozen=True)
class Explanation:
    """A row of the closing table and why its verdict is what it is; empty where nothing says so."""

    row: Row
    sentence: str


def explain(run: Run, state: str | None = None, *, every: bool = False) -> list[Explanation]:
    """Explain the rows of a run; see `gradflow.report.read.rows.rows` for the parameters."""
    return [
        Explanation(row, sentence(row.cell, row.summary, results, several=_several(group)))
        for group, row, results in rows_with_results(run, state, every=every)
    ]


def sentence(
    cell: str, summary: Summary, results: Sequence[Result], *, several: bool = False
) -> str:
    """Write why a curve does what it does: ``vanishes: mean forget gate 0.73 predicts …``.

    Parameters
    ----------
    cell : str
        Its label.
    summary : Summary
        What was measured.
    results : sequence of Result
        Of all seeds, with gates or predictions where they were recorded.
    several : bool
        There are losses at several steps: where the last one has not been recorded by itself,
        products over steps predict nothing.
    """
    if summary.verdict is None:
        return ""
    if several and not summary.several:
        return f"{summary.verdict}: every step with a loss brings error of its own"
    gate = _gate(summary, results)
    if gate is None:
        said = {one.name: one for one in predictions(results)}
        reason = _constant(cell, summary) or _theory(summary, said)
    else:
        reason = _gated(summary, gate, predictions(results))
    return f"{summary.verdict}: {reason}" if reason else ""


@dataclass(frozen=True)
class _Gate:
    """The mean of what the carrousel lets pass, and the decades that it makes of the lags."""

    name: str
    mean: float
    decades: float


def _gate(summary: Summary, results: Sequence[Result]) -> _Gate | None:
    """Read the factor of the carrousel at a summary's place: f, or 1 − z."""
    passed: list[float] = []
    rates: list[float] = []
    name = ""
    for result in results:
        quantity = result.get("gate_mean")
        if quantity is None:
            continue
        at = {axis: np.asarray(values).tolist() for axis, values in quantity.coords.items()}
        which = next((g for g in ("f", "z") if g in at["gate"]), None)
        if which is None or summary.direction not in at["direction"]:
            continue
        way = at["direction"].index(summary.direction)
        layer = at["layer"].index(summary.layer)
        lag = np.asarray(quantity.coords["lag"])[way]
        mean = quantity.values[layer, way, at["gate"].index(which)][:, lag >= 0]
        factor = mean if which == "f" else 1 - mean
        name = "forget gate" if which == "f" else "leak (1 − z)"
        passed.append(float(factor.mean()))
        with np.errstate(divide="ignore"):
            rates.append(float(np.median(np.log10(factor).mean(axis=-1))))
    if not rates:
        return None
    return _Gate(name, float(np.median(passed)), float(np.median(rates)) * summary.lags)


def _gated(summary: Summary, gate: _Gate, said: Sequence[Prediction]) -> str:
    mean = number(gate.mean, 2 if gate.mean < 0.9 else 3)
    text = f"mean {gate.name} {mean} predicts {_outcome(summary, gate.decades)}"
    if _near(gate.decades, summary.decades):
        return text
    field = next((one for one in said if one.name == "mean field" and one.applies), None)
    if field is None:
        return f"{text}: {OTHERS}"
    return f"{text}: {OTHERS} (mean field of all: {power(field.rate * summary.lags)})"


def _constant(cell: str, summary: Summary) -> str:
    kind, _, options = cell.partition("(")
    if kind == "cec":
        why = "the carrousel's factor is 1"
        return why if summary.verdict == "steady" else f"{why}, other layers add to it"
    if kind == "lstm" and "no forget_gate" in options:
        why = "without a forget gate the carrousel's factor is 1"
        return why if summary.verdict == "steady" else f"{why}, {OTHERS}"
    return ""


def _theory(summary: Summary, said: dict[str, Prediction]) -> str:
    parts = []
    bound, field = said.get("γ‖W‖₂"), said.get("mean field")
    if bound and bound.applies and bound.rate < 0:
        parts.append(f"γ‖W‖₂ = {number(10**bound.rate, 2)} < 1 leaves no other way")
    if field:
        chi = number(10 ** (2 * field.rate), 2)
        outcome = _outcome(summary, field.rate * summary.lags)
        parts.append(f"mean field χ = {chi} predicts {outcome}")
        if not field.applies:
            parts[-1] += f", though theory does not apply ({field.note})"
    return "; ".join(parts)


def _outcome(summary: Summary, predicted: float) -> str:
    return f"{power(predicted)} over {summary.lags} steps, measured {power(summary.decades)}"


def _near(predicted: float, measured: float) -> bool:
    if math.isinf(predicted) or math.isinf(measured):
        return predicted == measured
    return abs(predicted - measured) <= max(1.0, ENOUGH * abs(measured))


def _several(group: Group) -> bool:
    """Whether there are losses at several steps."""
    loss: Any = getattr(group.points[0].config, "loss", None)
    at = getattr(loss, "at", "last")
    return at == "all" or (not isinstance(at, str) and len(at) > 1)
