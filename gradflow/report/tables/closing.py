"""The closing table of a run, and the same rows for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradflow.report.format import (
    as_data,
    axis_names,
    cell_name,
    decades,
    lag,
    number,
    plus_minus,
    power,
    setting,
)
from gradflow.report.read.horizons import LIMITS, Horizon
from gradflow.report.read.rates import Bend, Summary
from gradflow.report.read.rows import Row, row_names
from gradflow.report.tables.layout import Column, Sheet, Written, label_column, number_column

__all__ = ["closing_note", "closing_sheet", "remarks", "rows_data"]

BENDS = 6
"""Curves that are not straight of which the small print says how."""

_STYLES = {"vanishes": "yellow", "steady": "green", "explodes": "red"}
_ARROWS = {"forward": "→", "backward": "←", "both": "↔"}


def closing_sheet(rows: Sequence[Row], title: str = "") -> Sheet:
    """Lay the rows out: cell, swept axes, length, then the numbers of `gradflow.report.read.rates`.

    The title says which norm is judged, and what all rows share (cell, length); layer and direction
    stand nowhere where there is one. Half-life and horizons can be spared, the widest format first.
    """
    paths = axis_names(dict.fromkeys(path for row in rows for path in row.axes))
    ones = [row.summary for row in rows]
    title = " · ".join(filter(None, [title, *dict.fromkeys(f"∂L/∂{one.state}" for one in ones)]))
    named = {"cell": [cell_name(row.cell) for row in rows]}
    for path in paths:
        named[path] = [setting(row.axes[path]) if path in row.axes else "" for row in rows]
    named["length"] = [str(row.length) for row in rows]
    if len({(one.layer, one.direction) for one in ones}) > 1:
        named["layer"] = _places(ones)
    for name in ("cell", "length") if len(rows) > 1 else ("length",):
        if len(set(named[name])) == 1:
            alone = ("" if name == "cell" else "length ") + named.pop(name)[0]
            title = " · ".join(filter(None, [title, alone]))
    verdicts: list[Written] = [
        (_verdict(one), _STYLES.get(one.verdict or "", "dim")) for one in ones
    ]
    columns = [
        *(
            number_column(name, cells)
            if name in ("length", "layer")
            else label_column(paths.get(name, name), cells)
            for name, cells in named.items()
        ),
        number_column("decades", [decades(one.decades) for one in ones]),
        number_column("per step", [_slope(one) for one in ones]),
        number_column("half-life", [_half_life(one) for one in ones], spared=True),
        *(
            number_column(name, [_horizon(one.horizons[name]) for one in ones], spared=True)
            for name in LIMITS
        ),
        Column("verdict", verdicts, "word"),
    ]
    return Sheet(columns, title, [closing_note(rows), *remarks(rows)])


def closing_note(rows: Sequence[Row]) -> str:
    """Explain the columns of the table in a few lines."""
    seeds = max((row.summary.seeds for row in rows), default=1)
    spread = f" ± half the 10–90 % range of {seeds} seeds" if seeds > 1 else ""
    state = rows[0].summary.state if rows else "s"
    return (
        f"decades: log10 of ‖∂L/∂{state}‖ at the far end over the loss end. per step: its slope, "
        f"the median{spread}. half-life in steps (×2: doubles). float16, 32, 64: the lag from "
        "which that format's number is wrong, rounded off or ∞; ~ continued with the slope. "
        "steady: within one decade."
    )


def remarks(rows: Sequence[Row]) -> list[str]:
    """Say which curves are not straight, which have no way back, and what is judged of a sum."""
    said = []
    if any(row.summary.several for row in rows):
        said.append(
            "The loss is a sum over steps: judged is the last loss alone, which says how far error "
            "reaches."
        )
    names = row_names(rows)
    bent = [(name, row.summary.bend) for name, row in zip(names, rows, strict=True)]
    bends = [f"{name} {_bend(bend)}" for name, bend in bent if bend is not None]
    if bends:
        more = f"; and {len(bends) - BENDS} more" if len(bends) > BENDS else ""
        listed = "; ".join(bends[:BENDS]) + more
        said.append(f"* not along its slope, so that nothing is continued: {listed}.")
    if any(row.summary.verdict is None for row in rows):
        said.append(
            "– no verdict: error goes back one step at most. Of a bidirectional net, loss.at: ends "
            "looks at each direction's own last state."
        )
    return said


def _bend(bend: Bend) -> str:
    if bend.kind == "uneven":
        return f"leaves it by {number(bend.decades, 2)} decades"
    if bend.kind == "turn":
        return f"{'dips to' if bend.decades < 0 else 'rises to'} {power(bend.decades)} and turns"
    way = "loses" if bend.decades > 0 else "gains"
    return f"{way} {number(abs(bend.decades), 2)} decades in its first steps"


def rows_data(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as plain data; what is infinite is the text ``"inf"`` or ``"-inf"``."""
    return [_record(row) for row in rows]


def _places(ones: Sequence[Summary]) -> list[str]:
    one_way = len({one.direction for one in ones}) == 1
    return [f"{one.layer}{'' if one_way else f' {_ARROWS[one.direction]}'}" for one in ones]


def _slope(summary: Summary) -> str:
    if summary.slope is None:
        return "–"
    return "0" if summary.flat else plus_minus(summary.slope, summary.spread)


def _half_life(summary: Summary) -> str:
    if summary.slope is None or summary.half_life is None:
        return "–"
    grows = summary.slope > 0 and not summary.flat
    return f"{'×2 ' if grows else ''}{number(summary.half_life)}"


def _horizon(horizon: Horizon | None) -> str:
    if horizon is None:
        return "–"
    if horizon.reads == "never":
        return "never"
    about = "~" if horizon.extrapolated else ""
    return f"{about}{lag(horizon.lag)}{' ∞' if horizon.reads == 'inf' else ''}"


def _verdict(summary: Summary) -> str:
    if summary.verdict is None:
        return "–"
    some = f" {summary.agree}/{summary.seeds}" if summary.agree < summary.seeds else ""
    return summary.verdict + some + (" *" if summary.bend else "")


def _record(row: Row) -> dict[str, Any]:
    one = row.summary
    return {
        "cell": row.cell,
        "length": row.length,
        "axes": as_data(row.axes),
        "state": one.state,
        "layer": one.layer,
        "direction": one.direction,
        "seeds": one.seeds,
        "sequences": one.sequences,
        "lags": one.lags,
        "decades": as_data(one.decades),
        "slope": one.slope,
        "spread": one.spread,
        "half_life": as_data(one.half_life),
        "horizons": {name: h and as_data(vars(h)) for name, h in one.horizons.items()},
        "verdict": one.verdict,
        "agree": one.agree,
        "bend": one.bend and vars(one.bend),
        "last_loss_alone": one.several,
    }
