"""Every file of a results folder, cut short and with bits flipped: nothing damaged is served."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gradflow.cli import app
from gradflow.errors import UserError
from gradflow.experiment.store.manifest import DamagedError
from gradflow.experiment.store.runs import list_runs, open_run
from gradflow.experiment.store.upkeep import examine
from gradflow.experiment.store.whole import sealed
from gradflow.gate.baseline import read_baseline
from gradflow.gate.cases import Early
from gradflow.gate.judging import judge_run

CONFIG = """\
name: small
model: {cell: rnn, hidden: 3}
inputs: {kind: noise, sequences: 2}
sweep: {model.cell: [rnn, cec], length: [3, 5]}
"""
HURTS = 40
"""Of each file: a third truncations, the rest bit flips."""


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="gradflow")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its baseline, left alone but for one file at a time."""
    home = tmp_path_factory.mktemp("whole")
    (home / "small.yaml").write_text(CONFIG)
    for command in ("run", "baseline"):
        words = (command, str(home / "small.yaml"), "-q", "--results", str(home / "results"))
        assert call(*words).exit_code == 0
    state = home / "results" / "small" / "unfinished" / "0123456789abcdef.npz"
    state.parent.mkdir()
    state.write_bytes(sealed(bytes(range(256))))
    return home / "results"


def hurt(file: Path, count: int = HURTS) -> Iterator[None]:
    """Damage a file in some ways, one after the other, and make it whole again."""
    data, draw = file.read_bytes(), random.Random(file.name)
    for number in range(count):
        at = draw.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
        file.write_bytes(data[:at] if number % 3 == 0 else flipped)
        yield
    file.write_bytes(data)


def test_a_sound_folder_is_sound(whole: Path) -> None:
    told = call("doctor", "--results", str(whole))
    assert (told.exit_code, told.stderr) == (0, "1 runs examined: sound\n")


@pytest.mark.parametrize("name", ["points", "manifest.json", "config.yaml", "unfinished"])
def test_the_doctor_finds_what_is_damaged(whole: Path, name: str) -> None:
    place = whole / "small" / name
    for file in sorted(place.iterdir())[:1] if place.is_dir() else [place]:
        for _ in hurt(file):
            (found,) = examine(whole / "small")
            assert found.file == file
            assert found.fix == f"gradflow run {whole / 'small'} repairs it"
    assert examine(whole / "small") == []


def test_a_run_that_is_just_being_begun_is_not_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert examine(tmp_path) == []
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / f"{64 * '0'}.npz").touch()
    assert next(found.file.name for found in examine(tmp_path)) == "manifest.json"


def test_behind_the_manifests_checksum_no_byte_may_change_either(whole: Path) -> None:
    file = whole / "small" / "manifest.json"
    data = file.read_bytes()
    behind = range(len(data.rstrip(b'"}\n')) - 1, len(data))
    changed = [data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
               for at in behind for bit in range(8)]  # fmt: skip
    for one in (*changed, *(data[:at] for at in behind), data + b"\n"):
        file.write_bytes(one)
        assert [found.file for found in examine(whole / "small")] == [file], one[-9:]
    file.write_bytes(data)


def read_all(path: Path) -> None:
    run = open_run(path)
    for point in run.points:
        run.result(point)


def test_nothing_damaged_is_served(whole: Path) -> None:
    run = whole / "small"
    first = min((run / "points").iterdir())
    for file in (first, run / "manifest.json"):
        for _ in hurt(file):
            with pytest.raises(DamagedError):
                read_all(run)


@pytest.mark.parametrize("name", ["points", "manifest.json", "config.yaml"])
def test_every_command_says_what_is_damaged(whole: Path, name: str) -> None:
    run, out = whole / "small", ("--results", str(whole))
    file = min((run / name).iterdir()) if name == "points" else run / name
    commands = [("show", "small", *out), ("export", "small", "--to", "csv", *out), ("plot", *out)]
    for number, _ in enumerate(hurt(file, 3)):
        told = call(*commands[number]) if name == "points" else call("validate", str(run))
        if name == "manifest.json":
            told = call("show", "small", *out)
        assert told.exit_code == 3
        assert f"{file} is damaged: " in told.stderr


def test_a_damaged_baseline_is_refused_or_red(whole: Path) -> None:
    """But where the flip lies in a digit far below the tolerance."""
    file, stored = whole / "baselines" / "small.json", open_run(whole / "small")
    sound = read_baseline(file)
    for number, _ in enumerate(hurt(file)):
        try:
            expected = read_baseline(file)
        except UserError:
            if number < 4:
                listed = call("doctor", "--results", str(whole))
                assert listed.exit_code == 3
                assert f"{file} is damaged: is not a baseline" in listed.stderr
        else:
            green = judge_run(stored, expected, 1e-6).exit_code == 0
            assert not green or all(
                expected[name].values == pytest.approx(case.values, abs=1e-6)
                for name, case in sound.items()
            )


