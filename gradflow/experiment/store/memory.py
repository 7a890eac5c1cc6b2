"""Runs that are not stored, or not whole, with the face of a stored one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gradflow.core.quantity import Result
from gradflow.experiment.measure.plan import Point
from gradflow.experiment.store.runs import Run

__all__ = ["MemoryRun", "PartRun"]


@dataclass(frozen=True)
class MemoryRun:
    """Results that are not stored."""

    name: str
    points: tuple[Point, ...]
    results: dict[str, Result] = field(default_factory=dict)
    path: Path = Path()

    def result(self, point: Point) -> Result:
        """Return what was measured at a point."""
        return self.results[point.hash]


@dataclass(frozen=True)
class PartRun:
    """Some points of a run."""

    source: Run | MemoryRun
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """Name of the whole."""
        return self.source.name

    @property
    def path(self) -> Path:
        """Folder of the whole."""
        return self.source.path

    def result(self, point: Point) -> Result:
        """Return what was measured at a point."""
        return self.source.result(point)
