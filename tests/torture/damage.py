"""Files cut at every length and with bits flipped: nothing damaged is served."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gradflow.core.quantity import Result
from gradflow.errors import GradflowError, UserError
from gradflow.experiment.config import load_config
from gradflow.experiment.measure import training
from gradflow.experiment.measure.seen import Seen
from gradflow.experiment.models.weights import read_weights
from gradflow.experiment.run import run
from gradflow.experiment.store.runs import open_run
from gradflow.experiment.store.upkeep import examine
from gradflow.gate.baseline import read_baseline
from gradflow.gate.cases import Case
from gradflow.gate.judging import judge_run
from tests.torture.ground import LEARNING, Row, call, launch, times, workplace

SMALL = """\
name: small
model: {cell: rnn, hidden: 3}
inputs: {kind: noise, sequences: 2}
sweep: {model.cell: [rnn, cec], length: [3, 5]}
"""
TOLERANCE = 1e-6

Look = Callable[[], str]
"""Reads a file as gradflow does and says what became of it: found, the same, below, or served."""


def made(where: Path) -> Path:
    """Make a run with a baseline, one whose net has learnt, one that learns and was stopped."""
    (where / "small.yaml").write_text(SMALL)
    for name in ("learning", "learnt"):
        (where / f"{name}.yaml").write_text(f"name: {name}\n{LEARNING}")
    for words in (("run", "small.yaml"), ("baseline", "small.yaml"), ("run", "learnt.yaml")):
        ended = call(where, *words, "-q")
        assert ended.code == 0, ended.err
    launch(_stopped, where).end()
    return where / "results"


def _stopped() -> None:
    """Learn, and leave what is kept between two windows."""
    training.PAUSE = 0.0
    tell = Seen.tell

    def stop(self: Seen, scratch: Path) -> None:
        tell(self, scratch)
        if scratch.exists():
            raise KeyboardInterrupt

    Seen.tell = stop  # type: ignore[method-assign]
    run(load_config(Path("learning.yaml")), fresh=True)


def hurt(file: Path, flips: int, cuts: int, draw: random.Random) -> Iterator[str]:
    """Cut a file at `cuts` of its lengths, then flip bits, one at a time; make it whole again."""
    data = file.read_bytes()
    lengths = range(len(data)) if cuts >= len(data) else sorted(draw.sample(range(len(data)), cuts))
    for size in lengths:
        file.write_bytes(data[:size])
        yield "cuts"
    for _ in range(flips):
        at = draw.randrange(len(data))
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :])
        yield "flips"
    file.write_bytes(data)


def found_by_doctor(path: Path, file: Path) -> Look:
    """Ask `gradflow doctor`."""

    def look() -> str:
        return "found" if [one.file for one in examine(path)] == [file] else "served"

    return look


def refused_by_readers(path: Path) -> Look:
    """Read all of a run."""
    before = _read(path)

    def look() -> str:
        return "same" if _same(_read(path), before) else "served"

    return look


def _read(path: Path) -> list[Result]:
    opened = open_run(path)
    return [opened.result(point) for point in opened.points]


def _same(a: list[Result], b: list[Result]) -> bool:
    return [one.keys() for one in a] == [one.keys() for one in b] and all(
        np.array_equal(x[name].values, y[name].values, equal_nan=True)
        for x, y in zip(a, b, strict=True)
        for name in x
    )


def judged(path: Path, file: Path) -> Look:
    """Hold a run against its baseline: a change that is not noticed lies below the tolerance."""
    stored, sound = open_run(path), read_baseline(file)

    def look() -> str:
        expected = read_baseline(file)
        if judge_run(stored, expected, TOLERANCE).exit_code:
            return "found"
        if expected == sound:
            return "same"
        near = expected.keys() == sound.keys() and all(
            _near(expected[name], case) for name, case in sound.items()
        )
        return "below" if near else "served"

    return look


def _near(a: Case, b: Case) -> bool:
    """Whether all that the gate compares differs by less than its tolerance."""
    numbers = [
        np.array([*one.values, *(x for x in (one.low, one.high) if x is not None)])
        for one in (a, b)
    ]
    rest = [(one.kind, one.lags, one.slack, one.low is None, one.high is None) for one in (a, b)]
    slopes = [(one.slope or 0.0) * one.span for one in (a, b)]
    return rest[0] == rest[1] and all(
        np.allclose(x, y, rtol=0, atol=TOLERANCE) for x, y in (numbers, slopes)
    )


def weights_read(file: Path) -> Look:
    """Read a net that has learnt."""
    sound = read_weights(f"{file}#end")

    def look() -> str:
        found = read_weights(f"{file}#end")
        same = all(
            np.array_equal(one[name], other[name])
            for layer, sound_layer in zip(found.weights, sound.weights, strict=True)
            for one, other in zip(layer, sound_layer, strict=True)
            for name in one.keys() | other.keys()
        )
        return "same" if same else "served"

    return look


def outcomes(file: Path, look: Look, flips: int, cuts: int, draw: random.Random) -> Counter[str]:
    """Count what became of each way to damage a file."""
    found = Counter[str]()
    for how in hurt(file, flips, cuts, draw):
        found[how] += 1
        try:
            found[look()] += 1
        except (GradflowError, UserError):
            found["found"] += 1
        except Exception as error:
            found["unexplained"] += 1
            print(f"{file}: {type(error).__name__}: {error}", file=sys.stderr)
    return found


def measure(fraction: float) -> Iterator[Row]:
    """Damage every kind of file that a folder of results holds."""
    draw = random.Random(14)
    flips, cuts = times(1500, fraction, 20), times(1 << 20, fraction**3, 10)
    with workplace() as where:
        results = made(where)
        small, learning, learnt = (results / name for name in ("small", "learning", "learnt"))
        point = min((small / "points").iterdir())
        state = next((learning / "unfinished").glob("*.npz"))
        net = next((learnt / "weights").glob("*.npz"))
        manifest, config = small / "manifest.json", small / "config.yaml"
        baseline = results / "baselines" / "small.json"
        for what, looks in {
            "a point's file": [(point, found_by_doctor(small, point))],
            "the manifest": [(manifest, found_by_doctor(small, manifest))],
            "`config.yaml`": [(config, found_by_doctor(small, config))],
            "the state of nets that learn": [(state, found_by_doctor(learning, state))],
            "points and manifest, by whoever reads a run": [
                (point, refused_by_readers(small)), (manifest, refused_by_readers(small)),
            ],
            "a net that has learnt": [(net, found_by_doctor(learnt, net))],
            "a net that has learnt, by whoever reads it": [(net, weights_read(net))],
            "a baseline": [(baseline, judged(small, baseline))],
        }.items():  # fmt: skip
            found = Counter[str]()
            for file, look in looks:
                found += outcomes(file, look, flips, cuts, draw)
            yield _row(what, found)


def _row(what: str, found: Counter[str]) -> Row:
    parts = [f"{found['cuts']:,} truncations and {found['flips']:,} bit flips: "
             f"{found['found']:,} found"]  # fmt: skip
    parts += [f"{found[word]:,} {said}" for word, said in (
        ("same", "in bytes that mean nothing"), ("below", "below the gate's tolerance"),
    ) if found[word]]  # fmt: skip
    parts += [f"{found['served']} served, {found['unexplained']} unexplained"]
    passed = not (found["served"] or found["unexplained"])
    return Row(f"damage is found: {what}", ", ".join(parts), passed)
