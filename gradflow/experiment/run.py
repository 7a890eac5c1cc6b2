"""From an experiment to a stored run: plan, leave out what is there, measure, keep."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from gradflow.core.quantity import Result
from gradflow.errors import UserError
from gradflow.experiment.config import Experiment, dump
from gradflow.experiment.config.axes import labels
from gradflow.experiment.measure.duration import pieces, predicted, share
from gradflow.experiment.measure.measurement import scratch
from gradflow.experiment.measure.plan import Bundle, bundle, plan
from gradflow.experiment.store.current import files_of
from gradflow.experiment.store.folder import Folder
from gradflow.experiment.store.manifest import CONFIG, UNFINISHED, Asked, environment
from gradflow.experiment.store.names import BASELINES, earlier, set_aside
from gradflow.experiment.store.runs import RESULTS, Point, Run
from gradflow.experiment.workers.executor import Executor, Failure, Outcome, Serial

__all__ = [
    "WHOLE",
    "Finished",
    "OnProgress",
    "Progress",
    "Shard",
    "in_memory",
    "run",
    "work",
]


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` equal parts of a sweep, counted from 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UserError(
                f"shard {self.number}/{self.count} does not exist\n"
                "  expected: i/n with i from 1 to n, e.g. 2/8"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``."""
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise UserError(f"{text!r} is no shard\n  expected: i/n with i from 1 to n, e.g. 2/8")
        return cls(int(number), int(count))


WHOLE = Shard()
"""All of a sweep."""


@dataclass(frozen=True)
class Progress:
    """How far a run is. `share`, from 0 to 1, is of the predicted work, not of the points."""

    share: float
    points: int
    total: int


OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True)
class Finished:
    """What a call of `run` did; `run` is what is stored now, whoever computed it.

    `changed` names the code and the files that are not what they were when points were measured,
    so that these were measured again. `before` is the run that the folder held, if it was of
    another experiment; what was drawn of it is in `aside`.
    """

    run: Run
    computed: int
    reused: int
    failures: tuple[Failure, ...]
    seconds: float
    changed: tuple[str, ...] = ()
    before: Run | None = None
    aside: Path | None = None


class _FailFast(Exception):
    """Carries the first failure out of an executor."""


def run(
    experiment: Experiment,
    *,
    out: Path = RESULTS,
    executor: Executor[Result] | None = None,
    fresh: bool = False,
    fail_fast: bool = False,
    shard: Shard = WHOLE,
    only: Collection[str] | None = None,
    on_progress: OnProgress | None = None,
    synced: bool = True,
) -> Finished:
    """Measure the points of an experiment that are not stored yet, and store them.

    What other code has measured than there is now, be it gradflow's or a user's cell, is measured
    again; so is what other data or weights were read for.

    Parameters
    ----------
    experiment : Experiment
        What to run; its name is the folder's.
    out : Path
        Where runs are kept.
    executor : Executor, optional
        Where the work is done; by default in this process.
    fresh, fail_fast, synced : bool
        Measure again what is stored; stop at the first point that fails, not at the end; `Folder`.
    shard, only : Shard, collection of str
        Do only this part, or the points of these hashes; other processes may do the rest, at the
        same time, in the same folder.
    on_progress : callable, optional
        Called at the start and after every bundle.

    Raises
    ------
    UserError
        If the experiment cannot be run at all. A point that fails raises nothing; it is returned.
    """
    start = time.perf_counter()
    planned = plan(experiment)
    points = [one.point for one in planned]
    folder, changed, before, aside = _configured(experiment, out, points, synced)
    stored = set() if fresh else folder.sound(points)
    done = stored if only is None else stored | {p.hash for p in points if p.hash not in only}
    todo = _with_scratch(work(pieces(bundle(planned)), done, shard), folder.path / UNFINISHED)
    folder.drop(point.hash for piece in todo for point in piece.points)
    if fresh:
        _forget(todo)
    track = _Track(todo, on_progress)
    failures = _measured(todo, executor or Serial(), folder, track, fresh, fail_fast)
    return Finished(
        run=_kept(folder, points),
        computed=track.points - len(failures),
        reused=len(stored),
        failures=tuple(failures),
        seconds=time.perf_counter() - start,
        changed=tuple(changed),
        before=before,
        aside=aside,
    )


