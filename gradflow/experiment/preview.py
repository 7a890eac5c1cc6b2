"""What a run would do: what is left to measure, how long it takes and the memory it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gradflow.errors import UserError
from gradflow.experiment.config import Experiment
from gradflow.experiment.measure.duration import pace, pieces, predicted
from gradflow.experiment.measure.measurement import footprint
from gradflow.experiment.measure.plan import Bundle, PlannedPoint, bundle, plan
from gradflow.experiment.run import WHOLE, Shard, work
from gradflow.experiment.store.current import is_current
from gradflow.experiment.store.manifest import DamagedError, read_manifest
from gradflow.experiment.store.runs import RESULTS

__all__ = ["Planned", "Preview", "preview"]


@dataclass(frozen=True)
class Planned:
    """A bundle as it would be run: predicted seconds, and the bytes it takes at most.

    `problem` says why it could not be run at all.
    """

    bundle: Bundle
    seconds: float
    bytes: int
    problem: str = ""


@dataclass(frozen=True)
class Preview:
    """What `run` would do: the bundles left to measure, and how many points are stored."""

    name: str
    points: int
    stored: int
    bundles: tuple[Planned, ...]


def preview(
    experiment: Experiment, *, out: Path = RESULTS, fresh: bool = False, shard: Shard = WHOLE
) -> Preview:
    """Plan a run without writing anything; see `run` for the parameters.

    Seconds are predicted from the sizes and scaled by what short pieces take on this machine.
    """
    points = plan(experiment)
    stored = set() if fresh else _stored(out / experiment.name, points)
    todo = work(pieces(bundle(points)), stored, shard)
    sized = [_sized(piece) for piece in todo]
    speed = pace([one.bundle for one in sized if not one.problem])
    planned = tuple(replace(one, seconds=speed * one.seconds) for one in sized)
    return Preview(experiment.name, len(points), len(stored), planned)


def _stored(folder: Path, points: Sequence[PlannedPoint]) -> set[str]:
    """Return the hashes of the points that `run` would reuse, if their files are whole."""
    try:
        manifest = read_manifest(folder)
    except (DamagedError, FileNotFoundError):
        return set()
    return {one.hash for one in points if is_current(manifest, one.point)}


def _sized(piece: Bundle) -> Planned:
    try:
        return Planned(piece, predicted(piece), footprint(piece)[1].peak)
    except UserError as error:
        return Planned(piece, predicted(piece), 0, str(error))
