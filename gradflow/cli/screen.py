"""What is printed: tables and JSON on stdout, words on stderr, each quiet about broken pipes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from gradflow.advice.advise import Advice
    from gradflow.experiment.config import Experiment
    from gradflow.report.read.digest import Digest
    from gradflow.report.read.explain import Explanation
    from gradflow.report.read.predictions import Comparison
    from gradflow.report.read.rows import Row
    from gradflow.report.tables.costs import Price
    from gradflow.testing.trust import Trust

__all__ = [
    "emit",
    "emit_json",
    "grid",
    "piped",
    "say",
    "show_advice",
    "show_costs",
    "show_digest",
    "show_reasons",
    "show_rows",
    "show_trust",
]

WIDE = 160
"""Columns of a table that goes into a file or a pipe."""


def say(text: str) -> None:
    """Write words to stderr, if there is one; what would not show is escaped."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    with contextlib.suppress(OSError, ValueError):  # closed or full: the exit code still speaks
        typer.echo(shown, err=True)


def emit(text: str) -> None:
    """Write data to stdout, as it is."""
    with piped():
        sys.stdout.write(text)


def emit_json(value: Any) -> None:
    """Write strict JSON to stdout."""
    emit(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Write a plain table to stdout; nothing in it is taken for markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(Text(name))
    for line in lines:
        table.add_row(*map(Text, line))
    with piped():
        _console().print(table)


def show_rows(rows: Sequence[Row], title: str) -> None:
    """Write the table of verdicts to stdout."""
    from gradflow.report.tables.closing import print_table

    with piped():
        print_table(rows, _console(), title=title)


def show_reasons(explained: Sequence[Explanation], compared: Sequence[Comparison]) -> None:
    """Write why the verdicts are what they are, and what theory predicts, to stdout."""
    from gradflow.report.read.explain import print_explanations
    from gradflow.report.read.predictions import print_predictions

    with piped():
        if explained:
            print_explanations(explained, _console())
        if compared:
            print_predictions(compared, _console())


def show_advice(advice: Sequence[Advice], experiment: Experiment) -> None:
    """Write the table of advice to stdout."""
    from gradflow.advice.table import print_advice

    with piped():
        print_advice(advice, experiment, _console())


def show_trust(rows: Sequence[Trust]) -> None:
    """Write the table of trust to stdout."""
    from gradflow.report.tables.trust import print_trust

    with piped():
        print_trust(rows, _console())


def show_costs(found: Sequence[Price]) -> None:
    """Write the table of costs to stdout."""
    from gradflow.report.tables.costs import print_costs

    with piped():
        print_costs(found, _console())


def show_digest(shown: Digest, title: str) -> None:
    """Write the table of a quantity to stdout."""
    from gradflow.report.read.digest import print_digest

    with piped():
        print_digest(shown, title, _console())


@contextmanager
def piped() -> Iterator[None]:
    """Let stdout's reader go away early: the rest of what is printed goes nowhere."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # it stays open as long as the process


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)
