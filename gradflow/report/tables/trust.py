"""The table of `gradflow verify`: every cell against every method, and the same for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradflow.report.format import plain
from gradflow.testing.check import TOLERANCE, Check
from gradflow.testing.published import SINGLE
from gradflow.testing.trust import METHODS, Evidence, Trust

__all__ = ["print_trust", "records", "trust_table"]

NOTHING = "—"
SHOWN = 8
"""How many failed checks are printed in full."""


def trust_table(rows: Sequence[Trust], *, ascii_only: bool = False) -> Table:
    """Lay out the largest error of each cell by method, cells grouped by kind.

    Parameters
    ----------
    rows : sequence of Trust
        Kind after kind.
    ascii_only : bool
        Write in ASCII.
    """
    made = Table(
        box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    made.add_column("cell", overflow="fold")
    for name in METHODS:
        made.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    for last, row in zip([None, *rows], rows, strict=False):
        if last is not None and last.kind != row.kind:
            made.add_section()
        verdict = Text("passes", "green") if row.passed else Text("fails", "red")
        errors = [_error(row.evidence.get(name, Evidence()), ascii_only) for name in METHODS]
        made.add_row(_label(row), *errors, verdict)
    return made


def print_trust(rows: Sequence[Trust], console: Console | None = None) -> None:
    """Print the table, what failed and why, and a note on the columns."""
    console = console or Console()
    ascii_only = not console.encoding.lower().startswith("utf")

    def write(text: str) -> str:
        return plain(text.replace(NOTHING, "-")) if ascii_only else text

    console.print(trust_table(rows, ascii_only=ascii_only))
    wrong = [check for row in rows for check in row.wrong]
    for check in wrong[:SHOWN]:
        console.print(Text(write(f"{check.cell}: {check.name}: {check.reason}"), "red"))
    if len(wrong) > SHOWN:
        console.print(Text(write(f"… and {len(wrong) - SHOWN} more"), "red"))
    console.print(Text(write(_note(rows)), style="dim"))


def records(rows: Sequence[Trust]) -> list[dict[str, Any]]:
    """Return the rows as plain data; an error that is not finite is the text ``"inf"``."""
    return [
        {
            "kind": row.kind,
            "cell": row.cell,
            "passed": row.passed,
            "evidence": {
                name: {
                    "error": _data(one.error),
                    "passed": one.passed,
                    "checks": [_record(check) for check in one.checks],
                }
                for name, one in row.evidence.items()
            },
        }
        for row in rows
    ]


def _note(rows: Sequence[Trust]) -> str:
    count, bad = len(rows), sum(not row.passed for row in rows)
    many = f"{count} cell{'s' if count > 1 else ''}"
    end = f"{bad} of {many} fail" if bad else f"{many}, all pass"
    return (
        f"Largest relative errors, at most {TOLERANCE:g}; published values are in single "
        f"precision, at most {SINGLE:g}. {NOTHING}: nothing to compare with. {end}."
    )


def _label(row: Trust) -> Text | Padding:
    """The kind for its plain cell; of the others the options alone."""
    if row.cell == row.kind:
        return Text(row.kind, "bold")
    options = row.cell.removeprefix(row.kind).removeprefix("(").removesuffix(")")
    return Padding(Text(options), (0, 0, 0, 1))


def _error(evidence: Evidence, ascii_only: bool) -> Text:
    error = evidence.error
    if error is None:
        return Text("-" if ascii_only else NOTHING, "dim")
    style = "" if evidence.passed else "red"
    return Text(f"{error:.1e}" if math.isfinite(error) and error else _short(error), style)


def _short(error: float) -> str:
    return "fails" if error else "0"


def _record(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "error": _data(check.error),
        "tolerance": check.tolerance,
        "passed": check.passed,
        "note": check.note,
    }


def _data(error: float | None) -> float | str | None:
    return error if error is None or math.isfinite(error) else "inf"
