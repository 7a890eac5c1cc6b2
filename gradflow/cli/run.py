"""``gradflow run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradflow.cli.guard import tracing
from gradflow.cli.screen import (
    Config,
    Jobs,
    Json,
    Overrides,
    Quiet,
    Results,
    bar,
    emit_json,
    grid,
    read_experiment,
    say,
    show_sheet,
    size,
    span,
)
from gradflow.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradflow.experiment.run import Finished, Preview
    from gradflow.experiment.workers.executor import Failure

__all__ = ["run", "say_failures"]

SHOWN = 5
"""How many failures are printed in full."""


def run(
    config: Config,
    overrides: Overrides = None,
    jobs: Jobs = 1,
    results: Results = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure stored points again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; do nothing.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first point that fails.")
    ] = False,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory of one process, e.g. 2GiB.")
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Do part I of N; all parts share one folder.")
    ] = "1/1",
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on this Dask scheduler.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run what is not there yet and show a table of verdicts."""
    from gradflow.experiment import run as running
    from gradflow.experiment.measure.measurement import measure
    from gradflow.experiment.store.manifest import UNFINISHED
    from gradflow.experiment.workers.pool import workers

    changes = [*(overrides or ()), *([f"memory={memory}"] if memory else ())]
    if config.is_dir():
        from gradflow.experiment.store.doctor import mend_config

        changes, results = _stored(config, changes, results)
        if not dry_run and mend_config(config):
            say(
                f"{config / 'config.yaml'} was not what a run wrote; it is again, from "
                "manifest.json\n  fix: to change a run, say key=value, or edit a copy of the file"
            )
    experiment = read_experiment(config, changes, quiet=quiet)
    part = running.Shard.parse(shard)
    if dry_run:
        _show_plan(running.preview(experiment, out=results, fresh=fresh, shard=part), as_json)
        return
    executor = workers(jobs, dask)(measure)
    unfinished = results / experiment.name / UNFINISHED
    with bar(experiment.name, quiet=quiet, learning=unfinished) as on_progress:
        finished = running.run(
            experiment,
            out=results,
            executor=executor,
            fresh=fresh,
            fail_fast=fail_fast,
            shard=part,
            on_progress=on_progress,
        )
    _show(finished, as_json, quiet)
    if finished.failures:
        say_failures(finished.failures)
        raise typer.Exit(max(failure.exit_code for failure in finished.failures))


def _stored(folder: Path, changes: list[str], results: Path) -> tuple[list[str], Path]:
    """Go on with a stored run where it lies, under the name that its folder has now."""
    place = folder.resolve()
    if results not in (Path("results"), folder.parent) and results.resolve() != place.parent:
        raise UserError(
            f"{folder} lies in {folder.parent}, --results says {results}\n"
            f"  fix: gradflow run {folder / 'config.yaml'} --results {results} measures it there"
        )
    return [f'name="{place.name}"', *changes], folder.parent


def say_failures(failures: Sequence[Failure]) -> None:
    """Say which points failed, and why."""
    say(f"gradflow: {len(failures)} points failed")
    for failure in failures[:SHOWN]:
        axes = ", ".join(f"{key}={value}" for key, value in failure.point.axes.items())
        say(f"  {axes or 'the only point'}: {failure.reason}")
        if tracing() and failure.traceback:
            say(failure.traceback.rstrip())
    if len(failures) > SHOWN:
        say(f"  … and {len(failures) - SHOWN} more")


def _show(finished: Finished, as_json: bool, quiet: bool) -> None:
    from gradflow.report.read.keys import news
    from gradflow.report.read.rows import rows
    from gradflow.report.tables.closing import closing_sheet, rows_data

    if quiet and not as_json:
        return
    stored = finished.run
    found = rows(stored) if stored.points else []
    for text in news(finished):
        say(text)
    if as_json:
        failures = [
            {"axes": dict(failure.point.axes), "hash": failure.point.hash, "reason": failure.reason}
            for failure in finished.failures
        ]
        emit_json(
            {
                "name": stored.name,
                "path": str(stored.path),
                "computed": finished.computed,
                "reused": finished.reused,
                "missing": len(stored.missing),
                "seconds": round(finished.seconds, 3),
                "changed": finished.changed,
                "failures": failures,
                "rows": rows_data(found),
            }
        )
        return
    if found:
        from gradflow.report.read.lessons import lessons
        from gradflow.report.tables.beside import lesson_lines

        show_sheet(closing_sheet(found, stored.name))
        if stored.recorded("gates") or stored.recorded("theory"):
            from gradflow.report.read.explain import explain
            from gradflow.report.tables.beside import sentences

            show_sheet(sentences(explain(stored)))
        if taught := lessons(stored):
            show_sheet(lesson_lines(taught))
    missing = f", {len(stored.missing)} missing" if stored.missing else ""
    say(
        f"{stored.path}: {finished.computed} points measured in {finished.seconds:.1f} s,"
        f" {finished.reused} there already{missing}"
    )


def _show_plan(preview: Preview, as_json: bool) -> None:
    todo = preview.bundles
    if as_json:
        bundles = [
            {
                "cell": planned.bundle.points[0].config.model.cell_label,
                "lengths": planned.bundle.lengths,
                "seeds": planned.bundle.seeds,
                "points": [point.hash for point in planned.bundle.points],
                "seconds": planned.seconds,
                "bytes": planned.bytes,
                "problem": planned.problem,
            }
            for planned in todo
        ]
        emit_json(
            {
                "name": preview.name,
                "points": preview.points,
                "stored": preview.stored,
                "bundles": bundles,
            }
        )
        return
    grid(
        ("cell", "lengths", "seeds", "points", "seconds", "memory"),
        [
            (
                planned.bundle.points[0].config.model.cell_label,
                span(planned.bundle.lengths),
                span(planned.bundle.seeds),
                str(len(planned.bundle.points)),
                f"{planned.seconds:.1f}",
                "too much" if planned.problem else size(planned.bytes),
            )
            for planned in todo
        ],
        words=("cell", "lengths", "seeds"),
    )
    seconds = sum(planned.seconds for planned in todo)
    peak = max((planned.bytes for planned in todo), default=0)
    say(
        f"{preview.name}: {preview.points} points, {preview.stored} there already;"
        f" {len(todo)} bundles to run, about {seconds:.0f} s on one core,"
        f" at most {size(peak)} in each process"
    )
    for problem in dict.fromkeys(planned.problem for planned in todo if planned.problem):
        say(f"gradflow: {problem}")
