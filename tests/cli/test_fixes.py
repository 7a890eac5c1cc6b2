"""What a message tells one to do is right: doing it leads on. Names that meet replace nothing."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gradflow.cli import app

SMALL = """\
model: {cell: lstm, hidden: 2}
inputs: {kind: noise}
length: 6
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADFLOW_RESULTS", raising=False)
    (tmp_path / "mine.yaml").write_text(SMALL)
    return tmp_path


def call(*words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, list(words), prog_name="gradflow")
    assert done.exit_code == code, done.output
    return done


def test_another_form_of_an_experiment_is_told_and_its_figures_are_set_aside(here: Path) -> None:
    call("run", "mine.yaml", "-q")
    (curves,) = call("plot", "mine", "--state", "h", "--format", "svg").stdout.split()
    assert call("run", "mine.yaml", "sweep.seed=2").stderr.count("another experiment") == 0
    assert Path(curves).exists()
    told = call("run", "mine.yaml", "model.hidden=3", "model.cell=gru").stderr
    assert "results/mine held another experiment: model.cell lstm → gru" in told
    assert "model.hidden 2 → 3" in told
    assert not Path(curves).exists()
    place = re.search(r"what was drawn of it is in (\S+) now", told)
    assert place is not None
    assert (here / place[1] / "plots" / Path(curves).name).exists()
    again = call("run", "mine.yaml").stderr
    assert "0 points measured" in again  # as the message says: its points are kept


def test_two_files_do_not_share_a_run(here: Path) -> None:
    call("run", "mine.yaml", "-q")
    other = here / "other" / "mine.yaml"
    other.parent.mkdir()
    other.write_text(SMALL.replace("lstm", "gru"))
    refused = call("run", "other/mine.yaml", code=2).stderr
    assert f"results/mine holds the run of another file, {here / 'mine.yaml'}" in refused
    assert "name=mine-2 here" in refused
    call("run", "other/mine.yaml", "name=mine-2", "-q")
    call("run", "results/mine/config.yaml", "-q")  # its own
    (here / "mine.yaml").unlink()  # moved: the file there is now takes its place
    assert "lstm → gru" in call("run", "other/mine.yaml").stderr


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("実験", "実験"),
        ("Gedächtnis Nr. 2", "gedächtnis-nr.-2"),
        ("क्षेत्र", "क्षेत्र"),
        ("?!", "experiment"),
    ],
)
def test_a_name_has_letters_of_any_script(here: Path, stem: str, name: str) -> None:
    (here / f"{stem}.yaml").write_text(SMALL)
    assert f"results/{name}: 1 points measured" in call("run", f"{stem}.yaml").stderr
    wrong = call("validate", "mine.yaml", f"name={stem}", code=0 if stem == name else 2)
    if stem != name:
        told = re.search(r"write for instance name: (.*)", wrong.stderr)
        assert told is not None
        call("validate", "mine.yaml", f"name={told[1]}")


def test_a_figure_that_needs_a_recording_says_how_to_write_it() -> None:
    call("run", "mine.yaml", "-q")
    told = re.search(
        r"set {2}record\.(truncation: .*?) {2}on",
        call("plot", "mine", "--kind", "truncation", code=2).stderr,
    )
    assert told is not None
    bare = call("run", "mine.yaml", "record.truncation=true", code=2).stderr
    assert f"write for instance {told[1]}" in bare
    call("run", "mine.yaml", f"record={{{told[1]}}}", "-q")
    call("plot", "mine", "--kind", "truncation", "--state", "h", "--format", "svg")


def test_a_file_is_no_folder(here: Path) -> None:
    call("run", "mine.yaml", "-q")
    (here / "figure").write_text("")
    told = call("plot", "mine", "--out", "figure", code=2).stderr
    assert "figure is a file, not a folder\n  fix: name a folder, or a file like figure.png" in told


