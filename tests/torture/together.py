"""Several processes fill one folder, some are killed, others read: each point once, none lost."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import matplotlib.backends.backend_agg
import matplotlib.backends.backend_svg  # noqa: F401  # read once, not in every fork

import gradflow.report.figures
import gradflow.report.page  # noqa: F401
from gradflow.errors import UserError
from gradflow.experiment.run import WHOLE, Shard
from gradflow.experiment.store.runs import open_run
from tests.torture.ground import Process, Row, call, launch, times, workplace
from tests.torture.kills import SWEEP, TRAINING, faults, fresh, stored, sweep, uninterrupted

READERS = (("show", "sweep"), ("plot", "sweep"), ("report", "sweep"), ("ls",), ("doctor",))
NOTHING = ("there is no run", "there are no runs", "no norms are stored", "no points")
KILLS = 4
"""In each round."""


def measure(fraction: float) -> Iterator[Row]:
    """Let 2 to 8 processes work at once, each with a part of the sweep and all with the whole."""
    draw, found = random.Random(14), Counter[str]()
    ways = ((SWEEP, True), (SWEEP, False), (TRAINING, False))
    rounds = [(count, *way) for count in range(2, 9) for way in ways]
    with workplace(disk=True) as where:
        whole = {text: uninterrupted(where, text)[0] for text in (SWEEP, TRAINING)}
        for count, text, parts in rounds[: times(len(rounds), min(1, fraction), len(ways))]:
            found += _round(where, text, whole[text], count, parts, draw)
    figure = (
        f"{found['rounds']} rounds of 2 to 8 processes, in a third of them nets learn,"
        f" {found['kills']} kills: {found['reported']:,} points, {found['lost']} lost,"
        f" {found['torn']} torn,"
        f" {found['computed twice']} computed twice where each has a part,"
        f" {found['other bytes']} rounds with other bytes, {found['errors']} other errors"
    )
    wrong = ("lost", "torn", "computed twice", "other bytes", "errors", "damaged")
    passed = not any(found[name] for name in wrong)
    yield Row("several processes fill one folder, also when some are killed", figure, passed)
    figure = (
        f"{found['readings']:,} readings, {found['commands']} of them commands (show, plot,"
        f" report, ls, doctor), while others wrote: {found['half']} saw half a state"
    )
    yield Row("readers see what was there or what is there now", figure, not found["half"])


def _round(
    where: Path, text: str, whole: dict[str, bytes], count: int, parts: bool, draw: random.Random
) -> Counter[str]:
    fresh(where, text)
    found = Counter[str](rounds=1)
    shards = [Shard(number, count) if parts else WHOLE for number in range(1, count + 1)]
    running = {number: _start(where, shards, number) for number in range(count)}
    left = KILLS
    while running:
        _read(where, found, draw)
        number = draw.choice(list(running))
        if left:
            time.sleep(draw.uniform(0, 0.2))
            running[number].send(signal.SIGKILL)
            left -= 1
            found["kills"] += running[number].end().code == -signal.SIGKILL
            running[number] = _start(where, shards, number)
        elif running[number].over():
            ended = running.pop(number).end()
            found["errors"] += ended.code != 0
            if ended.code:
                print(ended.err, file=sys.stderr)
    now = faults(where, whole)
    if not parts:  # each of them measures what was missing when it began
        del now["computed twice"]
    found["other bytes"] += stored(where / "results" / "sweep") != whole
    return found + now


def _start(where: Path, shards: list[Shard], number: int) -> Process:
    return launch(partial(sweep, shard=shards[number]), where, f"-{number}")


def _read(where: Path, found: Counter[str], draw: random.Random) -> None:
    """Read all that is there, by the store and by a command."""
    try:
        opened = open_run(where / "results" / "sweep")
        for point in opened.points:
            opened.result(point)
    except UserError as error:
        _half("open_run", str(error), found)
    except Exception as error:
        found["half"] += 1
        print(f"open_run: {type(error).__name__}: {error}", file=sys.stderr)
    words = draw.choice(READERS)
    ended = call(where, *words)
    found["readings"] += 2
    found["commands"] += 1
    if ended.code:
        _half(" ".join(words), ended.err or str(ended.code), found)


def _half(what: str, said: str, found: Counter[str]) -> None:
    """There may be nothing yet; whatever else is said was half a state."""
    if not any(word in said for word in NOTHING):
        found["half"] += 1
        print(f"{what}: {said}", file=sys.stderr)
