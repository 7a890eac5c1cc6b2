"""The closing table of a run, and the same rows for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gradflow.report.format import axis_names, decades, lag, number, plain, plus_minus, setting
from gradflow.report.read.horizons import LIMITS, Horizon
from gradflow.report.read.rates import Summary
from gradflow.report.read.rows import Row

__all__ = ["as_json", "note", "print_table", "records", "table"]

_STYLES = {"vanishes": "yellow", "steady": "green", "explodes": "red"}
_TEXT = ("cell", "method", "dtype", "memory")
_ARROWS = {"forward": "→", "backward": "←", "both": "↔"}


def table(
    rows: Sequence[Row],
    title: str = "",
    *,
    narrow: bool = False,
    without: Sequence[str] = (),
    ascii_only: bool = False,
) -> Table:
    """Lay the rows out: cell, swept axes, length, then the numbers of `gradflow.report.read.rates`.

    What all rows share stands in the title (cell, length) or nowhere (layer and direction, where
    there is one). Names stand as they are: nothing in them is taken for markup.

    Parameters
    ----------
    rows : sequence of Row
        From `gradflow.report.read.rows.rows`.
    title : str
        A line above.
    narrow : bool
        Let the labels of cells break inside their options.
    without : sequence of str
        Columns to leave out.
    ascii_only : bool
        Write in ASCII.
    """
    write = plain if ascii_only else str
    columns = {name: made for name, made in _columns(rows, narrow).items() if name not in without}
    shared: dict[str, set[Any]] = {"length": {row.length for row in rows}}
    if len(rows) > 1:
        shared = {"cell": {row.cell for row in rows}, **shared}
    for name, values in shared.items():
        if len(values) == 1:
            alone = columns.pop(name)[0]
            alone = alone if name == "cell" else f"length {alone}"
            title = " · ".join(filter(None, [title, alone]))
    made = Table(
        title=Text(write(title), style="bold") if title else None,
        title_justify="left",
        box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for name in columns:
        text = name in _TEXT or "." in name
        header = axis_names(columns)[name] if "." in name else name
        whole = [header, *columns[name]]
        made.add_column(
            Text(write(header)),
            justify="left" if text or name == "verdict" else "right",
            no_wrap=not text,
            overflow="fold",
            min_width=max(map(len, " ".join(whole).split() if text else whole)),
        )
    for i, row in enumerate(rows):
        *cells, verdict = (write(cells[i]) for cells in columns.values())
        made.add_row(*map(Text, cells), Text(verdict, style=_STYLES[row.summary.verdict]))
    return made


def print_table(rows: Sequence[Row], console: Console | None = None, *, title: str = "") -> None:
    """Print the table and a note on its columns, as the terminal's width and encoding allow.

    Where the width does not do, labels break, then the half-life and the horizons are left out,
    the widest format first: the verdict always fits.
    """
    console = console or Console()
    unbounded = console.options.update(width=10_000)
    ascii_only = not console.encoding.lower().startswith("utf")
    optional = ("half-life", *reversed(list(LIMITS)))
    for without in (optional[:n] for n in range(len(optional) + 1)):
        for narrow in (False, True):
            made = table(rows, title, narrow=narrow, without=without, ascii_only=ascii_only)
            if Measurement.get(console, unbounded, made).minimum <= console.width:
                break
        else:
            continue
        break
    console.print(made)
    text = note(rows) + (f" Left out here: {', '.join(without)}." if without else "")
    console.print(Text(plain(text) if ascii_only else text, style="dim"))


def note(rows: Sequence[Row]) -> str:
    """Explain the columns of the table in a few lines."""
    seeds = max((row.summary.seeds for row in rows), default=1)
    spread = f" ± half the 10–90 % range of {seeds} seeds" if seeds > 1 else ""
    state = rows[0].summary.state if rows else "s"
    return (
        f"decades: log10 of ‖∂L/∂{state}‖ at the far end over the loss end. per step: its slope, "
        f"the median{spread}. half-life in steps (×2: doubles). float16, 32, 64: the lag at which "
        "the norm reads 0 there (∞: overflows), ~ continued with the slope. steady: within one "
        "decade."
    )


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as plain data; what is infinite is the text ``"inf"`` or ``"-inf"``."""
    return [_record(row) for row in rows]


def as_json(rows: Sequence[Row]) -> str:
    """Write the rows as a JSON list; strict JSON, without NaN or Infinity."""
    return json.dumps(records(rows), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _columns(rows: Sequence[Row], narrow: bool) -> dict[str, list[str]]:
    """Write every column's cells, by header (a swept axis by its dotted path)."""
    paths = dict.fromkeys(path for row in rows for path in row.axes)
    ones = [row.summary for row in rows]
    columns = {"cell": [_cell(row.cell, narrow) for row in rows]}
    for path in paths:
        columns[path] = [setting(row.axes[path]) if path in row.axes else "" for row in rows]
    columns["length"] = [str(row.length) for row in rows]
    if len({(one.layer, one.direction) for one in ones}) > 1:
        one_way = len({one.direction for one in ones}) == 1
        arrows = {way: "" if one_way else f" {arrow}" for way, arrow in _ARROWS.items()}
        columns["layer"] = [f"{one.layer}{arrows[one.direction]}" for one in ones]
    columns["decades"] = [decades(one.decades) for one in ones]
    columns["per step"] = [_slope(one) for one in ones]
    columns["half-life"] = [_half_life(one) for one in ones]
    for name in LIMITS:
        columns[name] = [_horizon(one.horizons[name]) for one in ones]
    columns["verdict"] = [_verdict(one) for one in ones]
    return columns


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
    some = f" {summary.agree}/{summary.seeds}" if summary.agree < summary.seeds else ""
    return summary.verdict + some


def _cell(label: str, narrow: bool) -> str:
    """Let a long label break before its options, after their commas and, if need be, inside."""
    label = label.replace("(", " (", 1).replace(", ", ",").replace(",", ", ")
    return label.replace("=", "= ") if narrow else label


def _record(row: Row) -> dict[str, Any]:
    one = row.summary
    return {
        "cell": row.cell,
        "length": row.length,
        "axes": _data(row.axes),
        "state": one.state,
        "layer": one.layer,
        "direction": one.direction,
        "seeds": one.seeds,
        "sequences": one.sequences,
        "lags": one.lags,
        "decades": _data(one.decades),
        "slope": one.slope,
        "spread": one.spread,
        "half_life": _data(one.half_life),
        "horizons": {name: _data(_horizon_record(h)) for name, h in one.horizons.items()},
        "verdict": one.verdict,
        "agree": one.agree,
    }


def _horizon_record(horizon: Horizon | None) -> dict[str, Any] | None:
    if horizon is None:
        return None
    return {"lag": horizon.lag, "reads": horizon.reads, "extrapolated": horizon.extrapolated}


def _data(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {str(key): _data(item) for key, item in value.items()}
    return value
