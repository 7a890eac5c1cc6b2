"""What all families stand on: commands in processes of their own, that can be killed and weighed.

A process here is a fork of this one, which has read gradflow already: what is killed is a run at
work, not the reading of modules.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import gradflow.experiment.run

if multiprocessing.parent_process() is None:  # read once, not in every fork, nor by workers
    import numpy.ma  # noqa: F401
    import typer.main

    import gradflow.experiment.preview
    import gradflow.gate.check
    import gradflow.report.tables.closing
    from gradflow.cli import app
    from gradflow.experiment.config import parse

    COMMANDS = typer.main.get_command(app)
    parse(
        {"model": {"cell": "rnn"}, "inputs": {"kind": "noise"}, "length": 2, "sweep": {"seed": 2}}
    )

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
GATES = sorted(ROOT.glob("configs/regression*.yaml"))
"""The experiments of the committed gates."""

LEARNING = """\
model: {cell: rnn, hidden: 3}
inputs: {kind: adding, sequences: 2}
length: 6
train: {loss: mse, batch: 2, updates: 20, watch: {every: 10}}
"""
"""An experiment without its name: nets that learn, for a moment."""


class Row(NamedTuple):
    """A promise, what was found, and whether it holds."""

    promise: str
    figure: str
    passed: bool


class Ended(NamedTuple):
    """How a process ended: exit code (negative: the signal), its words, what it took.

    `seconds` are those of the clock, `work` those of the processor.
    """

    code: int
    out: str
    err: str
    seconds: float
    work: float
    megabytes: float


class Process(NamedTuple):
    """A fork at work in a session of its own."""

    pid: int
    out: Path
    err: Path
    start: float

    def send(self, number: int) -> None:
        """Send a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self, patience: float = 60.0) -> Ended:
        """Wait; after `patience` seconds it is killed."""
        limit = self.start + patience
        while (done := os.wait4(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > limit:
                self.send(signal.SIGKILL)
            time.sleep(0.001)
        seconds = time.monotonic() - self.start
        used, code = done[2], os.waitstatus_to_exitcode(done[1])
        work = used.ru_utime + used.ru_stime
        words = [path.read_text("utf-8", "replace") for path in (self.out, self.err)]
        return Ended(code, words[0], words[1], seconds, work, used.ru_maxrss / 1024)

    def over(self) -> bool:
        """Whether it has ended; `end` says how."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def left(self, patience: float = 20.0) -> int:
        """Count the processes of its session that are still there after `patience` seconds."""
        limit = time.monotonic() + patience
        while (alive := _session(self.pid)) and time.monotonic() < limit:
            time.sleep(0.02)
        return alive


def _session(number: int) -> int:
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = stat.read_text().rpartition(") ")[2].split()[:4]
            count += session == str(number) and state != "Z"
    return count


def launch(work: Callable[[], object], where: Path, name: str = "") -> Process:
    """Do `work` in a fork, in the folder `where`, which gets its words under `name` as well."""
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = where / f"stdout{name}", where / f"stderr{name}"
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _work(work, where, out, err)
    return Process(pid, out, err, start)


def _work(work: Callable[[], object], where: Path, *words: Path) -> NoReturn:
    code = 70
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(where)
        for descriptor, path in enumerate(words, 1):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, descriptor)
            os.close(file)
        work()
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(*words: object) -> Callable[[], object]:
    """Return the work of a command line."""
    return lambda: COMMANDS(args=[str(word) for word in words], prog_name="gradflow")


def call(where: Path, *words: object, patience: float = 60.0) -> Ended:
    """Run a command line in a fork."""
    return launch(command(*words), where).end(patience)


FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect",
             "pickle.find_class")  # fmt: skip
"""What no file may make a command do: events of Python's own audit."""

CANARY = "forbidden:"
SEEN = (sys.prefix, sys.base_prefix, str(Path(gradflow.experiment.run.__file__).parents[2]),
        "/proc", "/sys", "/dev/null", "/dev/urandom")  # fmt: skip
"""Where a command may read unasked."""


def watched(where: Path, *words: object, patience: float = 20.0) -> Ended:
    """Run a command line in a fork that says on stderr when it does or opens what it may not."""

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in FORBIDDEN:
            os.write(2, f"{CANARY} {event} {args!r}\n".encode())
        elif event == "open" and isinstance(args[0], str | bytes):
            path = os.path.abspath(os.fsdecode(args[0]))
            if not path.startswith((str(where), *SEEN)):
                os.write(2, f"{CANARY} open {path!r}\n".encode())

    def work() -> None:
        sys.addaudithook(hook)
        command(*words)()

    return launch(work, where).end(patience)


@contextmanager
def workplace(*, disk: bool = False) -> Iterator[Path]:
    """Give an empty folder for a while; in memory, if there is such a place, unless on disk.

    Syncing takes most of a write's time on disk, which is where random kills have to fall.
    """
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and not disk else None
    with tempfile.TemporaryDirectory(prefix="gradflow-torture-", dir=place) as name:
        yield Path(name)


def times(count: int, fraction: float, least: int = 1) -> int:
    """Return so much of a full count."""
    return max(least, round(count * fraction))
