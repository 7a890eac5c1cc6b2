"""``gradflow advise``: what to change so that error survives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradflow.cli.options import Config, Jobs, Json, Overrides
from gradflow.cli.progress import line
from gradflow.cli.screen import emit_json, read_experiment, say, show_sheet

__all__ = ["advise"]


def advise(
    config: Config,
    overrides: Overrides = None,
    jobs: Jobs = 1,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Draw before and after: .png, .svg, .pdf, or a folder."),
    ] = None,
    as_json: Json = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print the best changes alone, one a line.")
    ] = False,
) -> None:
    """Find the gain or bias that keeps the far end within one decade of the loss end."""
    from gradflow.advice.advise import advise as search
    from gradflow.advice.table import advice_data, advice_sheet
    from gradflow.experiment.workers.choice import workers

    experiment = read_experiment(config, overrides)
    with line("advise", quiet=quiet) as at:
        found = search(
            experiment,
            workers=workers(jobs),
            on_cell=lambda done, total: at(f"{done} of {total} cells"),
        )
    if as_json:
        emit_json(advice_data(found, experiment))
    elif quiet:
        for one in found:
            if one.best is not None:
                typer.echo(f"{one.cell}: {one.best.setting}")
    else:
        show_sheet(advice_sheet(found, experiment))
    if plot is not None:
        from gradflow.advice.figure import draw_advice

        for path in draw_advice(found, plot):
            say(str(path))
