"""The gate's two errors: red where nothing has changed, green where a derivative has."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import gradflow
from gradflow.core.quantity import Result
from gradflow.errors import GradflowError
from gradflow.experiment.config import Experiment, load_config
from gradflow.experiment.measure.measurement import measure as measured
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.workers.executor import Serial
from gradflow.gate.baseline import baseline_path, read_baseline
from gradflow.gate.compare import compare
from gradflow.gate.twins import probe
from tests.torture.ground import Row, launch, times, workplace
from tests.torture.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"

MISSES = 250
"""Changes that move a derivative, at least."""

DRAWN = 32
"""Experiments that no gate has, by which it is seen whether a change moves a derivative at all."""

MOVED = 1e-5 / np.log(10)
"""Decades that are a hundred-thousandth."""

MUTATED = {
    "cells": [f"core.cells.{name}" for name in (
        "rnn", "cec", "lstm", "gru", "block", "activations", "arrays", "carrousel_only")],
    "initialisers": ["core.network.initialise", "core.network.frameworks"],
    "inputs": [f"core.inputs.{name}" for name in ("adding", "lags", "noise", "reber", "symbols")],
    "losses": ["core.network.losses", "core.network.readout"],
    "driver": [f"core.engine.{name}" for name in ("scan", "bptt", "forward", "entering")]
    + ["core.network.stack", "core.analyses.rtrl", "experiment.measure.setting"],
    "recordings": [f"core.record.{name}" for name in (
        "norms", "paths", "gates", "contributions", "gradients", "series")],
    "imported weights": ["experiment.models.pytorch", "experiment.models.weights"],
}  # fmt: skip
"""Modules by what they do; as many changes of each."""

RED, MISSED, SAME, BROKEN = 11, 12, 13, 14
"""How a fork that has judged a changed program ends."""

judged_by: list[Experiment] = []
seen_by: list[Experiment] = []

KERNELS = ("", "Nehalem", "Sandybridge", "Haswell", "Zen", "Core2")
SIMD = ("", "X86_V3 AVX2 FMA3")  # what NumPy 2.4, and what 1.26, call the same level
PYTHONS = "GRADFLOW_PYTHONS"
"""Other interpreters, with other versions of NumPy, apart by colons."""


def measure(fraction: float) -> Iterator[Row]:
    """Judge the same program elsewhere, and changed programs here."""
    yield _false_alarms(fraction)
    yield _misses(fraction)


def gates() -> list[Experiment]:
    """Return the experiments of the committed gates, the small ones first."""
    paths = sorted(
        ROOT.glob("configs/regression*.yaml"), key=lambda path: path.stem == "regression"
    )
    return [load_config(path) for path in paths]


def _false_alarms(fraction: float) -> Row:
    """Check every committed gate, and a chaotic one, wherever this machine can pretend to be."""
    others = [path for path in os.environ.get(PYTHONS, "").split(":") if path]
    ways = list(itertools.product([sys.executable, *others], KERNELS, SIMD, (1, 2), (1, 2)))
    random.Random(0).shuffle(ways)
    chosen = ways[: times(len(ways), fraction, 1)]
    told: Counter[int] = Counter()
    for python, kernel, simd, threads, workers in chosen:
        found = _checked(python, workers, {
            "OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": simd,
            "OPENBLAS_NUM_THREADS": str(threads),
        })  # fmt: skip
        told.update(found.values())
        for name, code in found.items():
            if code:
                print(f"{name}: exit {code} with {(python, kernel, simd, threads, workers)}",
                      file=sys.stderr)  # fmt: skip
    total = sum(told.values())
    figure = (
        f"{total} checks in {len(chosen)} surroundings ({len(KERNELS) - 1} kernels, SIMD levels, "
        f"threads, workers, {1 + len(others)} NumPy): {total - told[0]} red"
    )
    return Row("a gate is green where nothing has changed", figure, total == told[0])


def _checked(python: str, workers: int, surroundings: Mapping[str, str]) -> dict[str, int]:
    """Check all gates in a process of their own; return the exit codes."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | {k: v for k, v in surroundings.items() if v}
    code = (
        "import json, sys\nfrom pathlib import Path\nimport gradflow\n"
        "if __name__ == '__main__':\n out, jobs, *files = sys.argv[1:]\n"
        " print(json.dumps({f: gradflow.check(gradflow.load(f), out=out, jobs=int(jobs)).exit_code"
        " for f in files}))\n"
    )
    with workplace() as where:
        (where / "check.py").write_text(code)
        shutil.copytree(RESULTS / "baselines", where / "results" / "baselines")
        chaotic = ROOT / "tests" / "report" / "chaotic.yaml"
        shutil.copy(chaotic.with_suffix(".json"), where / "results" / "baselines")
        files = [*map(str, sorted(ROOT.glob("configs/regression*.yaml"))), str(chaotic)]
        words = [python, str(where / "check.py"), str(where / "results"), str(workers), *files]
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return dict.fromkeys(files, done.returncode)
        found: dict[str, int] = json.loads(done.stdout)
        return found


