"""``gradflow baseline`` and ``check``: the regression gate."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from gradflow.cli.guard import tracing
from gradflow.cli.screen import (
    Config,
    Jobs,
    Overrides,
    Quiet,
    Results,
    bar,
    emit,
    read_experiment,
    say,
    say_changes,
)
from gradflow.errors import NoBaselineError, UserError

__all__ = ["baseline", "check"]


def baseline(
    config: Config,
    overrides: Overrides = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Write it in CI, too.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write the values that `check` expects from now on, and print what changed."""
    _refuse_in_ci(force)
    from gradflow.experiment.workers.pool import workers
    from gradflow.gate.check import make_baseline
    from gradflow.gate.formats import accepted

    experiment = read_experiment(config, overrides)
    with bar(experiment.name, quiet=quiet) as on_progress:
        path, change = make_baseline(
            experiment, out=results, workers=workers(jobs), on_progress=on_progress
        )
    if not quiet:
        emit(accepted(path, change))


def check(
    config: Config,
    overrides: Overrides = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    format: Annotated[
        str, typer.Option("--format", metavar="text|json|junit|github", help="Form of the verdict.")
    ] = "text",
    patterns: Annotated[
        list[str] | None,
        typer.Option(
            "-k", metavar="PATTERN", help="Judge these cases alone: a part of their names, * any."
        ),
    ] = None,
    accept_cases: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="CASE", help="Write this case alone into the baseline."),
    ] = None,
    assert_only: Annotated[
        bool, typer.Option("--assert-only", help="Judge the assertions alone, without a baseline.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compare with the baseline and the assertions: exit code 1 if a case fails."""
    from gradflow.experiment.workers.pool import workers
    from gradflow.gate import check as gate
    from gradflow.gate.formats import FORMATS, accepted, write
    from gradflow.report.format import one_of

    form = one_of("format", format, FORMATS)
    words = [str(config), *(overrides or ())]
    words += [] if results == Path("results") else ["--results", str(results)]
    accept = shlex.join(["gradflow", "baseline", *words])
    experiment = read_experiment(config, overrides)
    if accept_cases:
        _refuse_in_ci()
        with bar(experiment.name, quiet=quiet) as on_progress:
            path, change = gate.make_baseline(
                experiment,
                out=results,
                names=accept_cases,
                workers=workers(jobs),
                on_progress=on_progress,
            )
        emit("" if quiet else accepted(path, change))
        return
    try:
        with bar(experiment.name, quiet=quiet) as on_progress:
            verdict = gate.check(
                experiment,
                out=results,
                assert_only=assert_only,
                patterns=patterns or (),
                workers=workers(jobs),
                on_progress=on_progress,
            )
    except NoBaselineError as error:
        only = (
            "; --assert-only judges its assertions without one" if experiment.check.asserts else ""
        )
        raise NoBaselineError(
            f"{error}\n  fix: {accept} writes it, then commit it{only}"
        ) from error
    if not quiet or form != "text" or verdict.exit_code:
        case = shlex.join(["gradflow", "check", *words, "--accept"])
        emit(write(verdict, form, config=str(config), accept=accept, accept_case=case))
    if verdict.exit_code == 4 and patterns:
        say(f"no case has {' or '.join(map(repr, patterns))} in its name")
    say_changes(verdict.changed)
    for failure in verdict.errors:
        if tracing():
            say(failure.traceback.rstrip())
    if verdict.exit_code:
        raise typer.Exit(verdict.exit_code)


def _refuse_in_ci(force: bool = False) -> None:
    if os.environ.get("CI", "").lower() in ("true", "1") and not force:
        raise UserError(
            "a baseline that CI writes accepts every change (CI is set)\n"
            "  fix: write it where you work and commit it, or say baseline --force"
        )
