"""How many faults put into the code fail a test of its room.

A room's tests are collected once, in a process of the room's own. A fork of it runs them all and
notes which functions each calls; then every change has a fork, which runs the tests of those files
that call the changed function: first the tests that do, the quickest first, until one fails.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pickle
import random
import resource
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest

from tests.torture.ground import Row, launch, times, workplace
from tests.torture.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]

DRAWN = 30
"""Faults of each room."""

KILLED = 0.9
"""Share that has to fail a test."""

PATIENCE = 60, 600
"""Seconds of the processor, and of the clock, after which a changed program hangs."""

LONG = 60.0
"""Seconds of tests, as they take while their calls are noted, that one fault is worth."""

FAILED, SURVIVED, UNMADE = 11, 12, 13
"""How the fork of a changed program ends."""


class Room(NamedTuple):
    """Files or folders of the package, and the tests that are theirs by folder."""

    code: tuple[str, ...]
    tests: str


CORE = (
    "core: arrays block carrousel contributions flow_map gates gradients initialise inputs "
    "learning losses own_lengths paths range rtrl scaled series spectrum symmetries tape "
    "theory truncated truths"
)

ROOMS = {
    "cells": Room(("core/cells",), CORE),
    "engine": Room(("core/engine",), CORE),
    "scaled": Room(("core/scaled.py",), CORE),
    "gate": Room(("gate",), "report: gate evidence check committed_gates diff"),
    "rates": Room(
        ("report/read/rates.py", "report/read/horizons.py", "report/read/records.py"),
        "report: rates horizons explain digest export kinds learning table",
    ),
    "store": Room(
        ("experiment/store",),
        "experiment: folder damage run alone unchanged execute provenance npz training; cli: fixes",
    ),
    "importers": Room(
        ("experiment/models",),
        "experiment: weights checkpoints companions hostile nets_of_ones_own keras_files "
        "keras_layers onnx_files real_files training; cli: inspect",
    ),
}

NEEDS = {"onnx": "onnx", "graph": "onnx", "hdf5": "h5py"}
"""Packages without which a module cannot be imported."""


def measure(fraction: float, seed: int = 6) -> Iterator[Row]:
    """Put faults into each room, and count those that a test sees."""
    told: dict[str, Counter[int]] = {}
    for tests, rooms in itertools.groupby(ROOMS, lambda name: ROOMS[name].tests):
        drawn = {room: faults(ROOMS[room].code, seed) for room in rooms}
        told |= _judged(tests, drawn, times(DRAWN, fraction))
    killed = sum(one[FAILED] for one in told.values())
    total = sum(one.total() for one in told.values())
    each = ", ".join(f"{name} {one[FAILED]} of {one.total()}" for name, one in told.items())
    promise = "a fault put into the code fails a test of its room"
    yield Row(promise, f"{killed} of {total} ({each})", killed >= KILLED * total)


def faults(places: tuple[str, ...], seed: int) -> list[Mutant]:
    """Put all faults of a room's code, but for modules that need what is not here, in an order."""
    home = ROOT / "gradflow"
    found = [path for one in places for path in sorted((home / one).rglob("*.py")) or [home / one]]
    lacking = {name for name, package in NEEDS.items() if not find_spec(package)}
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in found
        if path.stem not in {"__init__", *lacking}
    ]
    every = [one for name in names for one in mutants(name, logic=True)]
    random.Random(seed).shuffle(every)
    return every


def _judged(tests: str, drawn: dict[str, list[Mutant]], wanted: int) -> dict[str, Counter[int]]:
    """Collect the tests in a process of its own, and judge so many faults of each room there."""
    with workplace() as where:
        words = ["-p", "no:cacheprovider", f"--basetemp={where / 'basetemp'}"]
        words += ["-m", ""] if find_spec("torch") else []
        for folder, names in (group.split(": ") for group in tests.split("; ")):
            words += [str(ROOT / "tests" / folder / f"test_{name}.py") for name in names.split()]

        def work() -> None:
            os.chdir(ROOT)
            pytest.main(words, [_Judging(drawn, wanted, where)])

        ended = launch(work, where).end(1e6)
        if not (where / "told").exists():
            raise RuntimeError(ended.out + ended.err)
        if (survivors := where / "survivors").exists():
            print(survivors.read_text(), end="", file=sys.stderr, flush=True)
        told: dict[str, Counter[int]] = pickle.loads((where / "told").read_bytes())
        return told


