"""``gradflow diff``: two runs, or a run and its baseline, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradflow.cli.screen import Results, emit, emit_json, say, show_sheet

__all__ = ["diff"]


def diff(
    a: Annotated[
        str, typer.Argument(metavar="A", help="The older or expected one: RUN, RUN@KEY=VALUE.")
    ],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="[B]",
            help="The other: RUN, RUN@KEY=VALUE, or @KEY=VALUE of the same run. "
            "Default: A itself, which is then compared with its baseline.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[str | None, typer.Option(help="Which norm: h, c, s, x.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every length, not the greatest alone.")] = (
        False
    ),
    form: Annotated[
        str, typer.Option("--format", metavar="text|md|json", help="md is for a pull request.")
    ] = "text",
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Draw the curves of both: .png, .svg, .pdf, or a folder."
        ),
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Show what differs between two runs: the configuration, then the verdicts side by side.

    A and B are runs by name or folder, or baselines (results/baselines/NAME.json). A part of a run
    is chosen as by --where, so that one run can be held against itself:

      gradflow diff before after

      gradflow diff quickstart@cell=lstm @cell=gru

      gradflow diff regression          the run against its baseline
    """
    from gradflow.gate.sides import read_sides
    from gradflow.report.format import one_of
    from gradflow.report.read.pairs import compare_runs
    from gradflow.report.tables.differences import differences_data, differences_sheets
    from gradflow.report.tables.layout import markdown

    one_of("format", form, ("text", "md", "json"))
    first, second = read_sides(a, b, results)
    found = compare_runs(first, second, state, every=every)
    if form == "json":
        emit_json(differences_data(found))
    elif form == "md":
        emit("\n".join(map(markdown, differences_sheets(found))))
    else:
        for sheet in differences_sheets(found):
            show_sheet(sheet)
    if plot is not None:
        from gradflow.report.figures import overlay

        for path in overlay(first, second, state=found.state, out=plot):
            say(str(path))
