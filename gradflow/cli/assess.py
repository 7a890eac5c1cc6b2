"""``gradflow advise``, ``verify`` and ``cost``: what is found out without keeping a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradflow.cli.screen import (
    Config,
    Jobs,
    Json,
    Overrides,
    Quiet,
    emit_json,
    foresee,
    line,
    read_experiment,
    say,
    show_sheet,
)

__all__ = ["advise", "cost", "verify"]


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
    from gradflow.advice.show import advice_data, advice_sheet
    from gradflow.experiment.workers.pool import workers

    foresee(plot)
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
        from gradflow.advice.show import draw_advice

        for path in draw_advice(found, plot):
            say(str(path))


REFUTED = 1


def verify(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="CELL", help="Kinds of cells; default: all that are known."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hold cells to the complex step, RTRL, closed forms and published vectors.

    Every variant of a kind is tried. Exit code 1 if one fails.
    """
    from gradflow.report.tables.networks import trust_data, trust_sheet
    from gradflow.testing.trust import known, trust

    rows = []
    with line("verify", quiet=quiet) as at:
        for kind in known(kinds or ()):
            at(kind)
            for row in trust(kind):
                rows.append(row)
                at(f"{row.cell}, {len(rows)} done")
    right = all(row.passed for row in rows)
    if as_json:
        emit_json(trust_data(rows))
    elif not (quiet and right):
        show_sheet(trust_sheet(rows))
    if not right:
        raise typer.Exit(REFUTED)


def cost(config: Config, overrides: Overrides = None, as_json: Json = False) -> None:
    """Count and time a step of every network of an experiment."""
    import threadpoolctl

    from gradflow.experiment.config import load_config
    from gradflow.experiment.measure.duration import prices
    from gradflow.report.tables.networks import costs_data, costs_sheet

    with threadpoolctl.threadpool_limits(1):
        found = prices(load_config(config, overrides or ()))
    if as_json:
        emit_json(costs_data(found))
    else:
        show_sheet(costs_sheet(found))
