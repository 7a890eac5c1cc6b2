from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from gradflow.cli import app, main
from gradflow.cli.screen import bar, emit, piped
from gradflow.errors import NumericalError
from gradflow.experiment.measure import measurement as measuring
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.run import Progress

CONFIG = """\
name: small
model: {cell: rnn, hidden: 4}
inputs: {kind: noise, sequences: 2}
sweep: {model.cell: [rnn, cec], length: [3, 5], seed: 2}
check: {assert: [{cell: cec, state: s, flat: 1.0e-9}]}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with one experiment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(CONFIG)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="gradflow")


def spawn(*words: str, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", "from gradflow.cli import main; main()", *words],
        preexec_fn=heed_interrupts,
        **(pipes | options),
    )


def heed_interrupts() -> None:
    """The background of a shell, or nohup, lets what runs there ignore them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def test_help_names_every_command_and_exit_code() -> None:
    done = call("--help")
    assert done.exit_code == 0
    for word in ("run", "plot", "ls", "show", "export", "baseline", "check", "validate", "schema",
                 "init", "130 interrupted"):  # fmt: skip
        assert word in " ".join(done.stdout.split())
    assert call("-h").stdout == done.stdout


def test_version() -> None:
    assert call("--version").stdout == "gradflow 0.1.0\n"


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    script = (
        "import sys\n"
        "from gradflow.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'matplotlib', 'pydantic', 'yaml', 'rich', 'multiprocessing'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "words",
    [("ran",), ("run",), ("run", "small.yaml", "--jobs", "x"), ("run", "small.yaml", "-j", "-1"),
     ("run", "none.yaml"), ("run", "small.yaml", "hidden"), ("run", "small.yaml", "model.hiden=3"),
     ("run", "small.yaml", "--shard", "3/2"), ("run", "small.yaml", "--memory", "much"),
     ("check", "small.yaml", "--format", "xml"), ("show", "none"), ("plot",), ("export", "none"),
     ("run", "small.yaml", "-j2", "--dask", "tcp://x:1"), ("validate", "small.yaml", "length=0")],
)  # fmt: skip
def test_wrong_words_are_the_users_mistake(words: tuple[str, ...], here: Path) -> None:
    done = call(*words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in here.iterdir()] == ["small.yaml"]


def test_run_ends_with_a_table_on_stdout_and_words_on_stderr() -> None:
    done = call("run", "small.yaml")
    assert done.exit_code == 0
    assert "verdict" in done.stdout
    assert "cec" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "8 points measured" in done.stderr
    assert "0 points measured in" in call("run", "small.yaml").stderr


def test_run_is_quiet() -> None:
    done = call("run", "small.yaml", "-q")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


def test_run_answers_in_json() -> None:
    done = call("run", "small.yaml", "--json", "sweep.seed=1")
    content = json.loads(done.stdout)
    assert done.stderr == ""
    assert (content["computed"], content["missing"], content["failures"]) == (4, 0, [])
    assert {row["cell"] for row in content["rows"]} == {"rnn", "cec"}


def test_run_takes_overrides_and_a_folder(here: Path) -> None:
    assert (
        call("run", "small.yaml", "name=other", "model.hidden=3", "--results", "kept").exit_code
        == 0
    )
    assert "hidden: 3" in (here / "kept" / "other" / "config.yaml").read_text()
    assert not (here / "results").exists()


def test_fresh_and_processes() -> None:
    call("run", "small.yaml", "-q")
    assert "8 points measured" in call("run", "small.yaml", "--fresh", "-j", "2").stderr


def test_shards_fill_one_folder() -> None:
    first = call("run", "small.yaml", "--shard", "1/2")
    assert "4 missing" in first.stderr
    assert "missing" not in call("run", "small.yaml", "--shard", "2/2").stderr
    assert "0 points measured" in call("run", "small.yaml").stderr


def test_dry_run_shows_the_plan_and_does_nothing(here: Path) -> None:
    done = call("run", "small.yaml", "--dry-run")
    assert done.exit_code == 0
    assert "3…5 (2)" in done.stdout
    assert "8 points, 0 there already; 2 bundles to run" in done.stderr
    content = json.loads(call("run", "small.yaml", "--dry-run", "--json").stdout)
    assert sum(len(bundle["points"]) for bundle in content["bundles"]) == 8
    small = call("run", "small.yaml", "--dry-run", "--memory", "1MiB", "model.hidden=400")
    assert "too much" in small.stdout
    assert "bytes" in small.stderr
    single = call("run", "small.yaml", "--dry-run", "sweep.seed=[4]")
    assert "…" not in single.stdout.splitlines()[1].split()[2:]
    assert [path.name for path in here.iterdir()] == ["small.yaml"]


