"""A cell, a task, a loss and a recording, each a package of one file, go all the way through."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = {
    "cells": (
        "fading",
        "Fading",
        '''
"""s_t = keep · s_{t-1} + U x_t."""
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from gradflow.core.cells import Cell, Parameter

@dataclass(frozen=True)
class Fading(Cell):
    keep: float = 0.5
    kind: ClassVar[str] = "fading"

    @property
    def gates(self):
        return ("g",)

    def parameters(self, inputs):
        return {"U": Parameter("input", ("g",), self.hidden, inputs)}

    def step(self, p, state, u):
        return (self.keep * state[0] + u,), (u,)

    def step_vjp(self, p, local, dstate):
        return (self.keep * dstate[0],), dstate[0], ()
''',
    ),
    "tasks": (
        "echo",
        "Echo",
        '''
"""Answer with the first input at the last step."""
from dataclasses import dataclass
import numpy as np
from gradflow.core.inputs import Batch, Task
from gradflow.core.inputs.task import sequence_streams
from gradflow.core.registry import option

@dataclass(frozen=True)
class Echo(Task):
    kind = "echo"
    target_kind = "values"
    targets_at = "last"
    shortest = 2
    width: int = option(1, "numbers to remember", least=1, most=64)

    @property
    def features(self):
        return self.width

    def draw(self, steps, sequences, seed):
        x = np.zeros((steps, 1, self.width, sequences))
        for j, rng in sequence_streams(seed, "echo", sequences):
            x[0, 0, :, j] = rng.standard_normal(self.width)
        targets = np.full_like(x, np.nan)
        targets[-1] = x[0]
        return Batch(x, targets, "values")
''',
    ),
    "losses": (
        "huber",
        "Huber",
        '''
"""l_t = sum over features of the Huber loss of o - target."""
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from gradflow.core.network.losses import Loss
from gradflow.core.registry import option

@dataclass(frozen=True, kw_only=True)
class Huber(Loss):
    width: float = option(1.0, "error from which on the loss is linear", least=1e-9)
    kind: ClassVar[str] = "huber"
    compares: ClassVar[str] = "values"

    def value(self, o, target):
        e = np.abs(np.where(np.isnan(target), 0, o - target))
        near = np.minimum(e, self.width)
        return (near * (e - near / 2)).sum(axis=-2)

    def slope(self, o, target):
        return np.clip(np.where(np.isnan(target), 0, o - target), -self.width, self.width)
''',
    ),
    "recordings": (
        "largest",
        "Largest",
        '''
"""log10 of the largest element of dL/dh at every step, and how often it passes a bound."""
from dataclasses import dataclass
import numpy as np
from gradflow.core.engine.tape import Keep
from gradflow.core.registry import option
from gradflow.core.quantity import Quantity
from gradflow.core.record.series import Series
from gradflow.core.scaled import LOG10_2
from gradflow.experiment.recordings import Recording

class Looks:
    needs, needs_inputs = Keep.NOTHING, False

    def __init__(self, scope, above):
        self.above = above
        self.series = Series(scope, "largest", first=1)

    def block(self, block):
        for k, dstate in enumerate(block.swept.dstates):
            top = np.log10(np.abs(dstate[0]).max(axis=-2)) + (
                block.swept.exponent[..., 0, :] * LOG10_2
            )
            self.series.put((block.layer, block.direction), block.first + k + 1, top[None])

    def inputs(self, first, dx):
        pass

    def quantities(self, net, length):
        found = self.series.quantity(net, length)
        passed = (found.values > self.above).mean(axis=-1)
        axes = {name: found.coords[name] for name in ("layer", "direction")}
        share = Quantity("share_above", found.dims[:-1], passed, axes, "1")
        ends = Quantity("ends", ("end",), np.zeros(2), {"end": np.array(["far", "near"])}, "1")
        return {"largest": found, "share_above": share, "ends": ends}

@dataclass(frozen=True)
class Largest(Recording):
    name = "largest"
    summary = "the largest element of the derivative"
    above: float = option(-3.0, "log10 of the bound")

    def numbers(self, scope):
        return 2 * scope.series

    def observer(self, scope):
        return Looks(scope, self.above)
''',
    ),
}
CONFIG = """
name: own
model: {hidden: 4}
inputs: {kind: echo, width: 2, sequences: 3}
loss: {kind: huber}
sweep:
  model.cell: [{kind: fading, keep: 0.9}, lstm]
  loss.width: [1.0e-6, 2.0e-6]
  length: [10, 20]
