"""A gate is to be red where a derivative has changed: changed programs, judged in forks."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import random
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import _lru_cache_wrapper, partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import gradflow
from gradflow.core.quantity import Result
from gradflow.errors import GradflowError
from gradflow.experiment.config import Experiment, load_config
from gradflow.experiment.data import reading
from gradflow.experiment.measure.measurement import measure as measured
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.workers.executor import Serial
from gradflow.gate.baseline import baseline_path, read_baseline
from gradflow.gate.compare import compare
from gradflow.gate.naming import prefix
from gradflow.gate.twins import probe
from tests.torture.ground import GATES, RESULTS, Process, Row, launch, times, workplace
from tests.torture.mutants import Mutant, mutants

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
    "imported weights": [f"experiment.models.{name}" for name in (
        "pytorch", "weights", "found", "tensors")],
}  # fmt: skip
"""Modules by what they do; as many changes of each."""

RED, MISSED, SAME, BROKEN = 11, 12, 13, 14
ENDS = {RED: "red", MISSED: "green", SAME: "that move nothing", BROKEN: "that end in an error"}
"""How a fork that has judged a changed program ends."""


class Watched(NamedTuple):
    """An experiment as the program is: what it runs and finds, by the hash of each point."""

    make: Callable[[], Experiment]
    runs: dict[str, set[str]]
    truth: dict[str, Result]

    def touched(self, mutant: Mutant) -> set[str]:
        """The points that run a function: no change of it can move others."""
        name = f"{mutant.module}.{mutant.function}"
        return {key for key, functions in self.runs.items() if name in functions}


Judges: TypeAlias = tuple[list[Watched], list[Watched]]
"""The gates, and experiments by which it is seen whether a change moves anything."""


def misses(fraction: float) -> Row:
    """Change the program here and there, and see whether a gate that measures anew is red."""
    wanted = times(MISSES, fraction, len(MUTATED))
    order = random.Random(14)
    with workplace() as where:
        gates = [_watched(partial(load_config, path), where) for path in GATES]
        gates.sort(key=lambda one: len(one.runs))  # the small ones first
        others = [_watched(partial(gradflow.configure, **one), where) for one in _others(where)]
        each, total = {}, Counter[int]()
        for kind, modules in MUTATED.items():
            every = [one for name in modules for one in mutants(f"gradflow.{name}")]
            order.shuffle(every)
            each[kind] = _judged(every, -(-wanted // len(MUTATED)), (gates, others), where)
            total += each[kind]
            told = ", ".join(f"{each[kind][code]} {what}" for code, what in ENDS.items())
            print(f"{kind}: {told}", file=sys.stderr, flush=True)
    counts = ", ".join(f"{one[RED] + one[MISSED]} of {kind}" for kind, one in each.items())
    figure = (
        f"{total[RED] + total[MISSED]} changes that move a derivative by 1e-5 or more ({counts}; "
        f"{total[BROKEN]} more end in an error): {total[MISSED]} green"
    )
    promise = "the committed gates are red where a derivative has changed"
    return Row(promise, figure, not total[MISSED])


def _judged(every: list[Mutant], wanted: int, by: Judges, where: Path) -> Counter[int]:
    """Judge changes until so many have moved a derivative, two at a time where a core is free."""
    told: Counter[int] = Counter()
    running: deque[tuple[Mutant, Process]] = deque()

    def settle() -> None:
        mutant, process = running.popleft()
        ended = process.end(300)
        code = ended.code if ended.code in (RED, MISSED, SAME) else BROKEN
        told[code] += 1
        if code == MISSED:
            print(f"green: {mutant}: {ended.out.strip()}", file=sys.stderr, flush=True)

    for number, mutant in enumerate(every):
        if told[RED] + told[MISSED] >= wanted:
            break
        if not any(one.touched(mutant) for one in itertools.chain(*by)):
            told[SAME] += 1
            continue
        running.append((mutant, launch(partial(_judge, mutant, *by), where, f"-{number}")))
        if len(running) > (os.getloadavg()[0] < 1.5):
            settle()
    while running:
        settle()
    return told


def _judge(mutant: Mutant, gates: list[Watched], others: list[Watched]) -> None:
    """Change the program, check all gates, and where these are green look elsewhere."""
    signal.alarm(290)
    mutant.apply()
    _forget()
    red = False
    for one in gates:
        if touched := one.touched(mutant):
            experiment = one.make()
            starts = tuple(prefix(p.point) for p in plan(experiment) if p.hash in touched)
            whole = read_baseline(baseline_path(experiment.name, RESULTS))
            expected = {name: case for name, case in whole.items() if name.startswith(starts)}
            found = compare(
                expected, probe(experiment, Serial, touched), experiment.check.tolerance
            )
            red |= bool(found)
            if any(abs(finding.difference) > MOVED for finding in found):
                raise SystemExit(RED)
    for one in others:
        if touched := one.touched(mutant):
            experiment = one.make()
            if moved := _differs(one.truth, _results(experiment, touched)):
                print(moved, plan(experiment)[0].config.model.cell_label, experiment.name)
                raise SystemExit(RED if red else MISSED)
    raise SystemExit(SAME)


def _watched(make: Callable[[], Experiment], where: Path) -> Watched:
    """Measure an experiment in a fork, and see which functions are called."""

    def work() -> None:
        runs, truth = dict[str, set[str]](), dict[str, Result]()
        _forget()
        with _called() as read:
            points = plan(make())
        for piece in bundle(points):
            _forget()
            with _called() as called:
                found = measured(piece)
            for point, result in zip(piece.points, found, strict=True):
                assert not isinstance(result, GradflowError)
                runs[point.hash], truth[point.hash] = read | called, result
        (where / "seen").write_bytes(pickle.dumps((runs, truth)))

    ended = launch(work, where).end(600)
    assert ended.code == 0, ended.err
    return Watched(make, *pickle.loads((where / "seen").read_bytes()))


@contextlib.contextmanager
def _called() -> Iterator[set[str]]:
    found: set[str] = set()

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            found.add(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}")

    sys.setprofile(see)
    try:
        yield found
    finally:
        sys.setprofile(None)


def _forget() -> None:
    """Let go of what has been read and made, so that a changed function is asked again."""
    reading._SHELF.clear()
    for name, module in list(sys.modules.items()):
        if name.startswith(("gradflow.core.", "gradflow.experiment.data.")):
            for value in vars(module).values():
                if isinstance(value, _lru_cache_wrapper) and value.__module__ == name:
                    value.cache_clear()


def _others(where: Path) -> list[dict[str, Any]]:
    """Draw experiments that make sense."""
    order, found = random.Random(41), list[dict[str, Any]]()
    drawn = itertools.chain(_imported(where), iter(lambda: _drawn(order), None))
    while len(found) < DRAWN:
        sections = next(drawn)
        with contextlib.suppress(GradflowError):
            plan(gradflow.configure(**sections))
            found.append(sections)
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


def _results(experiment: Experiment, wanted: Collection[str]) -> dict[str, Result]:
    found = dict[str, Result]()
    for piece in bundle(point for point in plan(experiment) if point.hash in wanted):
        for point, one in zip(piece.points, measured(piece), strict=True):
            assert not isinstance(one, GradflowError)
            found[point.hash] = one
    return found


def _differs(right: Mapping[str, Result], found: Mapping[str, Result]) -> str:
    """Name a derivative that is not the same to a hundred-thousandth; empty if there is none."""
    for key, result in found.items():
        for name, quantity in right[key].items():
            one, other = quantity.values, result[name].values
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
