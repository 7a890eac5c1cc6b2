"""From an experiment to what will be measured: points, and bundles of points that run together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradflow.core.network.stack import Layer
from gradflow.experiment.config import Experiment, PointConfig
from gradflow.experiment.config.axes import canonical, labels, read_axes
from gradflow.experiment.config.compose import Composer
from gradflow.experiment.config.dump import settings
from gradflow.experiment.config.text.nodes import as_node
from gradflow.experiment.data.reading import checksum
from gradflow.experiment.measure.setting import check_defined
from gradflow.experiment.models.weights import apart
from gradflow.experiment.store.current import code
from gradflow.experiment.store.runs import Point

__all__ = ["Bundle", "PlannedPoint", "bundle", "plan"]

SECTIONS = ("model", "inputs", "init", "loss", "record")
REST = ("dtype", "memory", "method")
FILES = ("weights", "path", "state", "targets")
"""Keys of sections that name a file."""


@dataclass(frozen=True)
class Told:
    """A configuration as plain data, see `gradflow.experiment.store.runs.Point`."""

    settings: Mapping[str, Any]
    net: Mapping[str, Any]
    code: Mapping[str, str]


@dataclass(frozen=True)
class PlannedPoint:
    """One point of a sweep, ready to be measured.

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
    told : Told, optional
        What is kept of it as plain data; points of equal settings share it.
    """

    config: PointConfig
    axes: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""
    group: str = field(default="", repr=False)
    told: Told | None = field(default=None, repr=False, compare=False)

    @property
    def point(self) -> Point:
        """What is kept of it beside its result."""
        config = self.config
        told = self.told or Told({}, {"cell": config.model.cell_label}, {})
        return Point(
            hash=self.hash,
            axes=self.axes,
            length=config.length,
            seed=config.seed,
            settings=told.settings,
            net=told.net,
            code=told.code,
        )


@dataclass(frozen=True)
class Bundle:
    """Points that differ in nothing but seed and length: every seed with every length.

    Parameters
    ----------
    points : tuple of PlannedPoint
        In the order of the plan.
    scratch : str
        The folder that keeps what is half done; none: it is begun again.
    """

    points: tuple[PlannedPoint, ...]
    scratch: str = ""

    @property
    def learns(self) -> bool:
        """Whether its nets learn before they are measured."""
        return self.points[0].config.train is not None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, each once, ascending."""
        return tuple(sorted({point.config.seed for point in self.points}))

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths, each once, ascending."""
        return tuple(sorted({point.config.length for point in self.points}))


def plan(experiment: Experiment) -> tuple[PlannedPoint, ...]:
    """Return the points of an experiment: the product of its axes, the last one fastest.

    They are made once; the experiment carries them.

    Raises
    ------
    ConfigError
        If a file that the experiment names is not what it was.
    """
    if "points" not in experiment.made:
        experiment.made["points"] = _plan(experiment)
    points: tuple[PlannedPoint, ...] = experiment.made["points"]
    return points


def _plan(experiment: Experiment) -> tuple[PlannedPoint, ...]:
    composer: Composer = experiment.made.get("composer") or _composer(experiment)
    names = {key: labels(key, values) for key, values in experiment.sweep.items()}
    sections = _Sections(experiment.written)
    points = []
    for choice in composer.choices():
        config = composer.point(choice)
        texts = sections.texts(config)
        points.append(
            PlannedPoint(
                config,
                {key: names[key][i] for key, i in zip(names, choice, strict=True)},
                _hash(*texts, config.length, config.seed, config.dtype, config.method),
                _hash(
                    *texts,
                    config.dtype,
                    config.method,
                    config.memory,
                    None if _lengths_share(config) else config.length,
                ),
                sections.told(config),
            )
        )
    check_defined(point.config for point in points)
    return tuple(points)


def _composer(experiment: Experiment) -> Composer:
    """Read a changed copy of an experiment as if it were a file."""
    data = as_node(settings(experiment, resolved=False))
    return Composer(data.without("sweep"), read_axes(as_node(experiment.sweep)))


def bundle(points: Iterable[PlannedPoint]) -> tuple[Bundle, ...]:
    """Put points together that can share a forward pass.

    Points that are equal but for the seed run side by side; so do lengths where the inputs of a
    shorter sequence begin a longer one's and the net reads forward only. Each bundle holds every
    one of its seeds at every one of its lengths, so that nothing is measured that was not asked
    for. Points with equal hashes are measured once.
    """
    groups: dict[str, dict[int, dict[str, PlannedPoint]]] = {}
    for point in points:
        seeds = groups.setdefault(point.group, {})
        seeds.setdefault(point.config.seed, {}).setdefault(point.hash, point)
    bundles = []
    for seeds in groups.values():
        grids: dict[frozenset[int], list[PlannedPoint]] = {}
        for same in seeds.values():
            lengths = frozenset(point.config.length for point in same.values())
            grids.setdefault(lengths, []).extend(same.values())
        bundles += [Bundle(tuple(grid)) for grid in grids.values()]
    return tuple(bundles)


def _lengths_share(config: PointConfig) -> bool:
    streams = config.inputs.task.prefix and not config.model.backward
    return streams and config.train is None


def _sections(config: PointConfig) -> tuple[str, ...]:
    """The sections that determine the numbers; nets that do not learn have none of how."""
    return SECTIONS if config.train is None else (*SECTIONS, "train")


class _Sections:
    """Sections as texts that determine numbers and as plain data to keep, each made once."""

    def __init__(self, written: Mapping[str, str]) -> None:
        self._written = written
        self._texts: dict[int, tuple[Any, str]] = {}
        self._plain: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._nets: dict[tuple[int, int], dict[str, Any]] = {}
        self._told: dict[tuple[Any, ...], Told] = {}

    def texts(self, config: PointConfig) -> list[str]:
        """Return the text of each section that determines the numbers, files by their content."""
        return [self._text(getattr(config, name)) for name in _sections(config)]

    def told(self, config: PointConfig) -> Told:
        """Return what is kept of a configuration."""
        rest = {name: getattr(config, name) for name in REST}
        names = _sections(config)
        key = (*(id(getattr(config, name)) for name in names), *rest.values())
        if key not in self._told:
            plain = {name: self._section(getattr(config, name)) for name in names}
            net = self._net(config)
            self._told[key] = Told(plain | rest, net, code(_makers(config)))
        return self._told[key]

    def _text(self, section: Any) -> str:
        known = self._texts.get(id(section))
        if known is None:
            # Defaults stay out, so that a new option does not disown what is stored.
            data = section.model_dump(exclude_defaults=True)
            for key in FILES:
                if data.get(key):
                    data[key] = _content(data[key])
            # The section is kept with its text: its id is its own only as long as it lives.
            known = self._texts[id(section)] = section, canonical(data)
        return known[1]

    def _section(self, section: Any) -> dict[str, Any]:
        known = self._plain.get(id(section))
        if known is None:
            data = json.loads(canonical(section.model_dump(by_alias=True)))
            for key in FILES:
                if path := data.get(key):
                    data[key] = self._written.get(path, path)
                    content = {"resolved": path, "sha256": _content(path)}
                    data |= content if "resolved" not in data else {f"{key}_file": content}
            known = self._plain[id(section)] = section, data
        return known[1]

    def _net(self, config: PointConfig) -> dict[str, Any]:
        """What the network says of itself, so that reading a run need not build it."""
        model, features = config.model, config.inputs.task.features
        key = (id(model), features)
        if key not in self._nets:
            self._nets[key] = {
                "cell": model.cell_label,
                "kind": model.cell.kind,
                "features": features,
                "layers": [_layer(layer) for layer in model.build(features).layers],
            }
        return self._nets[key]


def _makers(config: PointConfig) -> dict[str, Any]:
    """What may be a user's own of all that makes the numbers of a point."""
    return {
        **{f"cell {one.cell.kind}": type(one.cell) for one in config.model.build(1).layers},
        f"inputs {config.inputs.kind}": type(config.inputs.task),
        f"loss {config.loss.kind}": config.loss.core,
        **{f"recording {one.name}": type(one) for one in config.record.asked},
    }


def _content(source: str) -> str:
    """Stand for a file by its content; of a checkpoint with several nets, and the one meant."""
    file, prefix = apart(source)
    return f"{checksum(file)}#{prefix}" if prefix else checksum(file)


def _layer(layer: Layer) -> dict[str, Any]:
    """What a layer says of itself; a memory gate as name, sign and what writes beside it."""
    return {
        "cell": layer.cell.label,
        "hidden": layer.cell.hidden,
        "parts": list(layer.cell.parts),
        "gates": list(layer.cell.gates),
        "memory_gates": [list(gate) for gate in layer.cell.memory_gates],
        "directions": list(layer.directions),
    }


def _hash(*parts: Any) -> str:
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]
