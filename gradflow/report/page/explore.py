"""The curves of a run as data for the page's script: one view at a time, chosen along every axis.

A view is a state at one value of each axis that the run sweeps (length, layer and direction among
them); in it stands a line for each cell. Where the run has one cell, its lines at all values of the
first axis stand behind as ghosts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from gradflow.core.typing import Array
from gradflow.report.figures.panels import evenly
from gradflow.report.figures.sites import varying, words
from gradflow.report.figures.style import look, looks
from gradflow.report.figures.traces import Curve
from gradflow.report.format import axis_names, cell_name
from gradflow.report.page.palette import coloured

__all__ = ["norm_name", "views"]

BUDGET = 40_000
"""About how many numbers the page of a run carries for its views, some 250 kB."""

FEWEST, MOST = 24, 200
"""Lags of a curve."""


def views(norms: Mapping[str, Sequence[Curve]], cells: Sequence[str]) -> dict[str, Any]:
    """Lay out the curves of all states for the script.

    Parameters
    ----------
    norms : mapping
        Curves by state, the judged one first.
    cells : sequence of str
        All cells of the run.

    Returns
    -------
    dict
        ``states``, ``cells`` (name, colour, dashes), ``axes`` (name, values, whether they are
        numbers) and ``curves``: indices of state and cell, of the value along every axis (−1 where
        it has none), lags, and low, median and high at these; −inf is the text ``"-inf"``.
    """
    states = list(norms)
    every = [one for curves in norms.values() for one in curves]
    lags = int(np.clip(BUDGET // (3 * len(every)), FEWEST, MOST))
    if 3 * FEWEST * len(every) > BUDGET:  # a large sweep: what it is judged by has to do
        states = states[:1]
        every = list(norms[states[0]])
    axes = _switches(every)
    of = looks(cells)
    return {
        "states": [{"name": state, "label": norm_name(state, norms)} for state in states],
        "cells": [_drawn(cell, of[cell]) for cell in cells],
        "axes": [{"name": name, "values": values, "numeric": n} for _, name, values, n in axes],
        "curves": [
            {
                "state": i,
                "cell": cells.index(one.cell),
                "at": [
                    values.index(w) if (w := _at(one, dim)) else -1 for dim, _, values, _ in axes
                ],
                **_numbers(one, lags),
            }
            for i, state in enumerate(states)
            for one in norms[state]
        ],
    }


def norm_name(name: str, among: Collection[str] = ()) -> str:
    """Write the name of a figure: a state's derivative, or what else a kind calls its figures.

    Where the last loss's own norms are `among` the figures, the state's are those of the sum.
    """
    state, _, which = name.partition(".")
    if len(state) > 1 or state.isupper():
        return name.replace("_", " ")
    of_sum = ", the sum of all losses" if f"{name}.last" in among else ""
    return f"∂L/∂{state}" + (", the last loss alone" if which == "last" else of_sum)


Switch: TypeAlias = tuple[str, str, list[str], bool]
"""Dimension, its name, its values in words, and whether they are numbers."""


def _switches(every: Sequence[Curve]) -> list[Switch]:
    """What has more than one value beside the cell: swept axes, the length, the place."""
    paths = varying(every)
    names = {"length": "length", "place": "layer"} | axis_names(paths)
    found = []
    for dim in (*paths, "length", "place"):
        values = [one for one in dict.fromkeys(_at(curve, dim) for curve in every) if one]
        numbers = [_number(value) for value in values]
        numeric = all(number is not None for number in numbers)
        if numeric:
            values.sort(key=lambda value: _number(value) or 0.0)
        if len(values) > 1:
            found.append((dim, names[dim], values, numeric))
    return found


def _at(curve: Curve, dim: str) -> str:
    if dim == "place":
        layer, way = curve.place
        return words({"layer": layer, "direction": way})
    return str(curve.at(dim))


def _number(value: str) -> float | None:
    try:
        return float(value.replace("−", "-"))
    except ValueError:
        return None


def _drawn(cell: str, number: int) -> dict[str, str]:
    """How a cell's lines look, as attributes of SVG."""
    line = look(number)
    dashes = line["linestyle"]
    spaced = "" if dashes == "-" else " ".join(f"{1.6 * part:g}" for part in dashes[1])
    return {"name": cell_name(cell), "colour": coloured(line["color"].lower()), "dashes": spaced}


def _numbers(one: Curve, lags: int) -> dict[str, list[Any]]:
    """The curve at some lags: all that are early, the others evenly."""
    trace = one.trace
    last = len(trace.lag) - 1
    at = list(range(len(trace.lag)))
    if len(at) > lags:
        early = at[: lags // 4]
        at = sorted({*early, *evenly(range(len(early), last + 1), lags - len(early))})
    low, median, high = (_short(y[at]) for y in (trace.low, trace.median, trace.high))
    found = {"lag": trace.lag[at].tolist(), "median": median}
    return found if low == median == high else found | {"low": low, "high": high}


def _short(values: Array) -> list[float | str | None]:
    """To 0.001 decades; NaN is None."""
    return [
        None if np.isnan(value) else "-inf" if np.isneginf(value) else round(float(value), 3)
        for value in values
    ]
