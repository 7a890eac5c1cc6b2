"""Which recorded curves the gate compares, and what each is called in a baseline.

Norms of the states, also of the last loss alone (``s.last``); and where they are recorded the two
paths of the carrousel, each step's contributions to the weights' gradients with their conflict, how
far the gates are open, and what the carrousel alone keeps. What is one number a sequence is a curve
of one lag.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from gradflow.core.quantity import SERIES, Quantity, Result
from gradflow.experiment.store.runs import Point
from gradflow.report.format import setting
from gradflow.report.read.records import Curves, curves, other_axes, states

__all__ = [
    "AXIS",
    "CASE_NAME",
    "NamedCurve",
    "in_decades",
    "meets",
    "named_curves",
    "possible_names",
    "prefix",
]

CASE_NAME = re.compile(
    r"(?P<cell>.+?) length=(?P<length>\d+) seed=(?P<seed>-?\d+)(?P<axes>.*?)"
    r" (?P<state>[\w.]+)(?: layer=(?P<layer>\d+) (?P<direction>\w+))?(?: gate=(?P<gate>\w+))?"
)
"""The name of a case, as `named_curves` gives it."""

AXIS = re.compile(r" (?=[a-z_]\w*(?:\.\w+)*=)")
"""Where the next swept axis begins: the value of the one before may hold spaces."""

KEPT = ("keep_mean", "keep_spread", "keep_decades")
"""What stands beside recordings that it explains."""

BESIDE = {
    "paths": ("path_carrousel", "path_gates", "path_share", "path_cosine", *KEPT),
    "contributions": tuple(f"{what}_{of}" for what in ("contribution", "conflict") for of in "UWV"),
    "gates": ("gate_mean", "gate_spread", "gate_saturated", *KEPT),
    "theory": KEPT,
}
"""What is compared beside norms, by the key under ``record`` that asks for it."""

PLAIN = ("path_share", "path_cosine", "conflict_", "gate_", "keep_mean", "keep_spread")
"""How what is no logarithm begins."""

LAST = ".last"


@dataclass(frozen=True)
class NamedCurve:
    """A recorded curve and where it belongs; `name` identifies it in a baseline."""

    name: str
    cell: str
    kind: str
    state: str
    curves: Curves
    top: bool = True


def prefix(point: Point) -> str:
    """Return how the names of a point's cases begin."""
    words = [point.cell, f"length={point.length}", f"seed={point.seed}"]
    words += [f"{path}={setting(value)}" for path, value in other_axes(point).items()]
    return " ".join(words) + " "


def possible_names(point: Point) -> Iterator[str]:
    """Name every curve that may be recorded at a point, before anything is measured."""
    record = point.settings["record"]
    each = [name for state in record["states"] for name in (state, state + LAST)]
    each += [name for key, names in BESIDE.items() if record.get(key) for name in names]
    start = prefix(point)
    for name in each:
        for i, layer in enumerate(point.net["layers"]):
            named = dict.fromkeys([*layer["gates"], "i"])  # a coupled i opens without parameters
            gates = ["", *(f" gate={gate}" for gate in named)]
            places = ["", *(f" layer={i} {way}" for way in (*layer["directions"], "both"))]
            yield from (start + name + place + gate for place in places for gate in gates)


def meets(name: str, patterns: Collection[str]) -> bool:
    """Whether a case's name holds one of some texts, in which ``*`` stands for any; none: it does.

    Capitals make no difference.
    """
    found = (".*".join(map(re.escape, text.split("*"))) for text in patterns)
    return not patterns or any(re.search(one, name, re.IGNORECASE) for one in found)


def in_decades(name: str) -> bool:
    """Whether the numbers of a case are logarithms."""
    told = CASE_NAME.fullmatch(name)
    return told is None or not told["state"].startswith(PLAIN)


def named_curves(point: Point, result: Result) -> Iterator[NamedCurve]:
    """Name every curve of a point that is compared, by layer, direction and gate."""
    cell, kind, start = point.cell, point.net.get("kind", point.cell), prefix(point)
    beside = {name for names in BESIDE.values() for name in names}
    for state in states(result) + [
        name for name in result if name.endswith(LAST) or name in beside
    ]:
        for gate, series in _by_gate(result[state]):
            found = list(curves(series))
            for one in found:
                part = f" layer={one.layer} {one.direction}" if len(found) > 1 else ""
                top = one.layer == found[-1].layer
                name = start + state + part + gate
                yield NamedCurve(name, cell, kind, state, one, top)


def _by_gate(quantity: Quantity) -> Iterator[tuple[str, Quantity]]:
    """Take a quantity apart by gate, each as a series along time."""
    dims, values, coords = quantity.dims, quantity.values, dict(quantity.coords)
    if "layer" not in dims:
        dims, values = ("layer", "direction", *dims), values[None, None]
        coords["direction"] = np.array(["forward"])
    if "step" not in dims:
        dims, values = (*dims, "step"), values[..., None]
        coords["step"] = np.zeros(1, int)
    if "lag" not in coords:
        step = np.asarray(coords["step"])
        coords["lag"] = np.tile(step[-1] - step, (values.shape[1], 1))
    if "gate" not in dims:
        yield "", Quantity(quantity.name, SERIES, values, coords)
        return
    exists = np.asarray(coords.get("exists", np.ones(values.shape[:3], bool)))
    for i, gate in enumerate(np.asarray(coords.pop("gate")).tolist()):
        own = coords | {"exists": exists[:, :, i]}
        yield f" gate={gate}", Quantity(quantity.name, SERIES, values[:, :, i], own)
