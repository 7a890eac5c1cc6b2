"""What is said of one run agrees with itself, whatever the cell, the loss and the weights.

Verdict, half-life, horizons, sentence and advice of every row of a grid: all cells by losses,
initialisations and states. What is recomputed here comes from the recorded curves alone.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.advice.search import trial
from gradflow.core import cells
from gradflow.core.quantity import Result
from gradflow.experiment.config import Experiment
from gradflow.experiment.config.sections import RecordConfig
from gradflow.experiment.measure.plan import plan
from gradflow.report.format import power
from gradflow.report.read.explain import explain
from gradflow.report.read.horizons import LIMITS
from gradflow.report.read.rates import ROUGH, Summary
from gradflow.report.read.rows import Row, rows, rows_with_results

LENGTH, SEEDS = 20, 2

VARIANTS: tuple[dict[str, Any], ...] = (
    {"kind": "lstm", "coupled": True},
    {"kind": "lstm", "peephole": "diagonal"},
    {"kind": "lstm", "forget_gate": False},
    {"kind": "gru", "reset": "after"},
)

LOSSES: dict[str, dict[str, Any]] = {
    "last": {"kind": "probe", "at": "last"},
    "all": {"kind": "sum", "at": "all"},
    "listed": {"kind": "probe", "at": [3, 17]},
    "ends": {"kind": "probe", "at": "ends"},
}

INITIALISATIONS: dict[str, dict[str, Any]] = {
    "ours": {},
    "strong": {"recurrent": "normal", "recurrent_gain": 3.0},
    "pytorch": {"like": "pytorch"},
    "keras": {"like": "keras"},
    "chrono": {"forget_bias": {"chrono": LENGTH}},
    "theory": {"recurrent_gain": 0.7},
}

ADVISED = ("rnn", "lstm", "gru", "block")
"""Cells that advice is asked on: it measures them once more."""

APART = ("strong", "pytorch", "keras")
"""Weights that `make test` leaves out of some losses, and `make test-extras` does not."""

CASES = [
    pytest.param(
        loss,
        init,
        marks=pytest.mark.extras if loss in ("listed", "ends") and init in APART else (),
    )
    for loss, init in itertools.product(LOSSES, INITIALISATIONS)
    if loss == "last" or init != "theory"  # predictions take most of the time
]


def experiment(loss: str, init: str) -> Experiment:
    """Every cell with one loss and one initialisation; frameworks have no peepholes."""
    ends, own, theory = loss == "ends", "like" not in INITIALISATIONS[init], init == "theory"
    variants = [one for one in VARIANTS if own or "peephole" not in one]
    every = ["rnn", "lstm"] if theory else [*cells.names(), *variants]
    return gradflow.configure(
        model={"cell": "lstm", "hidden": 4, "bidirectional": ends},
        inputs={"kind": "noise", "sequences": 2, "features": 2},
        init=INITIALISATIONS[init],
        loss=LOSSES[loss],
        sweep={"model.cell": every, "length": [LENGTH], "seed": SEEDS},
        record={"states": ["h", "c", "s", "x"], "gates": True, "paths": True, "theory": theory},
    )


def measured(one: Summary, results: list[Result]) -> float:
    """Decades of a row, from the recorded norms: of a sum, those of its last loss."""
    seeds = []
    for result in results:
        norm = result.get(f"{one.state}.last", result[one.state])
        directions = np.atleast_1d(norm.coords.get("direction", ["forward"])).tolist()
        way = directions.index(one.direction)
        lag = np.atleast_2d(norm.coords["lag"])
        order = np.argsort(lag[way if len(lag) > 1 else 0])
        curves = norm.values[one.layer, way][:, order]
        lags = lag[way if len(lag) > 1 else 0][order]
        curves = curves[:, lags >= 0]
        seeds.append(np.median([c[-1] - c[np.isfinite(c)][0] for c in curves]))
    return float(np.median(seeds))


def contradictions(row: Row, said: str, results: list[Result]) -> Iterator[str]:
    """Whatever of a row does not agree with the rest of it."""
    one = row.summary
    if one.decades != pytest.approx(measured(one, results), abs=1e-9):
        yield f"decades {one.decades}, recorded {measured(one, results)}"
    if one.verdict is None:
        if one.lags > 1 or said or (one.half_life is not None and one.lags > 1):
            yield "no verdict, but lags or words"
        return
    if one.verdict != (
        "explodes" if one.decades > 1 else "vanishes" if one.decades < -1 else "steady"
    ):
        yield f"{one.verdict} at {one.decades} decades"
    yield from _half_life(one)
    yield from _horizons(one)
    yield from _sentence(one, said, results)


def _half_life(one: Summary) -> Iterator[str]:
    if (one.half_life is not None) != (one.slope is not None and one.straight):
        yield "a half-life of a curve that is not straight, or none of one that is"
    if one.half_life is None or one.slope is None:
        return
    along = one.slope * one.lags
    if abs(one.decades - along) > 2 * max(ROUGH[0], ROUGH[1] * abs(along)):
        yield f"half-life {one.half_life} makes {along} decades, the verdict is of {one.decades}"
    if one.verdict == ("vanishes" if one.slope > 0 else "explodes"):
        yield f"{one.verdict} with slope {one.slope}"
    if math.isinf(one.half_life) and one.verdict != "steady":
        yield f"{one.verdict} with a half-life without end"


def _horizons(one: Summary) -> Iterator[str]:
    there = [one.horizons[name] for name in LIMITS]
    lags = [math.inf if h is None else h.lag for h in there]
    if lags != sorted(lags):
        yield f"a wider format is wrong sooner: {lags}"
    for h in filter(None, there):
        if h.extrapolated != (h.lag > one.lags) or (h.extrapolated and not one.straight):
            yield f"{h} with {one.lags} lags, straight: {one.straight}"
        if h.reads == "never" and one.verdict != "steady":
            yield f"{one.verdict} and never"
        if h.extrapolated and (h.reads, one.verdict) in (
            ("inf", "vanishes"),
            ("rounded", "explodes"),
        ):
            yield f"{one.verdict} and {h}"


def _sentence(one: Summary, said: str, results: list[Result]) -> Iterator[str]:
    if not said:
        return
    if not said.startswith(f"{one.verdict}: "):
        yield f"{one.verdict}, but {said}"
    for way in re.findall(r"measured (10\^-?[\d.]+\d|exactly 0)", said):
        if way != power(one.decades):
            yield f"{power(one.decades)}, but {said}"
    if any(int(steps) != one.lags for steps in re.findall(r"over (\d+) steps", said)):
        yield f"{one.lags} lags, but {said}"
    if ("leaves no other way" in said) > (one.verdict == "vanishes"):
        yield said
    if ("lets nothing grow" in said) and one.verdict == "explodes":
        yield said
    share = re.search(r"(the carrousel brings|hidden state bring) ([\d.]+) % of the error", said)
    if share is not None:
        parts = [result["path_share"] for result in results if "path_share" in result]
        if not parts or one.several:
            yield f"no parts were recorded of what is judged, but {said}"
            return
        way = np.atleast_1d(parts[0].coords["direction"]).tolist().index(one.direction)
        part = np.median([np.nanmedian(q.values[one.layer, way, :, 0]) for q in parts])
        part = part if "carrousel" in share[1] else 1 - part
        if not 0.5 <= part <= 1 or float(share[2]) != pytest.approx(100 * part, rel=0.01):
            yield f"parts say {part}, but {said}"


@pytest.mark.parametrize(("loss", "init"), CASES)
def test_what_is_said_of_a_run_agrees_with_itself(loss: str, init: str) -> None:
    asked = experiment(loss, init)
    flow = gradflow.run(asked)
    wrong = []
    for state in ("h", "c", "s", "x"):
        told = explain(flow.source, state)
        for (_, row, results), one in zip(rows_with_results(flow.source, state), told, strict=True):
            wrong += [
                f"{row.cell} {state} {row.summary.direction}: {text}"
                for text in contradictions(row, one.sentence, results)
            ]
    judged = {
        row.cell: row.summary
        for row in rows(flow.source, "s")
        if row.summary.direction == "forward" and row.cell in ADVISED
    }
    for point in plan(asked):
        one = judged.pop(point.config.model.cell_label, None)
        if one is not None:
            bare = point.config.model_copy(update={"record": RecordConfig(states=("s",))})
            advised = trial(bare, math.nan, range(SEEDS))
            if advised.steady != (one.verdict == "steady") or advised.decades != pytest.approx(
                one.decades, abs=1e-9
            ):
                wrong.append(f"{one.verdict} at {one.decades}, advice on {advised}")
    assert wrong == []
