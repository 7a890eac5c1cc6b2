"""Run the sides of one workload against each other: agreement first, then interleaved timings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sides import SIDES, Side, environment
from benchmarks.workloads import Workload

RANGE = {"float64": -145.0, "float32": -16.0}
"""log10 of the smallest norm whose square no peer loses to underflow."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""Decades by which norms may differ there; float32 carries 7 digits through 1000 steps."""

ROOT = Path(__file__).resolve().parents[1]


class Disagreement(Exception):
    """Two sides give different norms: timing them would compare nothing."""


@dataclass
class Measured:
    """One side's result on one workload; times in seconds, memory in bytes."""

    workload: str
    dtype: str
    side: str
    wall: list[float]
    cpu: list[float]
    prepare: float
    peak: int
    idle: int
    apart: float | None
    in_range: float | None

    @property
    def median(self) -> float:
        return float(np.median(self.wall))

    @property
    def spread(self) -> tuple[float, float]:
        low, high = np.quantile(self.wall, (0.25, 0.75))
        return float(low), float(high)

    @property
    def cpu_median(self) -> float:
        return float(np.median(self.cpu))

    @property
    def busy(self) -> bool:
        """Whether something else had the core for more than a twentieth of the time."""
        return self.median > 1.05 * self.cpu_median


def compare(
    work: Workload, dtype: str, runs: int, core: int
) -> tuple[list[Measured], dict[str, str]]:
    """Time every side that takes part, in turns (A B C A B C …)."""
    sides = {name: side for name, side in SIDES.items() if side.takes(work)}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        workers = {n: stack.enter_context(_worker(n, work.name, dtype, core)) for n in sides}
        agreement = _agreement(workers, sides, dtype, Path(folder))
        times = [(name, worker.ask("run")) for _ in range(runs) for name, worker in workers.items()]
        peaks = {name: worker.ask("quit")["peak"] for name, worker in workers.items()}
    versions = {k: v for w in workers.values() for k, v in w.hello["versions"].items()}
    return [
        Measured(
            work.name,
            dtype,
            name,
            [t["wall"] for who, t in times if who == name],
            [t["cpu"] for who, t in times if who == name],
            worker.hello["prepare"],
            peaks[name],
            worker.hello["idle"],
            *agreement[name],
        )
        for name, worker in workers.items()
    ], versions


@dataclass
class _Worker:
    process: subprocess.Popen[str]
    hello: dict[str, Any]

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return _answer(self.process)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a side ended with exit code {process.wait()}: see its message above")
    answer: dict[str, Any] = json.loads(line)
    return answer


@contextmanager
def _worker(side: str, workload: str, dtype: str, core: int) -> Iterator[_Worker]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", side, workload, dtype, str(core)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(dtype),
        cwd=ROOT,
    )
    try:
        yield _Worker(process, _answer(process))
    finally:
        process.kill()
        process.communicate()


def _agreement(
    workers: Mapping[str, _Worker], sides: Mapping[str, Side], dtype: str, folder: Path
) -> dict[str, tuple[float | None, float | None]]:
    """Largest difference in decades from gradflow, and the share of norms it was taken over."""
    result: dict[str, tuple[float | None, float | None]] = {}
    reference: dict[str, np.ndarray] = {}
    for name, worker in workers.items():
        path = folder / f"{name}.npz"
        worker.ask(f"check {path}")
        with np.load(path) as arrays:
            norms = dict(arrays)
        path.unlink()
        if name == "gradflow":
            reference = norms
        if name == "gradflow" or not sides[name].answers:
            result[name] = (None, None)
            continue
        result[name] = apart, _ = _differences(reference, norms, dtype)
        if not apart <= TOLERANCE[dtype]:
            raise Disagreement(f"{sides[name].title} is {apart:.3g} decades from gradflow")
    return result


def _differences(
    reference: Mapping[str, np.ndarray], norms: Mapping[str, np.ndarray], dtype: str
) -> tuple[float, float]:
    worst, inside, total = 0.0, 0, 0
    for key, theirs in norms.items():
        ours = reference[key]
        if ours.shape != theirs.shape:
            raise Disagreement(f"{key} is shaped {theirs.shape}, gradflow's {ours.shape}")
        # Both bounds: beyond the range a peer has zeros or fewer digits, and no number of its own.
        here = np.maximum(ours, theirs) > RANGE[dtype]
        worst = max(worst, float(np.abs(ours[here] - theirs[here]).max(initial=0.0)))
        inside, total = inside + int(here.sum()), total + here.size
    return worst, inside / total


def bound(core: int) -> Callable[[], None] | None:
    """What binds a new process to a core, to be called in it; None where that cannot be done."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return lambda: os.sched_setaffinity(0, {core})


def on_one_core(module: str, runs: int, core: int) -> list[dict[str, Any]]:
    """Run a module that prints its timings in a process of its own, and read them."""
    done = subprocess.run(
        [sys.executable, "-m", module, str(runs)],
        env=environment("float64"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=bound(core),
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def default_core() -> int:
    """The last core we may run on: the first is where interrupts tend to go."""
    if hasattr(os, "sched_getaffinity"):
        return max(os.sched_getaffinity(0))
    return 0
