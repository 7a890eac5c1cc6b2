"""What surrounds every command: whatever it raises becomes a message and an exit code."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from gradflow.cli.screen import say
from gradflow.errors import GradflowError

__all__ = ["guarded", "tracing"]

P = ParamSpec("P")

INTERNAL, INTERRUPTED = 3, 130


def tracing() -> bool:
    """Whether the user wants to see tracebacks."""
    return os.environ.get("GRADFLOW_TRACEBACK", "0") not in ("", "0")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn whatever a command raises into a message on stderr and an exit code."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt as error:
            say("interrupted; what is finished is kept")
            raise typer.Exit(INTERRUPTED) from error
        except GradflowError as error:
            say(f"gradflow: {error}")
            _trace()
            raise typer.Exit(error.exit_code) from error
        except Exception as error:
            say(f"gradflow: internal error: {type(error).__name__}: {_line(error)}")
            if not tracing():
                say("  GRADFLOW_TRACEBACK=1 shows where it comes from")
            _trace()
            raise typer.Exit(INTERNAL) from error

    return wrapper


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _trace() -> None:
    if tracing():
        say(traceback.format_exc().rstrip())