def in_memory(
    experiment: Experiment,
    *,
    executor: Executor[Result],
    fail_fast: bool = False,
    only: Collection[str] | None = None,
    on_progress: OnProgress | None = None,
) -> Finished:
    """Measure the points of an experiment and keep no file; see `run` for the parameters."""
    start = time.perf_counter()
    planned = plan(experiment)
    skip = {one.hash for one in planned if only is not None and one.hash not in only}
    todo = work(pieces(bundle(planned)), skip)
    track = _Track(todo, on_progress)
    results: dict[str, Result] = {}
    failures: list[Failure] = []

    def on_done(outcome: Outcome[Result]) -> None:
        results.update((one.hash, result) for one, result in outcome.results)
        failures.extend(outcome.failures)
        track.add(outcome)
        if failures and fail_fast:
            raise _FailFast

    with contextlib.suppress(_FailFast):
        executor.run(todo, on_done)
    found = Run(
        name=experiment.name,
        points=tuple(one.point for one in planned if one.hash in results),
        missing=tuple(one.point for one in planned if one.hash not in results),
        load=lambda point: results[point.hash],
    )
    return Finished(found, len(results), 0, tuple(failures), time.perf_counter() - start)


def _measured(
    todo: Sequence[Bundle],
    executor: Executor[Result],
    folder: Folder,
    track: _Track,
    fresh: bool,
    fail_fast: bool,
) -> list[Failure]:
    """Measure bundles, store what they give, and return what failed."""
    failures: list[Failure] = []

    def on_done(outcome: Outcome[Result]) -> None:
        if outcome.results:
            results = [(one.point, result) for one, result in outcome.results]
            folder.put(results, outcome.seconds, replace=fresh)
            _forget([outcome.bundle])
        failures.extend(outcome.failures)
        track.add(outcome)
        if failures and fail_fast:
            raise _FailFast

    try:
        with contextlib.suppress(_FailFast):
            executor.run(todo, on_done)
    finally:
        folder.flush()
    return failures


def _configured(
    experiment: Experiment, out: Path, points: Sequence[Point], synced: bool
) -> tuple[Folder, Sequence[str], Run | None, Path | None]:
    """The run's folder, what has changed since it was measured, and what is set aside for it."""
    if experiment.name == BASELINES:
        raise UserError(f"{BASELINES!r} is where the baselines are kept\n  fix: another `name:`")
    axes = {key: labels(key, values) for key, values in experiment.sweep.items()}
    path = out / experiment.name
    own = experiment.source == str((path / CONFIG).resolve())
    source = "" if own else experiment.source
    before = earlier(path, points, source)
    folder = Folder(path, environment, synced=synced)
    changed = folder.configure(dump(experiment), axes, points, source, _asked(experiment, points))
    return folder, changed, before, set_aside(path, before) if before else None


def _asked(experiment: Experiment, points: Sequence[Point]) -> Asked:
    """In which words the experiment was asked for; none if a file that it names is no point's."""
    settings = {id(point.settings): point.settings for point in points}.values()
    read = files_of(part for one in settings for part in one.values() if isinstance(part, dict))
    return Asked(
        words=experiment.words if experiment.written.keys() <= read.keys() else "",
        check=experiment.check.model_dump(by_alias=True),
        notes=list(experiment.notes),
    )


def _with_scratch(todo: Iterable[Bundle], place: Path) -> tuple[Bundle, ...]:
    """Bundles of nets that learn keep what is unfinished at a place."""
    return tuple(replace(one, scratch=str(place)) if one.learns else one for one in todo)


def _kept(folder: Folder, points: Sequence[Point]) -> Run:
    """What is stored now; once all is, a stop before `_forget` has left states for nobody."""
    found = folder.run(points)
    if not found.missing:
        _clear(folder.path / UNFINISHED, "*")
    return found


def _forget(bundles: Iterable[Bundle]) -> None:
    """Let go of what nets that learn keep between two windows."""
    for path in map(scratch, bundles):
        if path is not None:
            _clear(path.parent, f"{path.stem}.*")


def _clear(place: Path, names: str) -> None:
    for file in place.glob(names):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others may still learn there, or none ever did
        place.rmdir()


def work(
    whole: Sequence[Bundle], stored: Collection[str], shard: Shard = WHOLE
) -> tuple[Bundle, ...]:
    """Return what is left to measure of the sweep's pieces, the longest first.

    Shards and seeds are cut before stored points are left out: a run that was stopped and goes on
    measures the rest in the same company, hence bit for bit as if it had not been stopped.
    """
    chosen = share(whole, shard.number, shard.count)
    left = [bundle(p for p in piece.points if p.hash not in stored) for piece in chosen]
    return tuple(sorted(itertools.chain(*left), key=predicted, reverse=True))


class _Track:
    """Adds up what is done."""

    def __init__(self, todo: Sequence[Bundle], on_progress: OnProgress | None) -> None:
        self.points = 0
        self._total = sum(len(piece.points) for piece in todo)
        self._cost = sum(map(predicted, todo))
        self._done = 0.0
        self._tell = on_progress
        self._report()

    def add(self, outcome: Outcome[Result]) -> None:
        self.points += len(outcome.bundle.points)
        self._done += predicted(outcome.bundle)
        self._report()

    def _report(self) -> None:
        if self._tell is not None:
            share = 1.0 if self.points == self._total else min(1.0, self._done / self._cost)
            self._tell(Progress(share, self.points, self._total))