def fail(bundle: Bundle) -> list[Any]:
    if any(point.config.seed == 1 for point in bundle.points):
        raise NumericalError("[/red] NaN at step 2 of [bold]rnn")
    return measuring_right(bundle)


measuring_right = measuring.measure


def test_failed_points_are_named_and_the_others_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "measure", fail)
    done = call("run", "small.yaml", "sweep.length=[3, 4, 5]")
    assert done.exit_code == 3
    assert "gradflow: 6 points failed" in done.stderr
    assert "model.cell=rnn, length=3, seed=1: [/red] NaN at step 2 of [bold]rnn" in done.stderr
    assert "… and 1 more" in done.stderr
    assert "6 points measured" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.setenv("GRADFLOW_TRACEBACK", "1")
    traced = call("run", "small.yaml", "--fail-fast", "--json")
    assert "Traceback" in traced.stderr
    assert json.loads(traced.stdout)["failures"]


def test_what_does_not_fit_into_memory_is_the_users_mistake() -> None:
    done = call("run", "small.yaml", "--memory", "1MiB", "model.hidden=400")
    assert done.exit_code == 2
    assert "bytes" in done.stderr


def test_an_internal_error_is_one_line_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("two\nlines [/]")

    monkeypatch.setattr("gradflow.experiment.run.run", broken)
    done = call("run", "small.yaml")
    assert done.exit_code == 3
    assert done.stderr == (
        "gradflow: internal error: RuntimeError: two lines [/]\n"
        "  GRADFLOW_TRACEBACK=1 shows where it comes from\n"
    )
    monkeypatch.setenv("GRADFLOW_TRACEBACK", "1")
    assert "Traceback" in call("run", "small.yaml").stderr


def test_an_interrupt_keeps_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradflow.experiment.run.run", interrupted)
    done = call("run", "small.yaml")
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "interrupted; what is finished is kept\n"


