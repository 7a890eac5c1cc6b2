"""What is printed: tables and JSON on stdout, words on stderr, each quiet about broken pipes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from gradflow.experiment.config import Experiment
    from gradflow.report.tables.layout import Sheet

__all__ = [
    "emit", "emit_json", "grid", "piped", "read_experiment", "say", "say_changes", "show_sheet",
]  # fmt: skip

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""


def say(text: str) -> None:
    """Write words to stderr, if there is one; what would not show is escaped."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    with contextlib.suppress(OSError, ValueError):  # closed or full: the exit code still speaks
        typer.echo(shown, err=True)


def say_changes(changed: Sequence[str]) -> None:
    """Say what is not as it was when points were measured."""
    if changed:
        say(f"measured again, because it has changed: {', '.join(changed)}")


def emit(text: str) -> None:
    """Write data to stdout, as it is."""
    with piped():
        sys.stdout.write(text)


def emit_json(value: Any) -> None:
    """Write strict JSON to stdout."""
    emit(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def show_sheet(sheet: Sheet) -> None:
    """Write a table to stdout, as wide as the terminal."""
    from rich.console import Console

    from gradflow.report.tables.layout import print_sheet

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
    with piped():
        print_sheet(sheet, Console(width=width))


def read_experiment(
    config: Path, overrides: Sequence[str] | None, *, quiet: bool = False
) -> Experiment:
    """Read an experiment file, and say what is right and should be known."""
    from gradflow.experiment.config import load_config

    experiment = load_config(config, overrides or ())
    for note in () if quiet else experiment.notes:
        say(note)
    return experiment


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[str]) -> None:
    """Write rows as a table to stdout; the columns of `words` are names, all others numbers."""
    from gradflow.report.tables.layout import Sheet, label_column, number_column

    columns = [
        (label_column if name in words else number_column)(name, [row[i] for row in rows])
        for i, name in enumerate(header)
    ]
    show_sheet(Sheet(columns))


@contextmanager
def piped() -> Iterator[None]:
    """Let stdout's reader go away early: the rest of what is printed goes nowhere."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # it stays open as long as the process
