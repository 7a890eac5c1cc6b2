"""Ten thousand points, sizes that cannot be, and a scheduler that does not answer."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gradflow.experiment.config import load_config
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.run import Progress, run
from gradflow.experiment.store.runs import open_run
from tests.torture.ground import Row, call, launch, times, workplace

MANY = """\
name: many
model: {{cell: rnn, hidden: 2}}
inputs: {{kind: noise, sequences: 1}}
length: 4
sweep:
  init.recurrent_gain: {gains}
  inputs.scale: {scales}
  seed: 25
"""
EACH = 1.0
"""Milliseconds of the processor that planning, resuming or reading may take for a point."""

GROWTH = 2.0
"""KiB that a process may grow by for each point it has measured: what the manifest says of it."""

SIZES = (
    ("length=1000000000",),
    ("length=1000000000", "record={states: [h], every: log}"),
    ("length=100000000", "model.hidden=65536"),
    ("model.hidden=65536", "model.layers=64"),
    ("inputs={kind: noise, sequences: 1000000}", "length=1000000"),
    ("inputs={kind: noise, features: 65536, sequences: 4096}",),
    ("record={states: [h], flow_map: true}", "length=10000000"),
    ("record={states: [h], spectrum: true}", "model.hidden=65536"),
    ("record={states: [h], contributions: true}", "length=1000000000"),
    ("loss={kind: probe, at: all}", "length=1000000000"),
    ("sweep={seed: 1000000}",),
    ("sweep={length: [999999999, 1000000000], model.cell: [rnn, lstm, gru]}",),
    ("inputs={kind: copy}", "length=1000000000"),
    ("inputs={kind: digits, sequences: 100000}", "length=1000000"),
)
SMALL = "model: {cell: lstm, hidden: 8}\ninputs: {kind: noise, sequences: 2}\nlength: 20\n"


def measure(fraction: float) -> Iterator[Row]:
    """Measure many points, refuse what is too large, and give up on who does not answer."""
    yield from _many(fraction)
    yield _sizes()
    yield _addresses()


def _many(fraction: float) -> Iterator[Row]:
    count = times(20, fraction**0.5, 7)
    with workplace() as where:
        axis = [round(0.5 + 0.05 * number, 2) for number in range(count)]
        (where / "many.yaml").write_text(MANY.format(gains=axis, scales=axis))
        points = 25 * count**2
        quarter = [round(0.5 + 0.05 * number, 2) for number in range(max(1, count // 2))]
        (where / "few.yaml").write_text(MANY.format(gains=quarter, scales=quarter))
        told = {name: _timed(where, work) for name, work in STAGES.items()}
    each = {name: 1000 * one[0] / points for name, one in told.items()}
    slow = [name for name in ("planning", "resuming", "reading") if each[name] >= EACH]
    figure = f"{points:,} points: " + ", ".join(
        f"{name} {each[name]:.2f} ms" for name in ("planning", "resuming", "reading")
    )
    yield Row("planning, resuming and reading take under 1 ms a point", figure, not slow)
    few = 1000 * told["a quarter"][0] / (25 * len(quarter) ** 2)
    figure = f"{each['measuring']:.2f} ms a point for {points:,}, {few:.2f} ms for a quarter"
    yield Row("a point of a large sweep costs what one of a small does", figure,
              each["measuring"] < 1.5 * few)  # fmt: skip
    growth = told["measuring"][1]
    figure = f"{growth:.2f} KiB a point from the first tenth of the sweep to its end"
    yield Row("the memory of a run hardly grows with what is done", figure, growth < GROWTH)


def _timed(where: Path, work: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the processor that a stage takes in a fork, and what it says."""

    def timed() -> None:
        start = time.process_time()
        said = work()
        print(json.dumps([time.process_time() - start, said]))

    ended = launch(timed, where).end(3000)
    assert ended.code == 0, ended.err
    seconds, said = json.loads(ended.out)
    return seconds, said


def _planning() -> float:
    plan(load_config(Path("many.yaml")))
    return 0.0


def _measuring(file: str = "many.yaml", results: str = "results") -> float:
    """KiB that each point adds."""
    seen: list[tuple[int, float]] = []

    def tell(progress: Progress) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        seen.append((progress.points, pages * 4.0))

    run(load_config(Path(file)), out=Path(results), on_progress=tell)
    total = seen[-1][0]
    first = next(one for one in seen if one[0] >= total / 10)
    return (seen[-1][1] - first[1]) / max(1, total - first[0])


def _resuming() -> float:
    done = run(load_config(Path("many.yaml")))
    assert done.computed == 0
    return 0.0


def _reading() -> float:
    opened = open_run(Path("results/many"))
    return float(sum(len(opened.result(point)) for point in opened.points))


STAGES: dict[str, Callable[[], float]] = {
    "planning": _planning,
    "a quarter": lambda: _measuring("few.yaml", "few"),
    "measuring": _measuring,
    "resuming": _resuming,
    "reading": _reading,
}


def _sizes() -> Row:
    wrong, slowest, largest = [], 0.0, 0.0
    with workplace() as where:
        (where / "small.yaml").write_text(SMALL)
        for words in SIZES:
            ended = call(where, "run", "small.yaml", *words, "--dry-run")
            slowest, largest = max(slowest, ended.work), max(largest, ended.megabytes)
            plain = "Traceback" not in ended.err and "internal" not in ended.err
            if ended.code not in (0, 2) or not plain:
                wrong.append(words)
                print(f"{words}: {ended.code} {ended.err}", file=sys.stderr)
    figure = (
        f"{len(SIZES)} sizes: the slowest {slowest:.2f} s of the processor, the largest"
        f" {largest:.0f} MB, {len(wrong)} unexplained"
    )
    passed = slowest < 1 and largest < 200 and not wrong
    return Row("`--dry-run` of any size answers within 1 s and 200 MB", figure, passed)


def _addresses() -> Row:
    slowest, wrong = 0.0, 0
    with workplace() as where, socket.create_server(("127.0.0.1", 0)) as deaf:
        (where / "small.yaml").write_text(SMALL)
        port = deaf.getsockname()[1]
        addresses = ("tcp://127.0.0.1:1", f"tcp://127.0.0.1:{port}", "tcp://nobody.invalid:8786",
                     "nonsense", "tcp://:x")  # fmt: skip
        for address in addresses:
            ended = call(where, "run", "small.yaml", "--dask", address)
            slowest = max(slowest, ended.seconds)
            clear = ended.err.startswith("gradflow: ") and ended.err.count("\n") <= 3
            if ended.code != 2 or not clear:
                wrong += 1
                print(f"{address}: {ended.code} {ended.err}", file=sys.stderr)
    figure = f"{len(addresses)} addresses, the slowest {slowest:.1f} s, {wrong} without one message"
    return Row("`--dask` with nobody there ends within 10 s", figure, slowest < 10 and not wrong)
