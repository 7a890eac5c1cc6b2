"""Stored runs: found by name, read from their folder alone, every file verified."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gradflow.core.quantity import Result
from gradflow.errors import UserError
from gradflow.experiment.store.manifest import (
    CONFIG,
    FILE,
    DamagedError,
    Manifest,
    Stored,
    damage,
    read_manifest,
    read_vouched,
)
from gradflow.experiment.store.whole import decode, finished

__all__ = [
    "RESULTS",
    "ListedRun",
    "Point",
    "Run",
    "find_run",
    "latest",
    "list_runs",
    "load_run",
    "open_run",
]

RESULTS = Path("results")
"""Where runs are kept unless told otherwise."""


@dataclass(frozen=True)
class Point:
    """One point of a sweep, as plain data: what was measured, without what measures it.

    Parameters
    ----------
    hash : str
        16 hexadecimal digits that stand for everything that was asked for.
    axes : mapping of str to value
        What it is along every axis of the sweep, in order; cells by their label.
    length, seed : int
        Steps of the inputs, and the seed of weights and probe.
    settings : mapping
        Its resolved configuration, with the file's keys. A path is as it was written; beside it
        stand what it led to (``resolved``) and the content's checksum (``sha256``).
    net : mapping
        What its network says of itself: ``cell`` (the label), ``kind``, ``features``, and of each
        of its ``layers`` the cell, parts, gates, directions and which gates keep memory.
    code : mapping
        Digests of the code that makes its numbers, by what the code is.
    """

    hash: str
    axes: Mapping[str, Any]
    length: int
    seed: int
    settings: Mapping[str, Any] = field(repr=False)
    net: Mapping[str, Any] = field(repr=False)
    code: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def cell(self) -> str:
        """The cell's label."""
        return str(self.net["cell"])


@dataclass(frozen=True)
class Run:
    """The points of an experiment and where their results are: stored, or in memory.

    Parameters
    ----------
    name : str
        The experiment's name.
    points : tuple of Point
        The points that have a result, in the order of the sweep.
    load : callable
        Gives the result of a point.
    path : Path
        The folder that holds the run.
    missing : tuple of Point
        The points without: not reached yet, or failed.
    created, updated : str
        ISO time.
    environments : tuple of mapping
        What the results were computed in.
    source : str
        The experiment's file, where there was one.
    config : str
        The experiment as resolved YAML.
    """

    name: str
    points: tuple[Point, ...]
    load: Callable[[Point], Result] = field(repr=False)
    path: Path = Path()
    missing: tuple[Point, ...] = ()
    created: str = ""
    updated: str = ""
    environments: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    source: str = ""
    config: str = field(default="", repr=False)

    def result(self, point: Point) -> Result:
        """Load what was measured at `point`, the checksum of its file verified at every call."""
        return self.load(point)

    def part(self, points: Iterable[Point]) -> Run:
        """Return the run as if it had these points alone."""
        return replace(self, points=tuple(points))

    def recorded(self, name: str) -> bool:
        """Whether any point was asked to record something beyond norms."""
        return any(point.settings["record"].get(name) for point in self.points)


@dataclass(frozen=True)
class ListedRun:
    """One line of a list of runs.

    Parameters
    ----------
    name : str
        The folder's.
    path : Path
        Where it is.
    points, total : int
        How many points of its sweep are stored, and how many it has.
    cells, lengths : tuple
        What the sweep is of, in its order.
    seconds : float
        What its points took.
    updated : str
        ISO time; empty where that is not known.
    damaged : str
        Why it cannot be read; empty where it can.
    """

    name: str
    path: Path
    points: int = 0
    total: int = 0
    cells: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    seconds: float = 0.0
    updated: str = ""
    damaged: str = ""

    @property
    def bytes(self) -> int:
        """What all of its files take on the disk."""
        files = (Path(root) / name for root, _, names in os.walk(self.path) for name in names)
        return sum(file.lstat().st_size for file in files if file.is_symlink() or file.exists())