class _Reached(NamedTuple):
    """A test that passes: its file, what it calls, the seconds of the processor it takes."""

    path: Path
    called: set[tuple[str, str]]
    seconds: float


class _Judging:
    """A plugin of pytest that runs the collected tests again and again, each time in a fork."""

    def __init__(self, drawn: dict[str, list[Mutant]], wanted: int, where: Path) -> None:
        self.drawn, self.wanted, self.where = drawn, wanted, where
        self.called: set[tuple[str, str]] = set()
        self.failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that something failed."""
        self.failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge the changes instead of running the tests."""
        self._fork(lambda: self._reach(session.items), 1e6)
        reached = pickle.loads((self.where / "reached").read_bytes())
        told = {room: Counter[int]() for room in self.drawn}
        for room, faults in self.drawn.items():
            for mutant in faults:
                if told[room].total() >= self.wanted:
                    break
                tests = _chosen(mutant, reached)
                work = functools.partial(self._judge, mutant, [session.items[i] for i in tests])
                code = self._fork(work, PATIENCE[1])
                if code == UNMADE:
                    continue
                told[room][SURVIVED if code == SURVIVED else FAILED] += 1
                if code == SURVIVED:
                    with (self.where / "survivors").open("a") as stream:
                        print(f"{len(tests)} tests pass: {mutant}", file=stream)
        (self.where / "told").write_bytes(pickle.dumps(told))
        return True

    def _fork(self, work: Callable[[], object], patience: float) -> int:
        process = launch(work, self.where, "-fork")
        code = process.end(patience).code
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started
        return code

    def _reach(self, items: list[pytest.Item]) -> None:
        """Run every test of the program as it is; keep those that pass, by their place."""
        reached = {}
        sys.settrace(self._note)
        threading.settrace(self._note)
        for place, item in enumerate(items):
            self.called, self.failed, start = set(), False, sum(os.times()[:4])
            self._run(items, place)
            if not self.failed:
                seconds = sum(os.times()[:4]) - start
                reached[place] = _Reached(item.path, self.called, seconds)
        (self.where / "reached").write_bytes(pickle.dumps(reached))

    def _note(self, frame: FrameType, _event: str, _argument: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("gradflow."):
            self.called.add((name, frame.f_code.co_qualname))

    def _judge(self, mutant: Mutant, items: list[pytest.Item]) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE[0], PATIENCE[0]))
        resource.setrlimit(resource.RLIMIT_DATA, (2**32, 2**32))
        try:
            mutant.apply()
        except Exception:
            raise SystemExit(UNMADE) from None
        for place in range(len(items)):
            self._run(items, place)
            if self.failed:
                raise SystemExit(FAILED)
        raise SystemExit(SURVIVED)

    def _run(self, items: list[pytest.Item], place: int) -> None:
        os.chdir(ROOT)
        after = items[place + 1] if place + 1 < len(items) else None
        items[place].config.hook.pytest_runtest_protocol(item=items[place], nextitem=after)


def _chosen(mutant: Mutant, reached: dict[int, _Reached]) -> list[int]:
    """Choose tests of the files that call the function: first the tests that do, quickest first.

    The files take turns. What is made once for a file is called by the first of its tests that
    needs it alone.
    """
    changed = mutant.module, mutant.function
    files: dict[Path, list[tuple[bool, float, int]]] = {}
    for place, one in reached.items():
        files.setdefault(one.path, []).append((changed not in one.called, one.seconds, place))
    asked = [sorted(each) for each in files.values() if not all(beside for beside, *_ in each)]
    turns = enumerate(itertools.zip_longest(*asked))
    turn_by_turn = [(one[0], turn, *one[1:]) for turn, each in turns for one in each if one]
    order = sorted(turn_by_turn)
    before = itertools.accumulate((seconds for *_, seconds, _ in order), initial=0.0)
    return [place for (*_, place), start in zip(order, before, strict=False) if start < LONG]