def test_run_repairs_in_the_folder_it_finds(whole: Path) -> None:
    """All at once, told in JSON; the results are those of before, byte for byte."""
    run = whole / "small"
    points = sorted((run / "points").iterdir())
    files = [points[0], points[2], run / "config.yaml"]
    before = [file.read_bytes() for file in files]
    points[0].write_bytes(before[0][:-9])
    points[2].write_bytes(points[1].read_bytes())
    files[2].write_bytes(before[2].replace(b"hidden: 3", b"hidden: 5"))
    found = json.loads(call("doctor", str(run), "--json").stdout)
    assert {one["file"] for one in found} == set(map(str, files))
    for command, place in (("validate", run), ("run", run / "config.yaml")):
        told = call(command, str(place))
        assert told.exit_code == 3
        assert "damaged: it is not the one that manifest.json holds" in told.stderr
        assert f"fix: gradflow run {run} repairs it" in told.stderr
    repaired = call("run", str(run))
    assert repaired.exit_code == 0, repaired.output
    assert "config.yaml was not what a run wrote" in repaired.stderr
    assert "2 points measured" in repaired.stderr
    assert [file.read_bytes() for file in files] == before
    assert call("doctor", str(run)).exit_code == 0
    points[2].write_bytes(points[1].read_bytes())
    (run / "manifest.json").unlink()
    listed = call("doctor", str(run)).stderr
    assert "manifest.json is damaged: it is missing" in listed
    assert f"it says that it is point {points[1].stem}" in listed
    assert "1 points measured" in call("run", str(run)).stderr
    assert points[2].read_bytes() != points[1].read_bytes()
    assert call("doctor", str(run)).exit_code == 0


LEARNING = """\
name: learning
inputs: {kind: adding, sequences: 2}
length: 6
train: {loss: mse, batch: 2, updates: 4, watch: {every: 2}}
sweep:
  model.layers: [[{cell: rnn, hidden: 2}], [{cell: rnn, hidden: 2, bidirectional: true}]]
"""


def test_a_net_that_has_learnt_is_sealed_and_learns_again(tmp_path: Path) -> None:
    (tmp_path / "learning.yaml").write_text(LEARNING)
    words = ("run", str(tmp_path / "learning.yaml"), "--results", str(tmp_path))
    assert call(*words).exit_code == 0
    run = tmp_path / "learning"
    assert examine(run) == []
    files = sorted(run.glob("weights/*.npz")) + sorted(run.glob("points/*.npz"))
    before = [file.read_bytes() for file in files]
    assert len(files) == 4  # two nets whose labels differ in what a file's name cannot say
    for _ in hurt(files[0]):
        (found,) = examine(run)
        assert (found.file, found.fix) == (files[0], f"gradflow run {run} repairs it")
    files[0].write_bytes(before[0] + b"\0")
    assert "1 points measured in " in call(*words).stderr
    assert [file.read_bytes() for file in files] == before
    assert examine(run) == []
    files[1].unlink()  # to save room: no result needs it
    assert examine(run) == []
    assert "2 there already" in call(*words).stderr


def test_the_doctor_says_of_what_is_lost_what_can_be_done(whole: Path) -> None:
    run = whole / "small"
    config, manifest = run / "config.yaml", run / "manifest.json"
    kept = [file.read_bytes() for file in (config, manifest)]

    def told() -> str:
        return call("doctor", "--results", str(whole)).stderr

    manifest.unlink()
    manifest.mkdir()
    assert "manifest.json is damaged: it cannot be read (Is a directory)" in told()
    manifest.rmdir()
    config.unlink()
    config.mkdir()
    manifest.write_bytes(kept[1])
    assert "config.yaml is damaged: " in told()
    config.rmdir()
    assert "config.yaml is damaged: it is missing\n" in told()
    manifest.write_bytes(b"{")
    assert "config.yaml is damaged: it is missing, and no manifest.json tells what it was" in told()
    for file, data in zip((config, manifest), kept, strict=True):
        file.write_bytes(data)
    assert "sound" in told()


def test_a_run_that_is_being_begun_is_no_damaged_one(whole: Path) -> None:
    """Its configuration is there, its manifest is not, and neither is a point."""
    begun = whole / "begun"
    begun.mkdir()
    (begun / "config.yaml").write_text(CONFIG)
    told = call("plot", "begun", "--results", str(whole))
    assert (told.exit_code, "there is no run 'begun'" in told.stderr) == (2, True)
    assert "begun" not in call("ls", "--results", str(whole)).stdout
    assert "sound" in call("doctor", "--results", str(whole)).stderr
    (begun / "points").mkdir()
    (begun / "points" / "0123456789abcdef.npz").touch()
    told = call("plot", "begun", "--results", str(whole))
    assert (told.exit_code, "manifest.json is damaged: it is missing" in told.stderr) == (3, True)
    shutil.rmtree(begun)


def test_a_case_judged_at_a_length_of_no_curve_is_left_alone(whole: Path) -> None:
    expected, stored = read_baseline(whole / "baselines" / "small.json"), open_run(whole / "small")
    early = {"no such case": Early(3, next(iter(expected.values())))}
    assert judge_run(stored, expected, 1e-6, early=early).passed


def test_a_folder_that_may_not_be_looked_into_is_listed(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(path)

    (whole / "closed").mkdir()
    monkeypatch.setattr(Path, "is_file", refuse)
    assert {one.name for one in list_runs(whole)} >= {"closed", "small"}
    (whole / "closed").rmdir()
