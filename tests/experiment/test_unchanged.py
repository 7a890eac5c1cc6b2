"""What is asked for again in the same words, with nothing changed, is neither read nor planned."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gradflow.cli import app
from gradflow.experiment.config import load_config
from gradflow.experiment.run import run
from gradflow.experiment.store import current
from gradflow.experiment.store.current import unchanged
from gradflow.experiment.store.runs import latest
from gradflow.gate.baseline import read_baseline, write_baseline
from gradflow.gate.cases import Early
from gradflow.gate.check import make_baseline
from gradflow.gate.judging import judge_unchanged

TEXT = """
name: "mine"  # not the file's
model: {cell: lstm, hidden: 2}
inputs: {kind: file, path: d.npy}
sweep: {length: [3, 5]}
check: {tolerance: 1.0e-6, assert: [{cell: lstm, state: s, slope: [-9, 9]}]}
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("unchanged")
    np.save(place / "d.npy", np.random.default_rng(1).standard_normal((2, 6, 1)))
    (place / "e.yaml").write_text(TEXT)
    make_baseline(load_config(place / "e.yaml"), out=place / "results")
    return place


@pytest.fixture
def here(measured: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, as it was measured; what a test does to it is undone."""
    kept = measured.with_name("kept")
    if not kept.exists():
        shutil.copytree(measured, kept)
    shutil.rmtree(measured)
    shutil.copytree(kept, measured)
    monkeypatch.chdir(measured)
    return measured


def asked_again(*overrides: str) -> bool:
    return unchanged(Path("e.yaml"), overrides, Path("results")) is not None


def test_the_stored_points_are_given_as_they_are(here: Path) -> None:
    planned = run(load_config("e.yaml"), out=Path("results")).run
    found = unchanged(Path("e.yaml"), [], Path("results"))
    assert found is not None
    assert found.run.points == planned.points
    assert found.asked.check["assert"][0]["slope"] == [-9, 9]


def test_it_counts_as_written_last(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "now", lambda: "2999-01-01T00:00:00+00:00")
    shutil.copytree("results/mine", "results/other")
    assert asked_again()
    assert latest(Path("results")).name == "mine"


POINT = "results/mine/points"


@pytest.mark.parametrize(
    "change",
    [
        lambda: Path("e.yaml").write_text(f"{TEXT}# a remark\n"),
        lambda: np.save("d.npy", np.load("d.npy") + 1),
        lambda: Path("d.npy").unlink(),
        lambda: next(Path(POINT).iterdir()).unlink(),
        lambda: next(Path(POINT).iterdir()).write_bytes(b"damaged"),
        lambda: Path("results/mine/config.yaml").write_text("name: mine\n"),
        lambda: Path("results/mine/manifest.json").write_text("{}"),
        lambda: Path("results/mine").rename("results/yours"),
        lambda: run(load_config("e.yaml", ["sweep.length=[3]"]), out=Path("results")),
        lambda: run(load_config("e.yaml").model_copy(), out=Path("results")),
    ],
)
def test_whatever_has_changed_it_is_planned(change: Callable[[], object], here: Path) -> None:
    assert asked_again()
    change()
    assert not asked_again()


def test_other_words_are_planned(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asked_again("seed=0")
    run(load_config("e.yaml", ["name=two", "inputs.path=d.npy"]), out=Path("results"))
    assert asked_again("name=two", "inputs.path=d.npy")
    (here / "below").mkdir()
    monkeypatch.chdir(here / "below")  # where d.npy is another file
    words = ["name=two", "inputs.path=d.npy"]
    assert unchanged(here / "e.yaml", words, here / "results") is None


@pytest.mark.parametrize("digests", [{}, {"cell own": "a user's"}])
def test_other_code_is_planned(
    digests: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = current.code({})
    monkeypatch.setattr(current, "code", lambda makers: digests and ours | digests)
    assert not asked_again()
    monkeypatch.undo()
    monkeypatch.setattr(current, "_house", lambda: "other")
    assert not asked_again()


@pytest.mark.parametrize(
    "words",
    [["check"], ["check", "--format", "json"], ["check", "-k", "length=3"], ["run", "--json"]],
)
def test_it_says_what_planning_says(
    words: list[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, *options = words
    short = CliRunner().invoke(app, [command, "e.yaml", *options])
    monkeypatch.setattr(current, "unchanged", lambda *asked: None)
    whole = CliRunner().invoke(app, [command, "e.yaml", *options])
    said = [[x for x in one.output.splitlines() if "seconds" not in x] for one in (short, whole)]
    assert short.exit_code == whole.exit_code == 0
    assert said[0] == said[1] != []


def test_what_has_to_be_measured_to_judge_is_not_judged(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unchanged(Path("e.yaml"), [], Path("results"))
    assert found is not None
    assert judge_unchanged(found, Path("results")) is not None
    path = Path("results/baselines/mine.json")
    cases = read_baseline(path)
    name = min(cases)
    early = Early(2, cases[name])
    write_baseline(path, cases | {name: replace(cases[name], slack=1.0, early=early)})
    assert judge_unchanged(found, Path("results")) is None
    assert judge_unchanged(found, Path("results"), patterns=["length=5"]) is not None
    path.unlink()
    assert judge_unchanged(found, Path("results")) is None


@pytest.mark.parametrize("word", ["check", "run"])
def test_no_mathematics_is_imported(word: str, here: Path) -> None:
    script = (
        "import sys\n"
        "from gradflow.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('loaded', *(m for m in sys.modules if m.startswith('gradflow.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, word, "e.yaml"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.splitlines()[-1].split()[1:]
    core = {name for name in loaded if name.startswith("gradflow.core")}
    assert core == {"gradflow.core", "gradflow.core.quantity", "gradflow.core.typing"}
    assert not [
        name for name in loaded if "recordings" in name or "config" in name or "measure" in name
    ]
