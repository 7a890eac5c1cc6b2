"""What `gradflow diff` compares: runs, parts of them, and baselines, which are read as runs.

Beside a baseline a run is reduced to what a baseline would hold of it, so that where nothing has
changed the two agree to the last digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.quantity import SERIES, Quantity, Result
from gradflow.errors import NoBaselineError, UserError
from gradflow.experiment.store.runs import RESULTS, Point, Run, open_run
from gradflow.gate.baseline import baseline_path, read_baseline
from gradflow.gate.cases import Case, cases_of
from gradflow.gate.naming import AXIS, CASE_NAME
from gradflow.report.read.pairs import Side
from gradflow.report.read.rows import where

__all__ = ["condensed", "read_sides", "run_of_cases"]

BASELINE = "baseline"


def read_sides(a: str, b: str | None = None, out: Path = RESULTS) -> tuple[Side, Side]:
    """Read two sides: a run, ``RUN@KEY=VALUE`` a part of it, ``@KEY=VALUE`` another of the same.

    Parameters
    ----------
    a, b : str
        Names or folders of runs, or the files of baselines. Without `b` the run `a` is held
        against its own baseline, which then is the first side.
    out : Path
        Where runs are, and ``baselines/`` beside them.

    Raises
    ------
    UserError
        If there is no such run, or no such part of it; NoBaselineError if there is no baseline.
    """
    if b is None:
        run = _run(a, out)
        a, b = str(baseline_path(run.name, out)), a
    elif b.startswith("@"):
        b = _split(a, out)[0] + b
    golden = [text.endswith(".json") for text in (a, b)]
    runs = [_run(text, out) for text in (a, b)]
    if any(golden):
        runs = [run if is_one else condensed(run) for run, is_one in zip(runs, golden, strict=True)]
    runs = [where(run, _split(text, out)[1]) for run, text in zip(runs, (a, b), strict=True)]
    first, second = (Side(label, run) for label, run in zip(_labels(a, b, out), runs, strict=True))
    return first, second


def _run(text: str, out: Path) -> Run:
    name = _split(text, out)[0]
    if name.endswith(".json"):
        try:
            return run_of_cases(Path(name).stem, read_baseline(Path(name)), Path(name))
        except NoBaselineError as error:
            fix = "gradflow baseline CONFIG writes one, or name another run"
            raise NoBaselineError(f"{error}\n  fix: {fix}") from error
    return open_run(name, out)


def _split(text: str, out: Path) -> tuple[str, list[str]]:
    """Take the conditions off a run's name, unless there is a folder that is named like that."""
    if Path(text).exists() or (out / text).exists():
        return text, []
    name, *conditions = text.split("@")
    return name, conditions


def _labels(a: str, b: str, out: Path) -> tuple[str, str]:
    """Name the sides by what tells them apart."""
    (one, of_one), (other, of_other) = _split(a, out), _split(b, out)
    if one == other and of_one and of_other:
        return "@".join(of_one), "@".join(of_other)
    short = [
        "@".join([BASELINE if name.endswith(".json") else Path(name).name, *conditions])
        for name, conditions in ((one, of_one), (other, of_other))
    ]
    return (a, b) if short[0] == short[1] else (short[0], short[1])


def run_of_cases(name: str, cases: Mapping[str, Case], path: Path = Path()) -> Run:
    """Return golden values as a run: of each case one sequence, recorded at its lags alone.

    Raises
    ------
    UserError
        If a case has a name that no curve is given.
    """
    points: dict[str, Point] = {}
    found: dict[str, dict[str, dict[tuple[int, str], Case]]] = {}
    for case_name, case in cases.items():
        told = CASE_NAME.fullmatch(case_name)
        if told is None:
            raise UserError(
                f"{path}: {case_name!r} names no cell, length, seed and state\n"
                "  fix: restore it, or write it anew with gradflow baseline"
            )
        point, rest = _point(told)
        points[point.hash] = point
        by_state = found.setdefault(point.hash, {})
        by_state.setdefault(rest, {})[int(told["layer"] or 0), told["direction"] or "forward"] = (
            case
        )
    results: dict[str, Result] = {
        key: {state: _series(state, places) for state, places in by_state.items()}
        for key, by_state in found.items()
    }
    return Run(name, tuple(points.values()), load=lambda point: results[point.hash], path=path)


def condensed(run: Run) -> Run:
    """Return a run as its baseline would hold it."""
    return run_of_cases(run.name, cases_of(run), run.path)


def _point(told: re.Match[str]) -> tuple[Point, str]:
    """Read a case's name: which point it is of, and of which state, or what else and gate."""
    axes: dict[str, Any] = {"model.cell": told["cell"], "length": int(told["length"])}
    axes["seed"] = int(told["seed"])
    for word in AXIS.split(told["axes"]):
        path, equals, value = word.partition("=")
        axes |= {path.strip(): value} if equals else {}
    key = told.string[: told.start("state")]
    what = told["state"] + (f" gate={told['gate']}" if told["gate"] else "")
    net = {"cell": told["cell"], "kind": told["cell"].partition("(")[0]}
    return Point(key, axes, axes["length"], axes["seed"], {}, net), what


def _series(state: str, places: Mapping[tuple[int, str], Case]) -> Quantity:
    """Lay the cases of a state out by layer, direction and step; where there is none, lag −1."""
    layers = sorted({layer for layer, _ in places})
    ways = sorted({way for _, way in places}, key=("forward", "backward", "both").index)
    size = max(len(case.lags) for case in places.values())
    values = np.full((len(layers), len(ways), 1, size), np.nan)
    exists = np.zeros((len(layers), len(ways)), bool)
    lag = np.full((len(ways), size), -1)
    for (layer, way), case in places.items():
        i, j = layers.index(layer), ways.index(way)
        exists[i, j] = True
        lag[j, : len(case.lags)] = case.lags
        values[i, j, 0, : len(case.lags)] = case.values
    coords = {
        "layer": np.array(layers),
        "direction": np.array(ways),
        "exists": exists,
        "step": lag.max() - lag[0],
        "lag": lag,
    }
    return Quantity(state, SERIES, values, coords)
