"""The table of `gradflow verify`: every cell against every method, and the same for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradflow.report.format import as_data
from gradflow.report.tables.layout import Column, Sheet, Written, label_column, number_column
from gradflow.testing.conformance import TOLERANCE, Check
from gradflow.testing.published import SINGLE
from gradflow.testing.trust import METHODS, Evidence, Trust

__all__ = ["trust_data", "trust_sheet"]

NOTHING = "—"
SHOWN = 8
"""How many failed checks are printed in full."""


def trust_sheet(rows: Sequence[Trust]) -> Sheet:
    """Lay out the largest error of each cell by method, kind after kind; below, what failed."""
    verdicts: list[Written] = [
        ("passes", "green") if row.passed else ("fails", "red") for row in rows
    ]
    columns = [
        label_column("cell", [_label(row) for row in rows]),
        *(
            number_column(
                name.replace(" ", "\n"),
                [_error(row.evidence.get(name, Evidence())) for row in rows],
            )
            for name in METHODS
        ),
        Column("verdict", verdicts, "word"),
    ]
    ruled = [i for i in range(1, len(rows)) if rows[i].kind != rows[i - 1].kind]
    wrong = [check for row in rows for check in row.wrong]
    notes: list[Written] = [(f"{c.cell}: {c.name}: {c.reason}", "red") for c in wrong[:SHOWN]]
    if len(wrong) > SHOWN:
        notes.append((f"… and {len(wrong) - SHOWN} more", "red"))
    return Sheet(columns, notes=[*notes, _note(rows)], ruled=ruled)


def trust_data(rows: Sequence[Trust]) -> list[dict[str, Any]]:
    """Return the rows as plain data; an error that is not finite is the text ``"inf"``."""
    return [
        {
            "kind": row.kind,
            "cell": row.cell,
            "passed": row.passed,
            "evidence": {
                name: {
                    "error": as_data(one.error),
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


def _label(row: Trust) -> Written:
    """The kind for its plain cell; of the others the options alone."""
    if row.cell == row.kind:
        return row.kind, "bold"
    return " " + row.cell.removeprefix(row.kind).removeprefix("(").removesuffix(")")


def _error(evidence: Evidence) -> Written:
    error = evidence.error
    if error is None:
        return NOTHING, "dim"
    text = f"{error:.1e}" if math.isfinite(error) and error else "fails" if error else "0"
    return text, "" if evidence.passed else "red"


def _record(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "error": as_data(check.error),
        "tolerance": check.tolerance,
        "passed": check.passed,
        "note": check.note,
    }
