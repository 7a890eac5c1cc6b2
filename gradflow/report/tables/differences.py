"""The tables of `gradflow diff`: what differs in the configuration, then verdicts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradflow.report.format import as_data, axis_names, cell_name, decades, number, plus_minus
from gradflow.report.read.keys import KeyChange
from gradflow.report.read.pairs import Comparison, Pair
from gradflow.report.read.rates import Summary
from gradflow.report.tables.layout import Column, Sheet, Written, label_column, number_column

__all__ = ["differences_data", "differences_sheets", "in_short"]

STIRRED = 0.05
"""Decades from which a change is more than a table's rounding, and stands out."""

ROUNDING = 1e-11
"""Decades that are none: a baseline keeps twelve decimals."""


def in_short(found: Comparison) -> str:
    """Say in a line what differs: keys, verdicts, and the largest change."""
    both = [pair for pair in found.pairs if pair.change is not None]
    verdicts = sum(pair.overturned for pair in both)
    said = [f"{verdicts} of {len(both)} verdicts changed"]
    worst = max(both, key=lambda pair: abs(pair.change or 0.0), default=None)
    largest = (worst.change if worst else None) or 0.0
    if abs(largest) >= ROUNDING:
        said.append(f"the largest change is {_signed(largest)} decades")
    alone = len(found.pairs) - len(both)
    if alone:
        said.append(f"{alone} in one of the two alone")
    if found.keys is not None:
        names = ", ".join(one.key for one in found.keys[:3])
        more = f" and {len(found.keys) - 3} more" if len(found.keys) > 3 else ""
        said.append(f"other configuration: {names}{more}" if names else "the same configuration")
    return "; ".join(said)


def differences_sheets(found: Comparison) -> list[Sheet]:
    """Lay the comparison out: keys of the file, code and versions, verdicts."""
    a, b = found.a.label, found.b.label
    sheets = [
        Sheet(
            [
                label_column(title, [one.key for one in changes]),
                label_column(a, [one.a for one in changes]),
                label_column(b, [one.b for one in changes]),
            ]
        )
        for title, changes in (
            ("configuration", found.keys or ()),
            ("measured with", found.surroundings),
        )
        if changes
    ]
    return [*sheets, _verdicts(found)]


def _verdicts(found: Comparison) -> Sheet:
    a, b, pairs = found.a.label, found.b.label, found.pairs
    paths = axis_names(dict.fromkeys(path for pair in pairs for path in pair.labels))
    named = {path: [pair.labels[path] for pair in pairs] for path in paths}
    if "model.cell" in named:
        named["model.cell"] = [cell_name(cell) for cell in named["model.cell"]]
    named["length"] = [" → ".join(map(str, pair.lengths)) for pair in pairs]
    if len({pair.place for pair in pairs}) > 1:
        named["layer"] = [f"{pair.place[0]} {pair.place[1]}" for pair in pairs]
    title = f"{a} → {b} · ∂L/∂{found.state}"
    if len(set(named["length"])) == 1:
        title += f" · length {named.pop('length')[0]}"
    columns = [
        *(label_column(paths.get(name, name), cells) for name, cells in named.items()),
        number_column(f"decades\n{a}", [_decades(pair.a) for pair in pairs]),
        number_column(f"decades\n{b}", [_decades(pair.b) for pair in pairs]),
        number_column("change", [_change(pair) for pair in pairs]),
        number_column(f"per step\n{a}", [_slope(pair.a) for pair in pairs], spared=True),
        number_column(f"per step\n{b}", [_slope(pair.b) for pair in pairs], spared=True),
        number_column("apart", [_gap(pair) for pair in pairs]),
        Column("verdict", [_verdict(pair, a, b) for pair in pairs], "word"),
    ]
    notes: list[Written] = [in_short(found) + "."]
    if found.keys is None:
        notes.append("A baseline keeps golden values, no configuration: curves alone are compared.")
    notes.append(
        f"decades: log10 of ‖∂L/∂{found.state}‖ at the far end over the loss end. change: {b} over "
        f"{a}; above zero more error arrives. apart: the largest distance of the two median "
        "curves, and its lag."
    )
    return Sheet(columns, title, notes)


def differences_data(found: Comparison) -> dict[str, Any]:
    """Return the comparison as plain data."""

    def changes(some: Sequence[KeyChange]) -> list[dict[str, str]]:
        return [{"key": one.key, "a": one.a, "b": one.b} for one in some]

    return {
        "a": found.a.label,
        "b": found.b.label,
        "state": found.state,
        "configuration": None if found.keys is None else changes(found.keys),
        "measured_with": changes(found.surroundings),
        "rows": [_record(pair) for pair in found.pairs],
    }


def _record(pair: Pair) -> dict[str, Any]:
    return {
        "labels": dict(pair.labels),
        "lengths": list(pair.lengths),
        "layer": pair.place[0],
        "direction": pair.place[1],
        "change": as_data(pair.change),
        "apart": pair.gap and as_data(vars(pair.gap)),
        **{
            name: one
            and {
                "decades": as_data(one.decades),
                "slope": one.slope,
                "spread": one.spread,
                "verdict": one.verdict,
                "seeds": one.seeds,
            }
            for name, one in (("a", pair.a), ("b", pair.b))
        },
    }


def _decades(one: Summary | None) -> str:
    return "–" if one is None else decades(one.decades)


def _slope(one: Summary | None) -> str:
    if one is None or one.slope is None:
        return "–"
    return "0" if one.flat else plus_minus(one.slope, one.spread)


def _change(pair: Pair) -> Written:
    if pair.change is None:
        return "–"
    return _signed(pair.change), "bold" if abs(pair.change) >= STIRRED else "dim"


def _gap(pair: Pair) -> str:
    if pair.gap is None:
        return "–"
    apart = _signed(pair.gap.decades)
    return apart if apart == "0" else f"{apart} at lag {pair.gap.lag}"


def _verdict(pair: Pair, a: str, b: str) -> Written:
    if pair.a is None or pair.b is None:
        return f"{'–' if pair.a is pair.b else 'only in ' + (a if pair.a else b)}", "yellow"
    before, now = (one.verdict or "–" for one in (pair.a, pair.b))
    return (f"{before} → {now}", "bold red") if pair.overturned else (now, "dim")


def _signed(value: float) -> str:
    """Write a change with its sign, to a tenth or, where it is small, to its leading digits."""
    if abs(value) < ROUNDING:
        return "0"
    size = number(abs(value), 2) if abs(value) < STIRRED else decades(abs(value))
    return f"{'+' if value > 0 else '−'}{size}"