def _misses(fraction: float) -> Row:
    """Change the program here and there, and see whether a gate that measures anew is red."""
    wanted = times(MISSES, fraction, len(MUTATED))
    order = random.Random(14)
    with workplace() as where:
        global judged_by, seen_by
        judged_by, seen_by = gates(), _others(where)
        launch(lambda: _keep_truth(where / "truth"), where).end(600)
        each, total = {}, Counter[int]()
        for kind, modules in MUTATED.items():
            every = [one for name in modules for one in mutants(f"gradflow.{name}")]
            order.shuffle(every)
            each[kind] = _judged(every, -(-wanted // len(MUTATED)), where)
            total += each[kind]
            print(f"{kind}: {each[kind][RED]} red, {each[kind][MISSED]} green, "
                  f"{each[kind][SAME]} that move nothing", file=sys.stderr, flush=True)  # fmt: skip
    counts = ", ".join(f"{one[RED] + one[MISSED]} of {kind}" for kind, one in each.items())
    figure = (
        f"{total[RED] + total[MISSED]} changes that move a derivative by 1e-5 or more ({counts}; "
        f"{total[BROKEN]} more end in an error): {total[MISSED]} green"
    )
    promise = "the committed gates are red where a derivative has changed"
    return Row(promise, figure, not total[MISSED])


def _judged(every: list[Mutant], wanted: int, where: Path) -> Counter[int]:
    """Judge changes one after the other until so many have moved a derivative."""
    told: Counter[int] = Counter()
    for mutant in every:
        if told[RED] + told[MISSED] >= wanted:
            break
        ended = launch(lambda one=mutant: _judge(one, where / "truth"), where).end(300)
        code = ended.code if ended.code in (RED, MISSED, SAME) else BROKEN
        told[code] += 1
        if code == MISSED:
            print(f"green: {mutant}: {ended.out.strip()}", file=sys.stderr, flush=True)
    return told


def _judge(mutant: Mutant, truth: Path) -> None:
    """Change the program, check all gates, and where these are green look elsewhere."""
    signal.alarm(290)
    mutant.apply()
    for experiment in judged_by:
        expected = read_baseline(baseline_path(experiment.name, RESULTS))
        found = probe(experiment, Serial)
        for one in compare(expected, found, experiment.check.tolerance):
            if abs(one.difference) > MOVED:
                raise SystemExit(RED)
    with truth.open("rb") as stream:
        rights = pickle.load(stream)
    for experiment, right in zip(seen_by, rights, strict=True):
        if moved := _differs(right, _results(experiment)):
            print(moved, plan(experiment)[0].config.model.cell_label, experiment.name)
            raise SystemExit(MISSED)
    raise SystemExit(SAME)


def _keep_truth(path: Path) -> None:
    """Measure the other experiments with the program as it is."""
    with path.open("wb") as stream:
        pickle.dump([_results(experiment) for experiment in seen_by], stream)


def _others(where: Path) -> list[Experiment]:
    """Draw experiments that make sense; they are read here, once, and measured in forks."""
    order, found = random.Random(41), list[Experiment]()
    drawn = itertools.chain(_imported(where), iter(lambda: _drawn(order), None))
    while len(found) < DRAWN:
        with contextlib.suppress(GradflowError):
            experiment = gradflow.configure(**next(drawn))
            plan(experiment)
            found.append(experiment)
    return found


def _imported(where: Path) -> Iterator[dict[str, Any]]:
    """Write nets of other kinds than a gate reads, and yield the experiments that read them."""
    order = np.random.default_rng(5)
    kinds = {"lstm": (4, "_l0", True), "gru": (3, "_l0", False), "rnn": (1, "_l0", True)}
    kinds |= {"lstm-cell": (4, "", True), "projected": (4, "_l0", True)}
    for name, (gates, end, bias) in kinds.items():
        seen = 2 if name == "projected" else 4
        shapes = {"weight_ih": (gates * 4, 2), "weight_hh": (gates * 4, seen)}
        shapes |= {"bias_ih": (gates * 4,), "bias_hh": (gates * 4,)} if bias else {}
        shapes |= {"weight_hr": (2, 4)} if name == "projected" else {}
        path = where / f"{name}.npz"
        np.savez(path, **{key + end: order.uniform(-0.7, 0.7, s) for key, s in shapes.items()})
        yield {
            "name": name, "model": {"weights": str(path)}, "length": 9, "loss": {"kind": "sum"},
            "inputs": {"kind": "noise", "features": 2, "sequences": 2},
            "record": {"states": ["h", "x"]},
        }  # fmt: skip


def _results(experiment: Experiment) -> list[Result]:
    found = [one for piece in bundle(plan(experiment)) for one in measured(piece)]
    assert not any(isinstance(one, GradflowError) for one in found)
    return found  # type: ignore[return-value]


def _differs(right: list[Result], found: list[Result]) -> str:
    """Name a derivative that is not the same to a hundred-thousandth; empty if there is none."""
    for a, b in zip(right, found, strict=True):
        for name in a:
            one, other = a[name].values, b[name].values
            if one.shape != other.shape or not np.allclose(one, other, 0, MOVED, equal_nan=True):
                return name
    return ""


def _drawn(order: random.Random) -> dict[str, Any]:
    """Draw the sections of an experiment: sizes, options and tasks that no gate has together."""
    pick = order.choice
    kind = pick(["rnn", "cec", "lstm", "lstm", "gru", "gru", "block"])
    squashers = ["tanh", "sigmoid", "identity", "hard_sigmoid", "squash1", "squash2"]
    options: dict[str, list[Any]] = {
        "rnn": {"activation": squashers, "bias": [True, False]},
        "cec": {},
        "lstm": {
            "peephole": ["none", "diagonal", "full"], "coupled": [False, False, True],
            "forget_gate": [True, True, False], "projection": [0, 0, 3],
            "activation": squashers, "output_activation": squashers,
            "gate_activation": ["sigmoid", "hard_sigmoid"],
        },
        "gru": {"reset": ["before", "after"], "activation": squashers},
        "block": {
            "size": [1, 2], "forget_gate": [True, False], "feedback": ["cells", "all"],
            "biases": ["all", "gates", "none"],
        },
    }[kind]  # fmt: skip
    schemes = ["normal", "uniform", "interval", "glorot", "orthogonal", "identity"]
    gains = {name: round(order.uniform(0.7, 1.3), 2) for name in ("recurrent_gain", "input_gain")}
    drawn = {"recurrent": pick(schemes), "input": pick(schemes), "peephole": pick(schemes), **gains}
    drawn |= {"forget_bias": pick([0.5, {"chrono": 12}]), "bias": {"o": 0.3, "g": -0.2, "r": 0.4}}
    tasks = ["noise", "adding", "multiplication", "copy", "temporal-order", "reber", "digits"]
    tasks += ["noise-free-lag", "noisy-lag", "two-sequence", "distractors"]
    task, backward = pick(tasks), pick([False, True])
    loss, at = pick(["probe", "sum", "mse", "cross_entropy"]), pick(["last", "all", "ends"])
    beside = pick([("paths", "gates"), ("contributions",), ("gates", "contributions"), ()])
    return {
        "name": "-".join((kind, task, loss, at)),
        "model": {
            "cell": {"kind": kind} | {key: pick(values) for key, values in options.items()},
            "hidden": pick([4, 5]), "layers": pick([1, 2]), "bidirectional": backward,
        },
        "inputs": {"kind": task, "sequences": 3, "seed": order.randrange(100)},
        "init": pick([drawn, drawn, {"like": "pytorch"}, {"like": "keras"}]),
        "loss": {"kind": loss, "at": at},
        "length": order.randrange(26, 34), "seed": order.randrange(100),
        "method": pick(["bptt", "bptt", "bptt", "rtrl", "carrousel"]),
        "record": {"states": ["h", "s", "x"]} | dict.fromkeys(beside, True),
    }  # fmt: skip
