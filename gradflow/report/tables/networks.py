"""The tables of `gradflow cost` and `gradflow verify`, and the same for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradflow.experiment.measure.duration import Price
from gradflow.report.format import as_data, cell_name, number
from gradflow.report.tables.layout import Column, Sheet, Written, label_column, number_column
from gradflow.testing.conformance import TOLERANCE, Check
from gradflow.testing.published import SINGLE
from gradflow.testing.trust import METHODS, Evidence, Trust

__all__ = ["costs_data", "costs_sheet", "trust_data", "trust_sheet"]

NOTE = (
    "A step of one layer, all sequences together: → forward, ← backward (what norms need). MFLOP "
    "and MB are counted from the cell's own equations, kB kept is what the way back needs, µs "
    "measured here. cost: time over the first row's. sequential: operations of the whole sequence "
    "that follow one another, which no width hides."
)
"""What the columns mean."""


def costs_sheet(found: Sequence[Price]) -> Sheet:
    """Lay out a row for each network: counts, times, and the time over that of the first row."""
    base = found[0].forward + found[0].backward if found else 1.0
    each = [one.counted for one in found]
    both = [(counted.forward, counted.backward) for counted in each]
    columns = [
        label_column("cell", [cell_name(one.cell) for one in found]),
        number_column("params", [f"{one.parameters:,}" for one in found]),
        number_column("MFLOP → ←", [_pair(*(p.flops / 1e6 for p in ways)) for ways in both]),
        number_column("MB → ←", [_pair(*(p.traffic / 1e6 for p in ways)) for ways in both]),
        number_column("kB kept", [number(c.tape / 1e3) for c in each]),
        number_column("µs → ←", [_pair(one.forward * 1e6, one.backward * 1e6) for one in found]),
        number_column("cost", [f"×{(one.forward + one.backward) / base:.1f}" for one in found]),
        number_column("sequential", [f"{sum(one.path):,}" for one in found]),
    ]
    return Sheet(columns, notes=[NOTE])


def _pair(forward: float, backward: float) -> str:
    return f"{number(forward)} {number(backward)}"


def costs_data(found: Sequence[Price]) -> list[dict[str, Any]]:
    """The same as plain data."""
    return [
        {
            "cell": one.cell,
            "hidden": one.hidden,
            "layers": one.layers,
            "sequences": one.sequences,
            "length": one.length,
            "parameters": one.parameters,
            "flops": {
                "forward": one.counted.forward.flops,
                "backward": one.counted.backward.flops,
            },
            "bytes": {
                "forward": one.counted.forward.traffic,
                "backward": one.counted.backward.traffic,
                "kept": one.counted.tape,
            },
            "seconds": {"forward": one.forward, "backward": one.backward},
            "sequential": {"forward": one.path[0], "backward": one.path[1]},
        }
        for one in found
    ]


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
