"""What a reviewer is shown of a verdict: failing curves over the expected ones, and a summary.

The summary is Markdown as a job's page renders it: a sentence, a table, and a picture in Mermaid's
words, since pages of that kind show no files.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gradflow.errors import UserError
from gradflow.gate.cases import Case
from gradflow.gate.compare import Finding, Judgement
from gradflow.gate.formats import headline
from gradflow.gate.naming import CASE_NAME, in_decades
from gradflow.gate.sides import run_of_cases
from gradflow.report.format import axis_names, cell_name, power
from gradflow.report.read.pairs import Comparison, Side, compare_runs
from gradflow.report.tables.differences import differences_sheets
from gradflow.report.tables.layout import Sheet, label_column, markdown, number_column

__all__ = ["draw_failures", "summary"]

SHOWN = 20
"""Rows of a table in a summary."""

PANELS = 6
"""Curves in a figure of what has failed."""

BARS = 12
"""Networks in the picture of what has passed."""

PLAIN = {
    "vanishing": "less error arrives",
    "exploding": "more error arrives",
    "class": "other zeros, infinities or steps",
    "missing": "in the baseline, not in the experiment",
    "new": "in the experiment, not in the baseline",
    "failed": "could not be measured",
    "invariant": "breaks an assertion",
}
"""What the kinds of findings mean to who does not know the gate."""

BLUE, ORANGE = "#0072B2", "#D55E00"
"""What everyone can tell apart: expected and measured."""

ABOUT = (
    "Training a recurrent network sends error back through time. Each curve says how much of it is "
    "left after how many steps; the committed baseline says what it was."
)


def draw_failures(verdict: Judgement, out: Path) -> list[Path]:
    """Draw what has failed over the baseline: of each network the worst curve, of one state.

    A case that is missing, new or could not be measured has no curve; where no other has failed
    nothing is drawn.

    Parameters
    ----------
    verdict : Judgement
        Of the gate.
    out : Path
        A file, or a folder for a PNG.
    """
    from gradflow.report.figures import overlay

    drawn: dict[tuple[str, str], str] = {}
    for finding in verdict.findings:
        told = CASE_NAME.fullmatch(finding.case)
        norm = told is not None and told["state"].isalpha()
        if told and norm and finding.case in verdict.expected and finding.case in verdict.measured:
            drawn.setdefault((told["cell"], told["length"] + told["axes"]), finding.case)
    names = list(drawn.values())
    states = [match["state"] for name in names if (match := CASE_NAME.fullmatch(name))]
    names = [name for name, state in zip(names, states, strict=True) if state == states[0]]
    if not names:
        return []
    old, new = (
        Side(label, run_of_cases(verdict.name, {name: cases[name] for name in names[:PANELS]}))
        for label, cases in (("baseline", verdict.expected), ("now", verdict.measured))
    )
    title = names[0] if len(names) == 1 else None
    form = None if out.suffix else ("png",)
    return overlay(old, new, state=states[0], out=out, formats=form, title=title)


def summary(verdict: Judgement, *, accept: str, figures: Sequence[Path] = ()) -> str:
    """Write a verdict for a job's page or a pull request.

    Parameters
    ----------
    verdict : Judgement
        Of the gate.
    accept : str
        The command that makes the measured values the expected ones.
    figures : sequence of Path
        Files that show the same; they are named.
    """
    mark = "✅" if verdict.passed else "❌"
    parts = [f"### {mark} Gradient flow: {headline(verdict)}\n", f"{ABOUT}\n"]
    compared = _compared(verdict)
    if verdict.findings:
        parts += [markdown(_first(_findings(verdict))), _worst(verdict)]
        parts.append(f"If this is meant, accept it with\n\n```sh\n{accept}\n```\n")
    elif compared is not None:
        parts.append(_bars(compared))
    if compared is not None:
        table = markdown(_first(differences_sheets(compared)[-1]))
        parts.append(
            f"<details><summary>All networks, then and now</summary>\n\n{table}\n</details>\n"
            if verdict.findings
            else table
        )
    if figures:
        parts.append(f"Figure: {', '.join(f'`{path.name}`' for path in figures)}\n")
    return "\n".join(filter(None, parts))


def _compared(verdict: Judgement) -> Comparison | None:
    """Hold all that was measured against the baseline, where there is one."""
    sides = [
        Side(label, run_of_cases(verdict.name, cases))
        for label, cases in (("baseline", verdict.expected), ("now", verdict.measured))
    ]
    try:
        return compare_runs(sides[0], sides[1])
    except UserError:  # no case, or no state, in common
        return None


def _findings(verdict: Judgement) -> Sheet:
    """Lay out what has failed: a row for each network, by the worst of its curves."""
    networks: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        networks.setdefault(_network(finding.case), []).append(finding)
    totals = Counter(map(_network, {*verdict.expected, *verdict.measured}))
    worst = [found[0] for found in networks.values()]

    def norm(finding: Finding, value: float | None) -> str:
        if finding.lag is None or value is None:
            return "–"
        return power(value) if in_decades(finding.case) else f"{value:.6g}"

    return Sheet(
        [
            label_column("network", [cell_name(name) for name in networks]),
            number_column(
                "curves changed",
                [f"{len(f)} of {max(totals[name], len(f))}" for name, f in networks.items()],
            ),
            label_column("worst curve", [one.case for one in worst]),
            label_column("what of it", [(PLAIN[one.kind], "bold") for one in worst]),
            number_column("steps back", ["–" if f.lag is None else str(f.lag) for f in worst]),
            number_column("left in the baseline", [norm(one, one.expected) for one in worst]),
            number_column("left now", [norm(one, one.measured) for one in worst]),
            number_column("decades", [_size(one) for one in worst]),
        ]
    )


def _network(case: str) -> str:
    """Return the part of a case's name that says which network it is of: cell and swept axes."""
    told = CASE_NAME.fullmatch(case)
    return told["cell"] + told["axes"] if told else case


