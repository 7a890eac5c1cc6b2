"""``gradflow run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    read_unchanged,
    say,
    show_sheet,
    size,
    span,
)
from gradflow.errors import UserError, typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gradflow.experiment.config import Experiment
    from gradflow.experiment.preview import Preview
    from gradflow.experiment.run import Finished
    from gradflow.experiment.store.runs import Run
    from gradflow.experiment.workers.executor import Failure

__all__ = ["run", "say_failures"]

WHOLE = "1/1"
"""The part of a sweep that is all of it."""

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
    ] = WHOLE,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on this Dask scheduler.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run what is not there yet and show a table of verdicts."""
    changes = [*(overrides or ()), *([f"memory={memory}"] if memory else ())]
    if config.is_dir():
        from gradflow.experiment.store.upkeep import mend_config

        changes, results = _stored(config, changes, results)
        if not dry_run and mend_config(config):
            say(
                f"{config / 'config.yaml'} was not what a run wrote; it is again, from "
                "manifest.json\n  fix: to change a run, say key=value, or edit a copy of the file"
            )
    if not (fresh or dry_run or dask) and shard == WHOLE:
        found = read_unchanged(config, changes, results, quiet=quiet)
        if found:
            told = {"computed": 0, "reused": len(found.run.points), "missing": 0, "seconds": 0.0}
            _show(found.run, told | {"changed": (), "failures": []}, as_json, quiet)
            return
    from gradflow.experiment.preview import preview
    from gradflow.experiment.run import Shard

    experiment = read_experiment(config, changes, quiet=quiet)
    options: dict[str, Any] = {"fresh": fresh, "shard": Shard.parse(shard)}
    if dry_run:
        _show_plan(preview(experiment, out=results, **options), as_json)
        return
    finished = _measured(experiment, results, jobs, dask, quiet, options | {"fail_fast": fail_fast})
    _show_finished(finished, as_json, quiet)
    if finished.failures:
        say_failures(finished.failures)
        raise typer.Exit(max(failure.exit_code for failure in finished.failures))


def _measured(
    experiment: Experiment,
    results: Path,
    jobs: int,
    dask: str | None,
    quiet: bool,
    options: Mapping[str, Any],
) -> Finished:
    """Run an experiment, with a bar while it runs."""
    from gradflow.experiment import run as running
    from gradflow.experiment.measure.measurement import measure
    from gradflow.experiment.store.manifest import UNFINISHED
    from gradflow.experiment.workers.pool import workers

    executor = workers(jobs, dask)(measure)
    unfinished = results / experiment.name / UNFINISHED
    with bar(experiment.name, quiet=quiet, learning=unfinished) as on_progress:
        return running.run(
            experiment, out=results, executor=executor, on_progress=on_progress, **options
        )


def _stored(folder: Path, changes: list[str], results: Path) -> tuple[list[str], Path]:
    """Go on with a stored run where it lies, under the name that its folder has now."""
    place = folder.resolve()
    if results not in (Path("results"), folder.parent) and results.resolve() != place.parent:
        raise UserError(
            f"{folder} lies in {folder.parent}, --results says {results}\n"
            f"  fix: gradflow run {typed(folder / 'config.yaml')} --results {typed(results)} "
            "measures it there"
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


def _show_finished(finished: Finished, as_json: bool, quiet: bool) -> None:
    """Show what a run did, and what is not as it was when it ran last."""
    from gradflow.report.read.keys import news

    for text in news(finished) if as_json or not quiet else ():
        say(text)
    told = {
        "computed": finished.computed,
        "reused": finished.reused,
        "missing": len(finished.run.missing),
        "seconds": round(finished.seconds, 3),
        "changed": finished.changed,
        "failures": [
            {"axes": dict(failure.point.axes), "hash": failure.point.hash, "reason": failure.reason}
            for failure in finished.failures
        ],
    }
    _show(finished.run, told, as_json, quiet)


def _show(stored: Run, told: Mapping[str, Any], as_json: bool, quiet: bool) -> None:
    from gradflow.report.read.rows import rows
    from gradflow.report.tables.closing import closing_sheet, rows_data

    if quiet and not as_json:
        return
    found = rows(stored) if stored.points else []
    if as_json:
        place = {"name": stored.name, "path": str(stored.path)}
        emit_json({**place, **told, "rows": rows_data(found)})
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
    missing = f", {told['missing']} missing" if told["missing"] else ""
    say(
        f"{stored.path}: {told['computed']} points measured in {told['seconds']:.1f} s,"
        f" {told['reused']} there already{missing}"
    )


def _show_plan(preview: Preview, as_json: bool) -> None:
    from gradflow.report.format import cell_name

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
                cell_name(planned.bundle.points[0].config.model.cell_label),
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
