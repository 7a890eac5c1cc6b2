"""What ends a command from outside, and where its words go."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from gradflow.cli.guard import PLACES, WRONG, guarded
from tests.cli.test_cli import call, heed_interrupts

LONG = """
model: {cell: rnn, hidden: 64}
inputs: {kind: noise, sequences: 8}
sweep: {length: [20000, 20001, 20002, 20003], seed: 4}
"""


def start(where: Path, *words: str, **options: object) -> subprocess.Popen[str]:
    (where / "long.yaml").write_text(LONG)
    return subprocess.Popen(
        [*words, sys.executable, "-m", "gradflow", "run", "long.yaml", "-j", "2"],
        cwd=where,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
        **options,  # type: ignore[call-overload]
    )


def await_results(where: Path) -> None:
    for _ in range(600):
        if list(where.glob("results/long/points/*.npz")):
            return
        time.sleep(0.1)
    pytest.fail("no point was measured")


def await_nobody(session: int) -> bool:
    """Whether all processes of a session are gone soon."""
    for _ in range(200):
        alive = subprocess.run(["pgrep", "-s", str(session)], capture_output=True, check=False)
        if not alive.stdout:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_counts_though_what_it_meets_hands_it_on_as_an_error_of_its_own(name: str) -> None:
    """As pydantic does of whatever is raised while it calls back."""
    number = getattr(signal, name)

    @guarded
    def command() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except BaseException as error:
            raise ValueError("in a callback") from error

    usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        with pytest.raises(typer.Exit) as ended:
            command()
    finally:
        signal.signal(number, before)
    assert ended.value.exit_code == 128 + number


@pytest.mark.parametrize(
    "name", ["SIGINT", *(pytest.param(n, marks=pytest.mark.extras) for n in ("SIGTERM", "SIGHUP"))]
)
def test_a_signal_ends_a_run_at_once(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    running = start(tmp_path)
    await_results(tmp_path)
    running.send_signal(number)
    _, words = running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert "what is finished is kept" in words
    assert not list(tmp_path.glob("results/long/points/.*"))
    assert await_nobody(running.pid)


def test_nohup_outlives_the_terminal(tmp_path: Path) -> None:
    running = start(tmp_path, "nohup")
    await_results(tmp_path)
    running.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert running.poll() is None
    running.terminate()
    running.communicate(timeout=10)


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_without_a_place_for_words_the_exit_code_speaks(redirect: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m gradflow run none.yaml {redirect}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode == 2


def test_names_cannot_steer_the_terminal() -> None:
    done = call("run", "\x1b[31mred\u202e.yaml")
    assert done.exit_code == 2
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output


def test_a_file_in_the_way_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").write_text("")
    Path("small.yaml").write_text("model: {cell: rnn}\ninputs: {kind: noise}\nlength: 5\n")
    done = call("run", "small.yaml")
    assert done.exit_code == 2
    assert "results" in done.output
    assert "fix: name a folder" in done.output


@pytest.mark.parametrize(("number", "code"), [*((n, 3) for n in PLACES), *((n, 2) for n in WRONG)])
def test_trouble_with_files_is_one_message(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, "no", "points/x.npz")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gradflow.experiment.store.whole.os.fsync", fails)
    Path("small.yaml").write_text("model: {cell: rnn}\ninputs: {kind: noise}\nlength: 5\n")
    done = call("run", "small.yaml")
    assert done.exit_code == code, errno.errorcode[number]
    assert "results/small/config.yaml: " in done.output.splitlines()[0]
    assert "Traceback" not in done.output
    assert "internal" not in done.output
