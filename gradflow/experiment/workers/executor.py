"""How bundles of points get computed: one interface, in this process or in others.

An executor measures bundles and hands back an outcome for each, in any order. What an outcome
holds never depends on the executor: every one of them calls `attempt`, with one thread for linear
algebra (the small products here are slower and noisier with more) and memory held between bundles.
"""

from __future__ import annotations

import ctypes
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import threadpoolctl

from gradflow.errors import GradflowError, NumericalError
from gradflow.experiment.measure.duration import split
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle, PlannedPoint
from gradflow.experiment.store.runs import Point

__all__ = [
    "Executor", "Failure", "Measure", "OnDone", "Outcome", "Serial", "attempt", "hold_memory",
    "lost",
]  # fmt: skip

T = TypeVar("T")
"""What is found out about a point: its `Result`, or anything that can cross to another process."""

T_co = TypeVar("T_co", covariant=True)

Measure: TypeAlias = Callable[[Bundle], Sequence[T | NumericalError]]
"""Computes what a bundle's points give, one for each in order, or what became of the net."""

DEFAULT: Measure[Any] = measure


@dataclass(frozen=True)
class Failure:
    """A point that could not be measured, and why; `exit_code` is the error's own."""

    point: Point
    reason: str
    exit_code: int = GradflowError.exit_code
    traceback: str = ""
    numerical: bool = False


@dataclass(frozen=True)
class Outcome(Generic[T_co]):
    """What became of a bundle: results of some of its points, failures of the others."""

    bundle: Bundle
    results: tuple[tuple[PlannedPoint, T_co], ...] = ()
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0


OnDone: TypeAlias = Callable[[Outcome[T]], None]
"""Receives every outcome, in the calling process; raising stops the executor."""


class Executor(Protocol[T_co]):
    """Measures bundles, in any order, and calls `on_done` once for each."""

    def run(self, bundles: Sequence[Bundle], on_done: OnDone[T_co]) -> None:
        """Return when all are done; leave no process behind however this ends."""


@dataclass(frozen=True)
class Serial(Generic[T]):
    """One bundle after another in this process."""

    measure: Measure[T] = field(default=DEFAULT)

    def run(self, bundles: Sequence[Bundle], on_done: OnDone[T]) -> None:
        """Measure the bundles in order."""
        for bundle in bundles:
            on_done(attempt(bundle, self.measure))


def attempt(bundle: Bundle, measure: Measure[T]) -> Outcome[T]:
    """Measure a bundle; if that fails, its halves, so that the points that can be had survive."""
    start = time.perf_counter()
    hold_memory()
    with threadpoolctl.threadpool_limits(1):
        results, failures = _attempt(bundle, measure)
    return Outcome(bundle, tuple(results), tuple(failures), time.perf_counter() - start)


def _attempt(
    bundle: Bundle, measure: Measure[T]
) -> tuple[list[tuple[PlannedPoint, T]], list[Failure]]:
    points = bundle.points
    try:
        found = list(zip(points, measure(bundle), strict=True))
        failed = [_failure(p, one) for p, one in found if isinstance(one, NumericalError)]
        return [(p, one) for p, one in found if not isinstance(one, NumericalError)], failed
    except Exception as error:
        if len(points) == 1:
            return [], [_failure(points[0], error)]
    halves = split(bundle, 2)
    if len(halves) == 1:  # one seed at several lengths
        middle = len(points) // 2
        halves = Bundle(points[:middle]), Bundle(points[middle:])
    (results, failures), (more_results, more_failures) = (_attempt(h, measure) for h in halves)
    return results + more_results, failures + more_failures


def lost(bundle: Bundle, reason: str) -> Outcome[Any]:
    """Return the outcome of a bundle whose worker could not finish it."""
    return Outcome(
        bundle, failures=tuple(Failure(planned.point, reason) for planned in bundle.points)
    )


def _failure(planned: PlannedPoint, error: Exception) -> Failure:
    explained = isinstance(error, GradflowError)
    return Failure(
        point=planned.point,
        reason=str(error) if explained else f"{type(error).__name__}: {error}",
        exit_code=getattr(error, "exit_code", GradflowError.exit_code),
        traceback="".join(traceback.format_exception(error)),
        numerical=isinstance(error, NumericalError),
    )


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_HELD = 1 << 30
_LARGEST_ON_HEAP = 32 << 20  # the most that glibc takes


@lru_cache
def hold_memory() -> None:
    """Let this process keep up to a GiB of what it frees, for its next pass.

    A pass builds a tape and frees it. Left to itself glibc gives the pages back to the system and
    faults them in again one by one: a quarter of the time of a pass over 20 nets of 32 units. The
    peak is the same. Nothing happens with other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, _HELD)
    mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP)
