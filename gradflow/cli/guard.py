"""What surrounds every command: whatever it raises becomes a message and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec

import typer

from gradflow.cli.screen import say
from gradflow.errors import GradflowError, UserError

__all__ = ["guarded", "tracing"]

P = ParamSpec("P")

INTERNAL = 3
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

PLACES = {
    errno.ENOSPC: "the disk is full\n  fix: make room and run again; what is finished is kept",
    errno.EDQUOT: "the quota is used up\n  fix: make room and run again; what is finished is kept",
    errno.EIO: "the disk reports an error\n  fix: look at the disk; what is finished is kept",
}
"""The machine's trouble: exit code 3, as for whatever else goes wrong while running."""

WRONG = {
    errno.EACCES: "you may not write or read there\n  fix: name a place that you may use",
    errno.EPERM: "you may not write or read there\n  fix: name a place that you may use",
    errno.EROFS: "this file system is read-only\n  fix: name a place that can be written",
    errno.ENOTDIR: "a part of this path is a file, not a folder\n  fix: name a folder",
    errno.EEXIST: "there is a file where a folder belongs\n  fix: name a folder",
    errno.EISDIR: "this is a folder\n  fix: name a file",
    errno.ENOENT: "there is no such file or folder\n  fix: make the folder, or check the path",
    errno.ELOOP: "these links lead in a circle\n  fix: name another place",
    errno.ENAMETOOLONG: "this name is too long for the file system\n  fix: shorten it",
}
"""The user's: exit code 2."""


def tracing() -> bool:
    """Whether the user wants to see tracebacks."""
    return os.environ.get("GRADFLOW_TRACEBACK", "0") not in ("", "0")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn whatever a command raises into a message on stderr and an exit code."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        stops: list[int] = []
        try:
            with _stoppable(stops):
                command(*args, **kwargs)
        except typer.Exit:
            raise
        except (KeyboardInterrupt, Exception) as error:
            if stops or isinstance(error, KeyboardInterrupt):  # pydantic hands it on as its own
                say("interrupted; what is finished is kept")
                raise typer.Exit(128 + (stops or [signal.SIGINT])[0]) from error
            text, code = _explained(error)
            say(f"gradflow: {text}")
            if tracing():
                say(traceback.format_exc().rstrip())
            raise typer.Exit(code) from error

    return wrapper


def _explained(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, GradflowError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.errno in PLACES | WRONG:
        where = f"{error.filename}: " if error.filename else ""
        code = INTERNAL if error.errno in PLACES else UserError.exit_code
        return where + (PLACES | WRONG)[error.errno], code
    text = f"internal error: {type(error).__name__}: {' '.join(str(error).split())}"
    return text + ("" if tracing() else "\n  GRADFLOW_TRACEBACK=1 shows where it comes from"), 3


@contextmanager
def _stoppable(stops: list[int]) -> Iterator[None]:
    """Let the signals that end a process unwind it first, so that what runs beside it ends, too.

    They are told in `stops`. A signal that is ignored stays so: ``nohup`` ignores SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return

    def stop(number: int, frame: FrameType | None) -> None:
        stops.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
