"""``gradflow baseline`` and ``check``: the regression gate."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradflow.cli.guard import tracing
from gradflow.cli.screen import (
    Config,
    Jobs,
    Overrides,
    Quiet,
    Results,
    Words,
    bar,
    emit,
    files_and_changes,
    foresee,
    read_experiment,
    read_unchanged,
    say,
)
from gradflow.errors import NoBaselineError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradflow.experiment.config import Experiment
    from gradflow.gate.compare import Judgement
    from gradflow.gate.formats import Format

__all__ = ["baseline", "check"]


def baseline(
    config: Config,
    overrides: Overrides = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    force: Annotated[
        bool, typer.Option("--force", help="Write it in CI, and over another experiment's.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write the values that `check` expects from now on, and print what changed."""
    _refuse_in_ci(force)
    _accept(read_experiment(config, overrides), results, jobs, (), quiet, force)


def check(
    config: Config,
    words: Words = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    form: Annotated[
        str, typer.Option("--format", metavar="text|json|junit|github", help="Form of the verdict.")
    ] = "text",
    patterns: Annotated[
        list[str] | None,
        typer.Option(
            "-k", metavar="PATTERN", help="Judge these cases alone: a part of their names, * any."
        ),
    ] = None,
    cases: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="CASE", help="Write this case alone into the baseline."),
    ] = None,
    assert_only: Annotated[
        bool, typer.Option("--assert-only", help="Judge the assertions alone, without a baseline.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Draw what fails over the baseline.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append a table and a picture in Markdown, for a page."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare with the baseline and the assertions: exit code 1 if a case fails."""
    from gradflow.gate.formats import FORMATS
    from gradflow.report.format import one_of

    kind = one_of("format", form, FORMATS)
    foresee(plot, summary)
    files, overrides = files_and_changes(config, words)
    if len(files) > 1 and (cases or plot or kind in ("json", "junit")):
        raise UserError(
            "--accept, --plot, --format json and --format junit are about one experiment file\n"
            f"  fix: one after the other, {files[0]} first"
        )
    if cases:
        _refuse_in_ci()
        _accept(read_experiment(config, overrides), results, jobs, cases, quiet)
        return
    options = {"assert_only": assert_only, "patterns": patterns or ()}

    each = [
        _answer(file, overrides, results, jobs, kind, quiet, options, (plot, summary))
        for file in files
    ]
    if worst := max(each, key=(0, 4, 1, 3).index):
        raise typer.Exit(worst)


def _answer(
    file: Path,
    overrides: Sequence[str],
    results: Path,
    jobs: int,
    kind: Format,
    quiet: bool,
    options: dict[str, Any],
    evidence: tuple[Path | None, Path | None],
) -> int:
    """Judge one file, say what is to be said of it, and return the exit code."""
    from gradflow.gate.formats import write_verdict

    words = [str(file), *overrides]
    words += [] if results == Path("results") else ["--results", str(results)]
    accept = shlex.join(["gradflow", "baseline", *words])
    verdict = _judge(file, overrides, results, jobs, accept, quiet, options)
    if verdict.expected and not verdict.compared:
        accept += " --force"  # without it, the baseline of another experiment stays
    if not quiet or kind != "text" or verdict.exit_code:
        case = shlex.join(["gradflow", "check", *words, "--accept"])
        emit(write_verdict(verdict, kind, config=str(file), accept=accept, accept_case=case))
    _show_evidence(verdict, accept, *evidence)
    _tell_why(verdict, **options)
    return verdict.exit_code


def _tell_why(verdict: Judgement, patterns: Sequence[str], assert_only: bool) -> None:
    """Say what a verdict does not: what was not found, what is new, where a point has failed."""
    if verdict.exit_code == 4 and patterns:
        say(f"no case has {' or '.join(map(repr, patterns))} in its name")
    elif verdict.exit_code == 4 and assert_only:
        say("the experiment asserts nothing\n  fix: write facts under check.assert in its file")
    for text in verdict.news:
        say(text)
    for failure in verdict.errors:
        if tracing():
            say(failure.traceback.rstrip())


def _judge(
    config: Path,
    overrides: Sequence[str] | None,
    results: Path,
    jobs: int,
    accept: str,
    quiet: bool,
    options: dict[str, Any],
) -> Judgement:
    """Run what is missing and compare; say how to make a baseline where there is none."""
    from gradflow.gate.judging import judge_unchanged

    found = read_unchanged(config, overrides, results, quiet=True)
    if found and (verdict := judge_unchanged(found, results, **options)):
        for note in found.asked.notes:
            say(note)
        return verdict
    experiment = read_experiment(config, overrides)
    from gradflow.experiment.workers.pool import workers
    from gradflow.gate import check as gate

    try:
        with bar(experiment.name, quiet=quiet) as on_progress:
            return gate.check(
                experiment,
                out=results,
                workers=workers(jobs),
                on_progress=on_progress,
                **options,
            )
    except NoBaselineError as error:
        only = (
            "; --assert-only judges its assertions without one" if experiment.check.asserts else ""
        )
        raise NoBaselineError(
            f"{error}\n  fix: {accept} writes it, then commit it{only}"
        ) from error


def _accept(
    experiment: Experiment,
    results: Path,
    jobs: int,
    cases: Sequence[str],
    quiet: bool,
    force: bool = False,
) -> None:
    """Write the baseline, or some of its cases, and print what that accepts."""
    from gradflow.experiment.workers.pool import workers
    from gradflow.gate.check import make_baseline
    from gradflow.gate.formats import accepted

    with bar(experiment.name, quiet=quiet) as on_progress:
        path, change = make_baseline(
            experiment,
            out=results,
            names=cases,
            replace_all=force,
            workers=workers(jobs),
            on_progress=on_progress,
        )
    if not quiet:
        emit(accepted(path, change))
    for text in change.news:
        say(text)


def _show_evidence(
    verdict: Judgement, accept: str, plot: Path | None, summary: Path | None
) -> None:
    """Draw what fails, and write the summary, where that was asked for."""
    if plot is None and summary is None:
        return
    from gradflow.gate import evidence

    figures = evidence.draw_failures(verdict, plot) if plot is not None else []
    for path in figures:
        say(str(path))
    if summary is not None:
        with summary.open("a", encoding="utf-8") as stream:
            stream.write(evidence.summary(verdict, accept=accept, figures=figures))


def _refuse_in_ci(force: bool = False) -> None:
    if os.environ.get("CI", "").lower() in ("true", "1") and not force:
        raise UserError(
            "a baseline that CI writes accepts every change (CI is set)\n"
            "  fix: write it where you work and commit it, or say baseline --force"
        )