def _size(finding: Finding) -> str:
    if not math.isfinite(finding.difference):
        return "–"
    return f"{finding.difference:+.3g}".replace("-", "−")


def _first(sheet: Sheet) -> Sheet:
    """Keep the first rows of a table, and say how many there are."""
    rows = len(sheet.columns[0].cells)
    if rows <= SHOWN:
        return sheet
    columns = [replace(column, cells=column.cells[:SHOWN]) for column in sheet.columns]
    return replace(sheet, columns=columns, notes=[f"{SHOWN} of {rows} rows.", *sheet.notes])


def _worst(verdict: Judgement) -> str:
    """Draw the worst curve then and now, in Mermaid's words; empty where there is none."""
    name = verdict.findings[0].case
    if name not in verdict.expected or name not in verdict.measured:
        return ""
    return _lines(name, verdict.expected[name], verdict.measured[name])


def _lines(name: str, before: Case, now: Case) -> str:
    old, new = (dict(zip(case.lags, case.values, strict=True)) for case in (before, now))
    lags = [k for k in old if math.isfinite(old[k]) and math.isfinite(new.get(k, math.nan))]
    if len(lags) < 2:
        return ""
    ends = _ends([old[k] for k in lags] + [new[k] for k in lags])
    return _chart(
        "",
        [
            f'title "{_quoted(name)}"',
            f'x-axis "steps back from the loss" {lags}',
            f'y-axis "error left, in powers of ten" {ends}',
            f"line {[round(old[k], 3) for k in lags]}",
            f"line {[round(new[k], 3) for k in lags]}",
        ],
        "Blue: the baseline. Orange: now.",
    )


def _bars(compared: Comparison) -> str:
    """Draw how much error is left at the far end of each network."""
    names = axis_names(path for pair in compared.pairs for path in pair.labels)
    found: dict[str, float] = {}
    for pair in compared.pairs:
        words = [
            cell_name(value) if path == "model.cell" else f"{names[path]} {value}"
            for path, value in pair.labels.items()
        ]
        name = ", ".join(words) or "the network"
        if pair.b is not None and math.isfinite(pair.b.decades):
            found[name] = pair.b.decades  # of a stack the last: its top layer
    found = dict(list(found.items())[:BARS])
    if not found:
        return ""
    return _chart(
        " horizontal",
        [
            'title "Error left at the far end, in powers of ten (0: all of it)"',
            "x-axis [" + ", ".join(f'"{_quoted(name)}"' for name in found) + "]",
            f"y-axis {_ends([0.0, *found.values()])}",
            f"bar {[round(value, 2) for value in found.values()]}",
        ],
        "",
    )


def _ends(values: Sequence[float]) -> str:
    """Write the whole numbers between which all values lie, as the ends of an axis."""
    low, high = math.floor(min(values)), math.ceil(max(values))
    return f"{low} --> {max(high, low + 1)}"


def _chart(kind: str, lines: Sequence[str], legend: str) -> str:
    colours = f'{{"xyChart": {{"plotColorPalette": "{BLUE}, {ORANGE}"}}}}'
    init = f'%%{{init: {{"theme": "base", "themeVariables": {colours}}}}}%%'
    body = "\n".join(f"  {line}" for line in lines)
    return f"```mermaid\n{init}\nxychart-beta{kind}\n{body}\n```\n" + (
        f"\n{legend}\n" if legend else ""
    )


def _quoted(text: str) -> str:
    """Make a text safe inside Mermaid's quotes, and on its line."""
    return " ".join(text.replace('"', "'").replace("`", "'").split())