record: {states: [h], largest: {above: -6.2}}
"""
TERMINAL = "import sys; from gradflow.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four packages, laid out as if they were installed."""
    where = tmp_path_factory.mktemp("site")
    for group, (name, owner, source) in PACKAGES.items():
        (where / f"own_{group}.py").write_text(source, "utf-8")
        info = where / f"own_{group}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: own_{group}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[gradflow.{group}]\n{name} = own_{group}:{owner}\n"
        )
    return where


@pytest.fixture(scope="module")
def home(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of the experiment in it, measured by two workers."""
    home = tmp_path_factory.mktemp("home")
    (home / "own.yaml").write_text(CONFIG, "utf-8")
    done = json.loads(call(site, home, "run", "own.yaml", "-j", "2", "--json"))
    assert (done["computed"], done["missing"]) == (8, 0)
    return home


def call(site: Path, home: Path, *words: str) -> str:
    path = os.pathsep.join([str(site), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL, *words],
        cwd=home,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rows(site: Path, home: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(call(site, home, "export", "own", "--out", "-"))))


def test_the_recording_is_exported(rows: list[dict[str, str]]) -> None:
    largest = [row for row in rows if row["state"] == "largest"]
    assert len(largest) == 2 * 2 * 3 * (10 + 20)
    norm = {key(row): float(row["log10_norm"]) for row in rows if row["state"] == "h"}
    for row in largest:
        assert norm[key(row)] - 0.31 < float(row["log10_norm"]) <= norm[key(row)] + 1e-12
    shares = [float(row["value"]) for row in rows if row["state"] == "share_above"]
    assert len(shares) == 8 * 3
    assert 0 <= min(shares) < max(shares) <= 1
    assert [row["end"] for row in rows if row["state"] == "ends"] == ["far", "near"] * 8


def key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("cell", "loss.width", "length", "sequence", "step"))


def test_the_recording_is_plotted_and_tabulated(site: Path, home: Path) -> None:
    call(site, home, "plot", "own", "--state", "largest", "--out", "figure.svg")
    assert "<svg" in (home / "figure.svg").read_text("utf-8")
    assert "fading" in call(site, home, "show", "own", "--state", "largest")


def test_the_schema_and_the_plan_know_them(site: Path, home: Path) -> None:
    schema = json.loads(call(site, home, "schema"))["$defs"]
    assert schema["EchoInputs"]["properties"]["width"]["maximum"] == 64
    assert schema["HuberLoss"]["properties"]["width"]["default"] == 1.0
    assert "largest element" in schema["RecordConfig"]["properties"]["largest"]["description"]
    assert "bytes" in call(site, home, "run", "own.yaml", "--fresh", "--dry-run", "--json")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inputs.width=65", "inputs.width: 65 is too large"),
        ("record.largest.abov=1", "unknown key 'abov'"),
        ("record.largst=true", "did you mean largest?"),
        ("inputs.kind=ecko", "did you mean echo?"),
        ("loss.kind=hubber", "did you mean huber?"),
    ],
)
def test_mistakes_are_told_as_of_any_other(
    site: Path, home: Path, override: str, message: str
) -> None:
    with pytest.raises(AssertionError, match="expected:") as caught:
        call(site, home, "validate", "own.yaml", override)
    assert message in str(caught.value)


def test_the_loss_is_the_one_that_is_measured(rows: list[dict[str, str]]) -> None:
    """Errors far beyond the width have the slope ±width: twice the width, twice the norm."""
    norm = {key(row): float(row["log10_norm"]) for row in rows if row["state"] == "h"}
    cells, widths = ({place[k] for place in norm} for k in (0, 1))
    assert widths == {"1e-06", "2e-06"}
    for cell, width, *place in norm:
        if width == "1e-06":
            twice = norm[cell, "2e-06", *place] - norm[cell, width, *place]
            assert twice == pytest.approx(math.log10(2), rel=1e-9)
    assert len(cells) == 2


def test_an_edit_of_each_is_told_and_measured_again(site: Path, home: Path) -> None:
    for group in ("losses", "recordings", "tasks"):
        file = site / f"own_{group}.py"
        file.write_text(file.read_text("utf-8") + "\nEDITED = True\n", "utf-8")
    done = json.loads(call(site, home, "run", "own.yaml", "--json"))
    assert done["computed"] == 8
    assert set(done["changed"]) == {
        f"the code of {what}" for what in ("inputs echo", "loss huber", "recording largest")
    }
