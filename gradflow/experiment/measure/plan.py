"""From an experiment to what will be measured: points, and bundles of points that run together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradflow.core import ENGINE
from gradflow.experiment.config import Experiment, PointConfig
from gradflow.experiment.config.axes import canonical, labels, read_axes
from gradflow.experiment.config.compose import Composer
from gradflow.experiment.config.text.nodes import wrap
from gradflow.experiment.config.write import settings
from gradflow.experiment.measure.defined import check_defined
from gradflow.experiment.models.weights import apart

__all__ = ["Bundle", "Point", "bundle", "plan"]


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Parameters
    ----------
    config : PointConfig
        Its configuration.
    axes : mapping of str to value
        What it is along every axis of the sweep, in order; cells by their label.
    hash : str
        16 hexadecimal digits that stand for everything that determines its numbers.
    group : str
        The same for points that can be measured together.
    """

    config: PointConfig
    axes: Mapping[str, Any]
    hash: str
    group: str = field(default="", repr=False)


@dataclass(frozen=True)
class Bundle:
    """Points that differ in nothing but seed and length: every seed with every length.

    Parameters
    ----------
    points : tuple of Point
        In the order of the plan.
    """

    points: tuple[Point, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, each once, ascending."""
        return tuple(sorted({point.config.seed for point in self.points}))

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths, each once, ascending."""
        return tuple(sorted({point.config.length for point in self.points}))


def plan(experiment: Experiment) -> tuple[Point, ...]:
    """Return the points of an experiment: the product of its axes, the last one fastest.

    Raises
    ------
    ConfigError
        If a file that the experiment names is not what it was.
    """
    data = wrap(settings(experiment, resolved=False))
    axes = read_axes(wrap(experiment.sweep))
    composer = Composer(data.without("sweep"), axes)
    names = {key: labels(key, values) for key, values in experiment.sweep.items()}
    digest = _Digest()
    points = []
    for choice in composer.choices():
        config = composer.point(choice)
        slices = digest.slices(config)
        points.append(
            Point(
                config,
                {key: names[key][i] for key, i in zip(names, choice, strict=True)},
                _hash(ENGINE, *slices, config.length, config.seed, config.dtype, config.method),
                _hash(
                    *slices,
                    config.dtype,
                    config.method,
                    config.memory,
                    None if _lengths_share(config) else config.length,
                ),
            )
        )
    check_defined(point.config for point in points)
    return tuple(points)


def bundle(points: Iterable[Point]) -> tuple[Bundle, ...]:
    """Put points together that can share a forward pass.

    Points that are equal but for the seed run side by side; so do lengths where the inputs of a
    shorter sequence begin a longer one's and the net reads forward only. Each bundle holds every
    one of its seeds at every one of its lengths, so that nothing is measured that was not asked
    for. Points with equal hashes are measured once.
    """
    groups: dict[str, dict[int, dict[str, Point]]] = {}
    for point in points:
        seeds = groups.setdefault(point.group, {})
        seeds.setdefault(point.config.seed, {}).setdefault(point.hash, point)
    bundles = []
    for seeds in groups.values():
        grids: dict[frozenset[int], list[Point]] = {}
        for same in seeds.values():
            lengths = frozenset(point.config.length for point in same.values())
            grids.setdefault(lengths, []).extend(same.values())
        bundles += [Bundle(tuple(grid)) for grid in grids.values()]
    return tuple(bundles)


def _lengths_share(config: PointConfig) -> bool:
    return config.inputs.task.prefix and not config.model.bidirectional


class _Digest:
    """Canonical texts of sections, and of the files that they name by content."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Any, str]] = {}
        self._files: dict[str, str] = {}

    def slices(self, config: PointConfig) -> list[str]:
        """Return the text of each section that determines the numbers."""
        sections = (config.model, config.inputs, config.init, config.loss, config.record)
        return [self._text(section) for section in sections]

    def _text(self, section: Any) -> str:
        known = self._texts.get(id(section))
        if known is None:
            # Defaults stay out, so that a new option does not disown what is stored.
            data = section.model_dump(exclude_defaults=True)
            for key in ("weights", "path"):
                if data.get(key):
                    data[key] = self._file(data[key])
            # The section is kept with its text: its id is its own only as long as it lives.
            known = self._texts[id(section)] = section, canonical(data)
        return known[1]

    def _file(self, path: str) -> str:
        if path not in self._files:
            file, prefix = apart(path)
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self._files[path] = f"{digest}#{prefix}" if prefix else digest
        return self._files[path]


def _hash(*parts: Any) -> str:
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]
