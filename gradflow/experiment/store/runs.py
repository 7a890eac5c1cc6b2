"""Stored runs: found by name, read point by point, every file verified."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradflow.core.quantity import Result
from gradflow.errors import UserError
from gradflow.experiment.config import Experiment, load_config
from gradflow.experiment.measure.plan import Point, plan
from gradflow.experiment.store.folder import DamagedError, read_manifest, read_point

__all__ = [
    "RESULTS",
    "DamagedError",
    "Run",
    "Summary",
    "assemble",
    "latest",
    "list_runs",
    "open_run",
]

RESULTS = Path("results")
"""Where runs are kept unless told otherwise."""


@dataclass(frozen=True)
class Run:
    """One stored run.

    Parameters
    ----------
    name : str
        The experiment's name, which is the folder's.
    path : Path
        The folder.
    experiment : Experiment
        What was run, as ``config.yaml`` resolves it.
    points : tuple of Point
        The points that are stored, in the plan's order.
    manifest : mapping
        Provenance, and a file with its checksum for every point.
    missing : tuple of Point
        The points of the plan that are not stored: not reached yet, or failed.
    """

    name: str
    path: Path
    experiment: Experiment
    points: tuple[Point, ...]
    manifest: Mapping[str, Any]
    missing: tuple[Point, ...] = ()

    def result(self, point: Point) -> Result:
        """Load what was measured at `point`, its checksum verified at every call."""
        return read_point(self.path, self.manifest, point)


@dataclass(frozen=True)
class Summary:
    """One line of a list of runs; `updated` is ISO time, `seconds` what its points took."""

    name: str
    path: Path
    points: int
    seconds: float
    updated: str
    damaged: bool = False


def open_run(run: str | Path, out: Path = RESULTS) -> Run:
    """Open a run by its folder, or by its name inside `out`.

    Raises
    ------
    UserError
        If there is no such run.
    DamagedError
        If its manifest cannot be read.
    """
    path = next((p for p in (Path(run), out / run) if (p / "config.yaml").is_file()), None)
    if path is None:
        names = [summary.name for summary in list_runs(out)]
        near = difflib.get_close_matches(str(run), names, n=1)
        known = f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none yet'}"
        raise UserError(f"there is no run {str(run)!r} in {out}; {known}")
    return assemble(path, load_config(path / "config.yaml"))


def assemble(path: Path, experiment: Experiment) -> Run:
    """Return the run of `experiment` that is kept in folder `path`."""
    manifest = read_manifest(path)
    stored = manifest.get("points", {})
    points = plan(experiment)
    return Run(
        name=experiment.name,
        path=path,
        experiment=experiment,
        points=tuple(point for point in points if point.hash in stored),
        manifest=manifest,
        missing=tuple(point for point in points if point.hash not in stored),
    )


def latest(out: Path = RESULTS) -> Run:
    """Open the run of `out` that was written last.

    Raises
    ------
    UserError
        If there is none.
    """
    runs = [summary for summary in list_runs(out) if summary.updated]
    if not runs:
        raise UserError(f"there are no runs in {out}\n  fix: gradflow run CONFIG makes one")
    return open_run(max(runs, key=_age).path, out)


def list_runs(out: Path = RESULTS) -> tuple[Summary, ...]:
    """Return a line for each run of `out`, by name."""
    return tuple(_summary(config.parent) for config in sorted(out.glob("*/config.yaml")))


def _age(summary: Summary) -> tuple[str, int]:
    return summary.updated, (summary.path / "manifest.json").stat().st_mtime_ns


def _summary(path: Path) -> Summary:
    try:
        manifest = read_manifest(path)
    except DamagedError:
        return Summary(path.name, path, 0, 0.0, "", damaged=True)
    points = manifest.get("points", {}).values()
    seconds = sum(point["seconds"] or 0.0 for point in points)
    return Summary(path.name, path, len(points), seconds, manifest.get("updated", ""))