def test_an_interrupt_ends_with_130(here: Path) -> None:
    process = spawn("run", "small.yaml", "sweep.length=[3, 4000000]", "memory=16GiB", "-j2")
    deadline = time.monotonic() + 30
    while not list(here.glob("results/small/config.yaml")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (130, "")
    assert "interrupted; what is finished is kept" in stderr
    assert "Traceback" not in stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    call("run", "small.yaml", "-q", "sweep.length=[3000]")
    read, end = os.pipe()
    os.close(read)
    process = spawn("export", "small", stdout=end)
    os.close(end)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


def test_what_is_printed_after_the_reader_is_gone_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # restored at the end, whatever takes its place
    with piped():
        raise BrokenPipeError
    assert sys.stdout.name == os.devnull
    emit("more")
    sys.stdout.close()


def test_runs_are_listed_and_shown(here: Path) -> None:
    assert "no runs in results" in call("ls").stderr
    call("run", "small.yaml", "-q")
    call("run", "small.yaml", "-q", "name=other")
    listed = call("ls")
    rows = [" ".join(line.split()) for line in listed.stdout.splitlines()[2:]]
    assert [row.split(" MiB")[0] for row in rows] == [
        f"{name} rnn, cec 3…5 (2) 8 of 8 0.0" for name in ("other", "small")
    ]
    told = json.loads(call("ls", "--json").stdout)[1]
    assert (told["points"], told["total"], told["cells"]) == (8, 8, ["rnn", "cec"])
    assert told["bytes"] == sum(p.stat().st_size for p in Path("results/small").rglob("*.*"))
    shown = call("show", "small", "--state", "h", "--all")
    assert "rnn" in shown.stdout
    assert "numpy" in shown.stderr
    content = json.loads(call("show", "results/small", "--json").stdout)
    assert (content["points"], content["missing"], len(content["environments"])) == (8, 0, 1)
    (here / "results" / "small" / "manifest.json").write_text("{")
    listed = call("ls")
    assert "damaged" in listed.stdout
    assert "fix: gradflow run results/small, or gradflow rm results/small" in listed.stderr
    damaged = call("show", "small")
    assert damaged.exit_code == 3
    assert "gradflow run results/small repairs it" in damaged.stderr
    assert call("run", "results/small", "-q").exit_code == 0
    assert call("show", "small").exit_code == 0


def test_plot_names_and_opens_the_files_it_wrote(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("run", "small.yaml", "-q")
    done = call("plot", "--format", "svg", "--state", "h", "--x", "step")
    assert done.exit_code == 0
    (written,) = done.stdout.splitlines()
    assert (here / written).stat().st_size > 1000
    assert call("plot", "small", "--kind", "pie").exit_code == 2
    shown: list[str] = []
    monkeypatch.setattr(typer, "launch", lambda file: shown.append(file) or len(shown) - 1)
    words = ("plot", "--format", "svg", "--state", "h", "--x", "step", "--open")
    assert call(*words).stderr == ""
    assert call(*words).stderr == f"nothing here can show {written}\n"
    assert shown == [written, written]


def test_export_to_stdout_and_to_a_file(here: Path) -> None:
    call("run", "small.yaml", "-q")
    done = call("export", "small")
    lines = done.stdout.splitlines()
    assert "cell,length,seed,sequence,layer,direction,state,step,lag,log10_norm" in lines[0]
    filed = call("export", "small", "--to", "csv", "--out", "rows.csv")
    assert filed.stderr == f"rows.csv: {len(lines) - 1} rows\n"
    assert (here / "rows.csv").read_text() == done.stdout


def test_the_gate_from_its_beginning(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = call("check", "small.yaml")
    assert none.exit_code == 4
    assert "gradflow baseline small.yaml writes it" in none.stderr
    assert "--assert-only" in none.stderr
    assert not (here / "results").exists()
    assert call("check", "small.yaml", "--assert-only").exit_code == 0
    written = call("baseline", "small.yaml")
    assert written.stdout.startswith("results/baselines/small.json: 16 cases, 16 changed")
    assert call("check", "small.yaml").stdout.startswith("small: passed, 16 cases compared")
    assert call("check", "small.yaml", "-q").stdout == ""
    assert json.loads(call("check", "small.yaml", "-q", "--format", "json").stdout)["passed"]
    changed = call("check", "small.yaml", "init.recurrent_gain=1.1")
    assert changed.exit_code == 1
    assert "exploding  rnn length=5" in changed.stdout
    assert (
        "accept it with:\n  gradflow baseline small.yaml init.recurrent_gain=1.1" in changed.stdout
    )
    assert (
        "or the first alone:\n  gradflow check small.yaml init.recurrent_gain=1.1 --accept 'r"
        in (changed.stdout)
    )
    words = ("check", "small.yaml", "init.recurrent_gain=1.1")
    name = "rnn length=5 seed=0 s"
    accepted = call(*words, "--accept", name)
    assert "16 cases, 1 changed, 15 as they were" in accepted.stdout
    assert call(*words, "-k", name).stdout.startswith("small: passed, 1 cases compared")
    assert "no case has 'zz' in its name" in call(*words, "-k", "zz").stderr
    monkeypatch.setenv("CI", "true")
    assert call(*words, "--accept", name).exit_code == 2
    refused = call("baseline", "small.yaml")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert call("baseline", "small.yaml", "--force", "-q").stdout == ""


def test_several_files_are_checked_one_after_the_other(here: Path) -> None:
    other = CONFIG.replace("name: small", "name: other")
    (here / "other.yaml").write_text(other)
    words = ("small.yaml", "other.yaml", "sweep.length=[3]", "sweep.seed=1")
    assert call("check", *words).exit_code == 4
    for file in words[:2]:
        call("baseline", file, *words[2:], "-q")
    passed = call("check", *words).stdout
    assert [line.partition(",")[0] for line in passed.splitlines()] == [
        "small: passed", "other: passed"
    ]  # fmt: skip
    (here / "other.yaml").write_text(other + "init: {recurrent_gain: 1.1}\n")
    worse = call("check", "other.yaml", "small.yaml", *words[2:])
    assert (worse.exit_code, "small: passed" in worse.stdout) == (1, True)
    refused = call("check", *words, "--format", "junit")
    assert (refused.exit_code, "small.yaml first" in refused.stderr) == (2, True)


def test_the_command_that_accepts_names_the_folder() -> None:
    done = call("check", "small.yaml", "--results", "my results")
    assert "gradflow baseline small.yaml --results 'my results' writes it" in done.stderr


def test_failures_in_the_gate_can_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    call("baseline", "small.yaml", "-q", "--results", "kept")
    monkeypatch.setattr("gradflow.gate.check.measure", fail)
    words = ("check", "small.yaml", "--results", "kept", "sweep.length=[4]")
    assert "Traceback" not in call(*words).stderr
    monkeypatch.setenv("GRADFLOW_TRACEBACK", "1")
    done = call(*words)
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "failed" in done.stdout


def test_validate_and_schema_and_init(here: Path) -> None:
    assert call("validate", "small.yaml").stderr == "small.yaml: fine, 8 points\n"
    assert call("validate", "small.yaml", "-q").stderr == ""
    assert "properties" in json.loads(call("schema").stdout)
    assert call("init", "mine.yaml").exit_code == 0
    assert call("validate", "mine.yaml").exit_code == 0
    assert "already" in call("init", "mine.yaml").stderr
    assert call("init", "mine.yaml", "--force").exit_code == 0
    assert call("init", "-").stdout == (here / "mine.yaml").read_text()
    assert "fix: make the folder, or check the path" in call("init", "no/where.yaml").stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_moves_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with bar("demo") as nothing:
        assert nothing is None
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with bar("[/red] [bold]", quiet=True) as nothing:
        assert nothing is None
    with bar("[/red] [bold]") as move:
        assert move is not None
        move(Progress(0.25, 1, 3))
    assert "[/red] [bold]" in terminal.getvalue()
    assert "25%" in terminal.getvalue()
    assert "1/3 points" in terminal.getvalue()
    monkeypatch.setenv("TERM", "dumb")
    with bar("demo") as nothing:
        assert nothing is None


def test_main_is_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anything", "--version"])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    assert capsys.readouterr().out == "gradflow 0.1.0\n"


def test_stdout_of_another_alphabet_is_no_reason_to_stop() -> None:
    call("run", "small.yaml", "-q")
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = spawn("show", "small", env=env)
    assert "rnn" in process.communicate()[0]
    assert process.returncode == 0


def test_a_verdict_explains_itself_and_meets_theory(here: Path) -> None:
    (here / "why.yaml").write_text(
        "model: {cell: lstm, hidden: 4}\ninputs: {kind: noise, sequences: 2}\nlength: 20\n"
        "record: {states: [h, s], gates: true, theory: true}\nsweep: {seed: 2}\n"
    )
    ran = call("run", "why.yaml")
    assert "mean forget gate" in " ".join(ran.stdout.split())
    shown = call("show", "why")
    words = " ".join(shown.stdout.split())
    assert "mean forget gate" in words
    assert "residual: measured − predicted" in words
    told = json.loads(call("show", "why", "--json").stdout)
    assert told["explanations"][0].startswith(("vanishes:", "steady:", "explodes:"))
    assert {one["prediction"] for one in told["predictions"]} >= {"Π mean gate", "mean field"}


def test_the_latest_run_is_shown_and_exported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADFLOW_RESULTS", "kept")
    call("run", "small.yaml", "-q", "name=first")
    call("run", "small.yaml", "-q", "name=second")
    assert (here / "kept" / "second").is_dir()
    assert call("show").stdout.startswith("second · ∂L/∂")
    assert call("export", "--out", "rows.csv.gz").exit_code == 0
    assert call("plot", "--where", "cell=rnn", "--for", "ieee", "--no-notes").exit_code == 0
    wrong = call("plot", "--kind", "curve")
    assert wrong.exit_code == 2
    assert "did you mean curves?" in wrong.stderr


def test_a_run_goes_on_where_it_lies_whatever_its_folder_is_called(here: Path) -> None:
    call("run", "small.yaml", "-q", "sweep.seed=1", "--results", "far")
    (here / "far" / "small").rename(here / "far" / "moved")
    done = call("run", "far/moved", "sweep.seed=2", "--json")
    content = json.loads(done.stdout)
    assert (content["name"], content["computed"], content["reused"]) == ("moved", 4, 4)
    assert not (here / "results").exists()
    wrong = call("run", "far/moved", "--results", "near")
    assert wrong.exit_code == 2
    assert "fix: gradflow run far/moved/config.yaml --results near" in wrong.stderr
    assert "it has no config.yaml" in call("run", "far").stderr


def test_runs_are_renamed_and_removed(here: Path) -> None:
    call("run", "small.yaml", "-q")
    call("baseline", "small.yaml", "-q")
    moved = call("mv", "small", "2nd")
    assert moved.stderr.splitlines() == [
        "results/small is now results/2nd",
        "its baseline keeps its name: results/baselines/small.json",
    ]
    again = json.loads(call("run", "results/2nd", "--json").stdout)
    assert (again["name"], again["reused"]) == ("2nd", 8)
    assert call("show", "2nd").stdout.startswith("2nd · ")
    call("run", "small.yaml", "-q")
    for words, said in (
        (("mv", "small", "2nd"), "is there already"),
        (("mv", "small", "Not this"), "expected: 1 to 64 small letters"),
        (("mv", "smal", "third"), "did you mean small?"),
        (("rm", "2nd", "smal"), "did you mean small?"),
    ):
        done = call(*words)
        assert done.exit_code == 2
        assert said in done.stderr
    (here / "results" / "2nd" / "points" / "mine.txt").touch()
    assert call("rm", "2nd", "results/small").stderr.splitlines() == [
        "removed results/2nd, but for points/mine.txt",
        "removed results/small",
    ]
    assert sorted(str(p) for p in Path("results").rglob("*")) == [
        "results/2nd", "results/2nd/points", "results/2nd/points/mine.txt", "results/baselines",
        "results/baselines/small.json",
    ]  # fmt: skip


def test_bad_runs_do_not_hide_the_good_one(here: Path) -> None:
    call("run", "small.yaml", "-q")
    good = (here / "results" / "small" / "manifest.json").read_bytes()
    for i, wrong in enumerate(
        (b"", b"[]", b"\xff\x00", b'{"format": 2}', good[:-70], good.replace(b"rnn", b"rnm"), None)
    ):
        folder = here / "results" / f"bad{i}"
        folder.mkdir()
        (folder / "config.yaml").touch()
        if wrong is not None:
            (folder / "manifest.json").write_bytes(wrong)
        else:
            (folder / "points").mkdir()
            (folder / "points" / "0123456789abcdef.npz").touch()
    (here / "results" / "bad7").symlink_to("nowhere")
    (here / "results" / "bad8" / "manifest.json").mkdir(parents=True)
    (here / "results" / "note.txt").touch()
    listed = call("ls")
    assert listed.exit_code == 0, listed.output
    rows = [line.split()[:2] for line in listed.stdout.splitlines()[2:]]
    assert rows == [*([f"bad{i}", "damaged"] for i in range(7)), ["small", "rnn,"]]
    assert call("show").exit_code == 0
    assert call("rm", *(f"bad{i}" for i in range(7))).exit_code == 0
    assert len(call("ls").stdout.splitlines()) == 3


def test_what_repairs_a_point_repairs_the_folder_that_was_named(here: Path) -> None:
    call("run", "small.yaml", "-q", "--results", "r3")
    point = next((here / "r3" / "small" / "points").iterdir())
    point.write_bytes(point.read_bytes()[:-5])
    shown = call("show", "small", "--results", "r3")
    assert shown.exit_code == 3
    fix = shown.stderr.partition("fix: gradflow ")[2].partition(" repairs it")[0]
    assert call(*fix.split()).exit_code == 0
    assert call("show", "small", "--results", "r3").exit_code == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("plot s", ["small"]),
        ("show ", ["small"]),
        ("plot small --kind sl", ["slope"]),
        ("run s", ["small.yaml"]),
        ("run deep/", ["deep/other.yaml"]),
    ],
)
def test_the_shell_completes_runs_kinds_and_files(
    here: Path, words: str, offered: list[str]
) -> None:
    (here / "deep").mkdir()
    (here / "deep" / "other.yaml").touch()
    (here / "results" / "small").mkdir(parents=True)
    (here / "results" / "small" / "manifest.json").touch()
    asked = {
        "_GRADFLOW_COMPLETE": "complete_bash",
        "COMP_WORDS": f"gradflow {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    done = CliRunner().invoke(app, [], prog_name="gradflow", env=asked)
    assert done.stdout.split() == offered
