"""``gradflow ls``, ``rm``, ``mv``, ``doctor`` and ``diff``: all runs, and two side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from gradflow.cli import complete
from gradflow.cli.screen import (
    Json,
    Results,
    RunName,
    emit,
    emit_json,
    grid,
    say,
    show_sheet,
    size,
    span,
)
from gradflow.errors import typed

__all__ = ["diff", "doctor", "ls", "mv", "rm"]

CELLS = 4
"""Cells of a run that a list names."""


def ls(results: Results = Path("results"), as_json: Json = False) -> None:
    """List the runs: what they are of, how much of each is stored, and what it takes."""
    from gradflow.experiment.store.runs import list_runs
    from gradflow.report.format import cell_name

    runs = list_runs(results)
    if as_json:
        emit_json([{**vars(one), "bytes": one.bytes} for one in runs])
        return
    if not runs:
        say(f"no runs in {results}; gradflow run CONFIG makes one")
        return
    grid(
        ("run", "cells", "lengths", "points", "size", "seconds", "updated (UTC)"),
        [
            (
                one.name,
                "damaged" if one.damaged else _some([*map(cell_name, one.cells)]),
                span(one.lengths),
                "" if one.damaged else f"{one.points} of {one.total}",
                size(one.bytes),
                "" if one.damaged else f"{one.seconds:.1f}",
                one.updated[:16].replace("T", " "),
            )
            for one in runs
        ],
        words=("run", "cells", "lengths", "updated (UTC)"),
    )
    for one in runs:
        if one.damaged:
            place = typed(one.path)
            say(f"{one.damaged}\n  fix: gradflow run {place}, or gradflow rm {place}")


def rm(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Names or folders.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    results: Results = Path("results"),
) -> None:
    """Remove runs: what gradflow wrote; whatever else lies in their folders stays."""
    from gradflow.experiment.store.runs import find_run
    from gradflow.experiment.store.upkeep import remove

    found = [find_run(run, results) for run in runs]
    if sys.stdin.isatty() and not yes:
        typer.confirm(f"Remove {', '.join(map(str, found))}?", abort=True, err=True)
    for path in found:
        left = remove(path)
        kept = f", but for {', '.join(left)}" if left else ""
        say(f"removed {path}{kept}")


def mv(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Its name or folder.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="What it is called from now on.", show_default=False),
    ],
    results: Results = Path("results"),
) -> None:
    """Rename a run."""
    from gradflow.experiment.store.runs import find_run
    from gradflow.experiment.store.upkeep import rename

    path = find_run(run, results)
    say(f"{path} is now {rename(path, name)}")
    if (baseline := path.parent / "baselines" / f"{path.name}.json").exists():
        say(f"its baseline keeps its name: {baseline}")


def doctor(run: RunName = None, results: Results = Path("results"), as_json: Json = False) -> None:
    """List what is damaged in a run, or in all runs and baselines: exit code 3 if anything is.

    `gradflow run FOLDER` repairs a run: it measures again what is damaged, and nothing else.
    """
    from gradflow.experiment.store.manifest import DamagedError
    from gradflow.experiment.store.runs import find_run, list_runs
    from gradflow.experiment.store.upkeep import examine
    from gradflow.gate.baseline import examine_baselines

    paths = [one.path for one in list_runs(results)] if run is None else [find_run(run, results)]
    found = [one for path in paths for one in examine(path)]
    found += examine_baselines(results) if run is None else []
    if as_json:
        emit_json([{**vars(one), "file": str(one.file)} for one in found])
    for one in () if as_json else found:
        say(str(one))
    say(f"{len(paths)} runs examined: {f'{len(found)} files are damaged' if found else 'sound'}")
    if found:
        raise typer.Exit(DamagedError.exit_code)


def _some(names: Sequence[str]) -> str:
    """Name the first few."""
    more = f", … ({len(names)})" if len(names) > CELLS else ""
    return ", ".join(names[:CELLS]) + more


Older: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="A",
        help="The older or expected one: RUN, RUN@KEY=VALUE.",
        autocompletion=complete.runs,
    ),
]


def diff(
    a: Older,
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="B",
            help="The other: RUN, RUN@KEY=VALUE, or @KEY=VALUE of the same run. "
            "Default: A itself, which is then compared with its baseline.",
            show_default=False,
            autocompletion=complete.runs,
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