def test_the_baseline_of_another_experiment_is_not_replaced_in_silence(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    call("baseline", "mine.yaml", "-q")
    assert "model.hidden 2 → 3" in call("baseline", "mine.yaml", "model.hidden=3").stderr
    kept = (here / "results" / "baselines" / "mine.json").read_bytes()
    call("rm", "mine")  # as where the baseline was cloned, without the run
    told = call("baseline", "mine.yaml", "model.cell=gru", code=2).stderr
    assert "none of its 3 cases, such as 'lstm length=6 seed=0 c'" in told
    assert (here / "results" / "baselines" / "mine.json").read_bytes() == kept
    red = call("check", "mine.yaml", "model.cell=gru", code=1).stdout
    accept = re.search(r"accept it with:\n  gradflow (.*)", red)
    assert accept is not None
    call(*accept[1].split())
    call("check", "mine.yaml", "model.cell=gru")


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """What a folder forbids is forbidden to root, too, as long as the test lasts (Linux)."""
    if os.geteuid():
        yield
        return
    library = ctypes.CDLL(None)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same above 32
    assert library.capget(head, held) == 0
    assert library.capset(head, (ctypes.c_uint32 * 6)(held[0] & ~0b110, *held[1:])) == 0
    yield
    assert library.capset(head, held) == 0


def test_where_nobody_may_write_one_is_told_what_to_do(
    here: Path, unprivileged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    call("run", "mine.yaml", "-q")
    closed = [here / "results" / "mine", here / "results", here]
    for folder in closed:
        folder.chmod(0o555)
    for words in (
        "run mine.yaml name=b", "plot mine --state h", "plot mine --state h --out x.svg",
        "export mine --out x.csv", "init a.yaml", "mv mine b", "baseline mine.yaml",
    ):  # fmt: skip
        told = call(*words.split(), code=2).stderr
        assert re.search(r": you may not write .*\n  fix: name a place that you may use", told), (
            words
        )
    assert call("show", "mine", "--json").stdout
    for folder in closed:
        folder.chmod(0o755)


def test_what_is_stored_can_be_asked_for_where_nobody_may_write(
    here: Path, unprivileged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for command in ("run", "baseline"):
        call(command, "mine.yaml", "-q")
    closed = [here, *here.rglob("*")]
    for path in closed:
        path.chmod(0o555 if path.is_dir() else 0o444)
    stamp = (here / "results" / "mine" / "manifest.json").stat().st_mtime_ns
    for words in ("run mine.yaml", "run results/mine", "run mine.yaml length=6"):
        assert "0 points measured" in call(*words.split()).stderr
    assert call("check", "mine.yaml").stderr == ""
    told = call("run", "mine.yaml", "--fresh", code=2).stderr
    assert "manifest.json: you may not write" in told
    told = call("check", "mine.yaml", "model.hidden=3", code=1).stderr
    assert "nothing can be written into results/mine: measured in memory" in told
    assert (here / "results" / "mine" / "manifest.json").stat().st_mtime_ns == stamp
    for path in closed:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_wrong_name_of_a_figure_is_told_before_anything_is_measured(here: Path) -> None:
    for command in ("check", "advise"):
        told = call(command, "mine.yaml", "--plot", "x.jpg", code=2).stderr
        assert "fix: call it x.png" in told
    assert not (here / "results").exists()


@pytest.mark.parametrize(
    ("words", "code", "fix"),
    [
        ("show moin", 2, "did you mean mine?"),
        ("show gone", 2, "gradflow run CONFIG makes one"),
        ("diff mine", 4, "gradflow baseline CONFIG writes one"),
        ("mv mine baselines", 2, "another name"),
        ("check mine.yaml --assert-only", 4, "write facts under check.assert"),
        ("run mine.yaml name=", 2, "write for instance name: mine"),
        ("run mine.yaml --dask a:1 -j 2", 2, "leave --jobs out"),
        ("run .", 2, "name an experiment file, or a run's folder"),
        ("run mine.yaml method=rtrl record.paths=true", 2, "remove record.paths, or set method"),
        ("run mine.yaml record.truncation.k1=3", 2, "add k2: [4, 16]"),
        ("run mine.yaml train.clip=1", 2, "write for instance clip: {norm: 1.0}"),
        ("run mine.yaml train.optimiser=adam", 2, "write {kind: adam}"),
        ("run mine.yaml train.gradient={}", 2, "write for instance {k1: 10, k2: 20}"),
        ("run mine.yaml model={cell:", 2, "put all of it in quotes: 'model={kind: …}'"),
        ("run torn.yaml", 2, "put a } where what the { of line 1 opens ends, or a comma here"),
    ],
)
def test_what_is_wrong_comes_with_what_helps(here: Path, words: str, code: int, fix: str) -> None:
    if words.split()[0] in ("show", "diff", "mv"):
        call("run", "mine.yaml", "-q")
    (here / "torn.yaml").write_text("model: {cell: lstm\ninputs: {kind: noise}\n")
    told = call(*words.split(), code=code).stderr
    assert f"fix: {fix}" in told


@pytest.mark.parametrize("name", ["results", "nowhere/summary.md"])
def test_a_summary_that_cannot_be_written_is_refused_before_anything_is_read(name: str) -> None:
    Path("results").mkdir()
    told = call("check", "not_read.yaml", "--summary", name, code=2).stderr
    assert told.startswith(f"gradflow: {name} is ")
    assert "fix: name a file, for instance summary.md" in told
