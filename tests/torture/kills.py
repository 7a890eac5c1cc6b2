"""kill -9 and signals at random moments of a sweep: nothing done is lost, torn or done twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradflow.core.quantity import Result
from gradflow.errors import NumericalError
from gradflow.experiment.config import load_config
from gradflow.experiment.measure import training
from gradflow.experiment.measure.measurement import measure as measure_bundle
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.run import WHOLE, Shard, run
from gradflow.experiment.store.upkeep import examine
from gradflow.experiment.store.whole import TEMPORARY
from gradflow.experiment.workers.executor import Executor, OnDone, Outcome
from gradflow.experiment.workers.pool import workers
from tests.torture.ground import Process, Row, command, launch, times, workplace

SWEEP = """\
name: sweep
model: {cell: rnn, hidden: 3}
inputs: {kind: noise, sequences: 2}
sweep:
  init.recurrent_gain: [0.6, 0.8, 1.0, 1.2, 1.4, 1.6]
  inputs.scale: [0.5, 1.0, 1.5]
  length: [4, 8]
  seed: 2
"""
TRAINING = """\
name: sweep
model: {cell: lstm, hidden: 4}
inputs: {kind: adding, sequences: 3}
length: 8
train: {loss: mse, optimiser: {kind: adam, rate: 0.02}, batch: 2, updates: 100, watch: {every: 10}}
sweep: {init.recurrent_gain: [0.8, 1.0, 1.2], seed: 2}
"""
LOG = "GRADFLOW_TORTURE_LOG"
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def note(word: str, hashes: Sequence[str]) -> None:
    """Append a line for each point to the log; what a process has written survives its death."""
    data = "".join(f"{word} {key}\n" for key in hashes).encode()
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, data)
    os.close(log)


def measured(bundle: Bundle) -> list[Result | NumericalError]:
    """Measure, saying so; nets that learn keep their state after every window."""
    training.PAUSE = 0.0
    note("began", [point.hash for point in bundle.points])
    return measure_bundle(bundle)


@dataclass(frozen=True)
class Reporting:
    """Says which points are done as soon as gradflow does."""

    inner: Executor[Result]

    def run(self, bundles: Sequence[Bundle], on_done: OnDone[Result]) -> None:
        """Measure the bundles."""

        def told(outcome: Outcome[Result]) -> None:
            on_done(outcome)
            note("done", [point.hash for point, _ in outcome.results])

        self.inner.run(bundles, told)


def sweep(jobs: int = 1, shard: Shard = WHOLE) -> None:
    """Run the experiment that lies in the working folder."""
    executor = Reporting(workers(jobs)(measured))
    run(load_config(Path("sweep.yaml")), executor=executor, shard=shard)


def stored(folder: Path) -> dict[str, bytes]:
    """Return the results and learnt nets in a run's folder, by their path."""
    found = (*folder.glob("points/[!.]*.npz"), *folder.glob("weights/[!.]*.npz"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(found)}


def faults(where: Path, whole: dict[str, bytes]) -> Counter[str]:
    """Count what is not as promised in the folder of a run that was stopped."""
    there, found = stored(where / "results" / "sweep"), Counter[str]()
    found["torn"] = sum(whole.get(name) != data for name, data in there.items())
    done: set[str] = set()
    for line in (where / "log").read_text().splitlines() if (where / "log").exists() else ():
        word, key = line.split()
        found["computed twice"] += word == "began" and key in done
        done |= {key} if word == "done" else set()
    found["lost"] = sum(f"points/{key}.npz" not in there for key in done)
    found["damaged"] = len(examine(where / "results" / "sweep")) if done else 0
    found["reported"] = len(done)
    return found


def fresh(where: Path, text: str) -> None:
    """Begin anew."""
    shutil.rmtree(where / "results", ignore_errors=True)
    (where / "log").unlink(missing_ok=True)
    (where / "sweep.yaml").write_text(text)
    os.environ[LOG] = str(where / "log")


def uninterrupted(where: Path, text: str, jobs: int = 1) -> tuple[dict[str, bytes], float]:
    """Return what a run that nothing stops stores, and the seconds from where it is at work."""
    fresh(where, text)
    running = launch(lambda: sweep(jobs), where)
    start = at_work(where, running, jobs)
    ended = running.end(300)
    assert ended.code == 0, ended.err
    return stored(where / "results" / "sweep"), running.start + ended.seconds - start


def at_work(where: Path, running: Process, jobs: int) -> float:
    """Wait until workers have read their modules and measure; return when that was."""
    log = where / "log"
    size = log.stat().st_size if log.exists() else 0
    while jobs > 1 and not running.over() and not (log.exists() and log.stat().st_size > size):
        time.sleep(0.001)
    return time.monotonic()


def killed(kills: int, text: str, jobs: int, draw: random.Random) -> Counter[str]:
    """Kill a sweep so often, going on with it until it is whole, then with the next one."""
    found, reported = Counter[str](), 0
    with workplace(disk=True) as where:
        whole, seconds = uninterrupted(where, text, jobs)
        fresh(where, text)
        while found["kills"] < kills:
            running = launch(lambda: sweep(jobs), where)
            start = at_work(where, running, jobs)
            time.sleep(draw.uniform(0, 1) * seconds)
            running.send(signal.SIGKILL)
            ended = running.end()
            if ended.code == 0:  # a machine that was busy with others may have less to do now
                seconds = min(seconds, running.start + ended.seconds - start)
            found["orphans"] += running.left()
            found["kills"] += ended.code == -signal.SIGKILL
            found["errors"] += ended.code not in (0, -signal.SIGKILL)
            now = faults(where, whole)
            reported = now.pop("reported")
            found += now
            if ended.code == 0:
                found["reported"] += reported
                found["sweeps"] += 1
                reported = 0
                found["other bytes"] += stored(where / "results" / "sweep") != whole
                leftovers = (where / "results").rglob(f".*{TEMPORARY}")
                found["leftovers"] += sum(1 for _ in leftovers)
                found["leftovers"] += (where / "results" / "sweep" / "unfinished").exists()
                fresh(where, text)
    found["reported"] += reported
    return found


WRONG = ("lost", "torn", "computed twice", "damaged", "other bytes", "errors", "leftovers")


def measure(fraction: float) -> Iterator[Row]:
    """Kill sweeps in this process, on two workers and while nets learn; then signal them."""
    draw = random.Random(14)
    for what, text, jobs, count in (
        ("a sweep in one process", SWEEP, 1, 300),
        ("a sweep with `-j 2`", SWEEP, 2, 100),
        ("nets that learn", TRAINING, 1, 100),
    ):
        found = killed(times(count, fraction), text, jobs, draw)
        wrong = ", ".join(f"{found[name]} {name}" for name in WRONG)
        figure = (
            f"{found['kills']} kills: {found['reported']:,} points reported done,"
            f" {found['sweeps']} sweeps whole in the end; {wrong}, {found['orphans']} orphans"
        )
        passed = not any(found[name] for name in (*WRONG, "orphans"))
        yield Row(f"`kill -9` at any moment of {what} loses nothing that was done", figure, passed)
    yield signalled(times(60, fraction, 3), draw)


def signalled(count: int, draw: random.Random) -> Row:
    """Send each of the three signals at random moments."""
    found, slowest = Counter[str](), 0.0
    with workplace(disk=True) as where:
        whole, seconds = uninterrupted(where, SWEEP)
        for number in range(count):
            sent = list(ENDS)[number % 3]
            fresh(where, SWEEP)
            running = launch(command("run", "sweep.yaml", *("-j", 2)[: 2 * (number % 2)]), where)
            time.sleep(draw.uniform(0.1, 0.8) * seconds)
            running.send(sent)
            start = time.monotonic()
            ended = running.end()
            found["in time"] += ended.code == 0
            slowest = max(slowest, time.monotonic() - start)
            # Before the program listens, the signal itself ends it: the same code to a shell.
            found["other codes"] += ended.code not in (ENDS[sent], -sent, 0)
            found["silent"] += ended.code == ENDS[sent] and "what is finished" not in ended.err
            found["orphans"] += running.left()
            found["torn"] += faults(where, whole)["torn"]
    wrong = ("other codes", "silent", "orphans", "torn")
    figure = f"{count} signals, the slowest end after {slowest:.1f} s; " + ", ".join(
        f"{found[name]} {name}" for name in wrong
    )
    passed = slowest < 2 and not any(found[name] for name in wrong)
    return Row("SIGINT, SIGTERM, SIGHUP end a run with 130, 143, 129 within 2 s", figure, passed)
