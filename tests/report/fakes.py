"""Runs held in memory, with curves whose numbers are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gradflow.core.quantity import Quantity
from gradflow.experiment.store.runs import Point


@dataclass
class Run:
    path: Path
    name: str = "fake"
    points: list[Point] = field(default_factory=list)
    results: dict[int, dict[str, Quantity]] = field(default_factory=dict)
    loads: int = 0
    environments: tuple[()] = ()

    def result(self, point):
        self.loads += 1
        return self.results[id(point)]

    def part(self, points):
        return replace(self, points=list(points))

    def add(self, cell, length, seed, result, *, at="last", **axes):
        swept = {"model.cell": cell, "length": length, "seed": seed}
        swept.update({path.replace("__", "."): value for path, value in axes.items()})
        settings = {"loss": {"at": at}, "record": {}}
        net = {"cell": cell, "kind": cell.partition("(")[0]}
        self.points.append(Point(f"{len(self.points):016x}", swept, length, seed, settings, net))
        self.results[id(self.points[-1])] = result
        return self


def series(values, name="s", *, lag=None, step=None, directions=("forward",)):
    """A norm series of `values` (layer, direction, sequence, step), own time 0..T."""
    values = np.asarray(values, float)
    steps = np.arange(values.shape[-1]) if step is None else np.asarray(step)
    if lag is None:
        lag = np.tile(steps[-1] - steps, (len(directions), 1))
    coords = {
        "layer": np.arange(values.shape[0]),
        "direction": np.array(directions),
        "step": steps,
        "lag": np.asarray(lag),
    }
    return Quantity(name, ("layer", "direction", "sequence", "step"), values, coords)


def line(slope, length, *, start=0.0, sequences=3, noise=0.0, seed=0, name="s"):
    """Straight curves of one layer: `slope` decades per step back from the loss."""
    lag = np.arange(length, -1, -1)
    shift = np.random.default_rng(seed).standard_normal((sequences, length + 1)) * noise
    return series((start + slope * lag + shift)[None, None], name)


SLOPES = {
    "rnn": -0.36, "cec": 0.0, "lstm": -0.118, "lstm(peephole=diagonal)": -0.103,
    "lstm(coupled)": -0.081, "gru": -0.149, "lstm(forget_gate=false)": 0.02,
    "gru(reset=after)": -0.16, "rnn(activation=sigmoid)": -0.9, "rnn(activation=relu)": -0.28,
    "lstm(peephole=full)": -0.09, "rnn(activation=identity)": 0.05,
}  # fmt: skip


def walk(slope, length, seed, name="s", sequences=8, layers=1, directions=("forward",)):
    """Curves that wander about a slope, as measured ones do."""
    random = np.random.default_rng([seed, len(name), length])
    slopes = slope * (1 + 0.06 * random.standard_normal((layers, len(directions), 1, 1)))
    kicks = random.standard_normal((layers, len(directions), sequences, length))
    kicks = slopes + abs(slope) * 0.8 * kicks
    zero = np.zeros((layers, len(directions), sequences, 1))
    curves = np.concatenate([zero, np.cumsum(kicks, axis=-1)], axis=-1)
    return series(curves[..., ::-1], name, directions=directions)


def sweep(path, cells=6, lengths=(8, 16, 32, 64, 128, 256), seeds=5, **kind):
    """What a quickstart sweep looks like."""
    run = Run(path, "quickstart")
    for i, (cell, slope) in enumerate(list(SLOPES.items())[:cells]):
        for length in lengths:
            for seed in range(seeds):
                names = ("h", "c", "s") if cell.startswith("lstm") else ("h", "s")
                result = {n: walk(slope, length, 100 * i + seed, n, **kind) for n in names}
                run.add(cell, length, seed, result)
    return run