def open_run(run: str | Path, out: Path = RESULTS) -> Run:
    """Open a run by its folder, or by its name inside `out`.

    Raises
    ------
    UserError
        If there is no such run.
    DamagedError
        If its manifest cannot be read.
    """
    path = find_run(run, out)
    manifest = _read(path)
    points = _points(manifest)
    return Run(
        name=manifest.name,
        path=path,
        points=tuple(point for point in points if point.hash in manifest.stored),
        missing=tuple(point for point in points if point.hash not in manifest.stored),
        load=lambda point: load_run(path, manifest.stored[point.hash], point),
        created=manifest.created,
        updated=manifest.updated,
        environments=tuple(manifest.environments.values()),
        source=manifest.source,
        config=manifest.config,
    )


def find_run(run: str | Path, out: Path = RESULTS) -> Path:
    """Find the folder of a run, which may be damaged, by its path or by its name inside `out`.

    Raises
    ------
    UserError
        If there is no such run.
    """
    path = next((p for p in (Path(run), out / run) if _is_run(p)), None)
    if path is None:
        names = [summary.name for summary in list_runs(out)]
        near = difflib.get_close_matches(str(run), names, n=1)
        known = f"known: {', '.join(names) or 'none yet'}"
        fix = (
            f"did you mean {near[0]}?"
            if near
            else "gradflow run CONFIG makes one; --results DIR says where runs are"
        )
        raise UserError(f"there is no run {str(run)!r} in {out}; {known}\n  fix: {fix}")
    return path


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


def list_runs(out: Path = RESULTS) -> tuple[ListedRun, ...]:
    """Return a line for each run of `out`, by name."""
    return tuple(_summary(path) for path in sorted(out.glob("*")) if _is_run(path))


def load_run(path: Path, stored: Stored, point: Point) -> Result:
    """Read one stored result of the run in folder `path` and verify its checksum.

    Raises
    ------
    DamagedError
        If the file is missing or is not the one that the manifest names.
    """
    return decode(read_vouched(path / "points" / f"{point.hash}.npz", stored.sha256))


def _points(manifest: Manifest) -> list[Point]:
    """Lay the points of the plan out along the axes; equal settings are shared."""
    settings = {
        name: {key: manifest.sections[part] for key, part in row.items()}
        for name, row in manifest.settings.items()
    }
    nets = {name: parts.pop("net") for name, parts in settings.items()}
    whole = {name: {**parts.pop("rest"), **parts} for name, parts in settings.items()}
    points: list[Point] = []
    if not manifest.plan:
        return points
    for key, place in zip(manifest.plan, itertools.product(*manifest.axes.values()), strict=True):
        known, stored = manifest.points[key], manifest.stored.get(key)
        points.append(
            Point(
                hash=key,
                axes=dict(zip(manifest.axes, place, strict=True)),
                length=known.length,
                seed=known.seed,
                settings=whole[known.settings],
                net=nets[known.settings],
                code=manifest.code[stored.code] if stored else {},
            )
        )
    return points


def _is_run(path: Path) -> bool:
    """A run that is being begun has a ``config.yaml``, and neither manifest nor points yet."""
    try:
        if (path / FILE).is_file():
            return True
        return (path / CONFIG).is_file() and bool(finished(path / "points"))
    except OSError:  # a folder that may not be looked into is listed as one that cannot be read
        return path.is_dir()


def _read(path: Path) -> Manifest:
    try:
        return read_manifest(path)
    except FileNotFoundError:
        raise damage(path / FILE, "it is missing") from None


def _age(summary: ListedRun) -> tuple[str, int]:
    return summary.updated, (summary.path / FILE).stat().st_mtime_ns


def _summary(path: Path) -> ListedRun:
    try:
        manifest = _read(path)
    except (DamagedError, OSError) as error:
        return ListedRun(path.name, path, damaged=str(error).partition("\n")[0])
    asked = [manifest.points[key] for key in manifest.plan]
    nets = (manifest.sections[manifest.settings[point.settings]["net"]] for point in asked)
    return ListedRun(
        name=path.name,
        path=path,
        points=sum(key in manifest.stored for key in manifest.plan),
        total=len(asked),
        cells=tuple(dict.fromkeys(str(net["cell"]) for net in nets)),
        lengths=tuple(dict.fromkeys(point.length for point in asked)),
        seconds=sum(one.seconds or 0.0 for one in manifest.stored.values()),
        updated=manifest.updated,
    )
