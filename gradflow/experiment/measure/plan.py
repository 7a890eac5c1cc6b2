"""From an experiment to what will be measured: points, and bundles of points that run together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gradflow.core.network.stack import Layer
from gradflow.experiment.config import Experiment, PointConfig
from gradflow.experiment.config.architecture import ModelConfig
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

T = TypeVar("T")

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
    forms = _Forms(experiment.written)
    distinct: dict[tuple[int, int], PointConfig] = {}
    points = []
    for choice in composer.choices():
        config = composer.point(choice)
        form = forms.of(config)
        distinct.setdefault((id(form), config.length), config)
        points.append(
            PlannedPoint(
                config,
                {key: names[key][i] for key, i in zip(names, choice, strict=True)},
                form.hash(config),
                form.group if form.streams else f"{form.group} {config.length}",
                form.told,
            )
        )
    check_defined(distinct.values())
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


def _sections(config: PointConfig) -> tuple[str, ...]:
    """The sections that determine the numbers; nets that do not learn have none of how."""
    return SECTIONS if config.train is None else (*SECTIONS, "train")


@dataclass(frozen=True)
class _Form:
    """What points share that differ in nothing but length and seed.

    Parameters
    ----------
    text : str
        JSON of the sections that determine the numbers, but for its last bracket.
    group : str
        Stands for all that points have in common that can be measured together.
    streams : bool
        Whether points of different lengths can be.
    told : Told
        What is kept of them.
    """

    text: str
    group: str
    streams: bool
    told: Told

    def hash(self, config: PointConfig) -> str:
        """Return what stands for all that determines a point's numbers."""
        own = canonical([config.length, config.seed, config.dtype, config.method])
        return _digest(f"{self.text}, {own[1:]}")


class _Forms:
    """The forms that the points of a sweep take; each section is written out once."""

    def __init__(self, written: Mapping[str, str]) -> None:
        self._written = written
        self._made: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def of(self, config: PointConfig) -> _Form:
        """Return the form of a point."""
        parts = [getattr(config, name) for name in _sections(config)]
        key = (*map(id, parts), config.dtype, config.memory, config.method)
        return self._once(key, parts, lambda: self._form(config, parts))

    def _once(self, key: tuple[Any, ...], whose: Any, make: Callable[[], T]) -> T:
        """Make something once; its owner is kept: an id is its own only as long as it lives."""
        if key not in self._made:
            self._made[key] = whose, make()
        made: T = self._made[key][1]
        return made

    def _form(self, config: PointConfig, parts: Sequence[Any]) -> _Form:
        names, rest = _sections(config), {name: getattr(config, name) for name in REST}
        text = f"[{', '.join(map(self._text, parts))}"
        return _Form(
            text,
            _digest(text + canonical(list(rest.values()))),
            config.train is None and not self._backward(config.model) and config.inputs.task.prefix,
            Told(
                {name: self._section(one) for name, one in zip(names, parts, strict=True)} | rest,
                self._net(config),
                code(self._makers(config)),
            ),
        )

    def _text(self, section: Any) -> str:
        return self._once(("text", id(section)), section, lambda: _text(section))

    def _section(self, section: Any) -> dict[str, Any]:
        return self._once(("plain", id(section)), section, lambda: _plain(section, self._written))

    def _backward(self, model: ModelConfig) -> bool:
        return self._once(("backward", id(model)), model, lambda: model.backward)

    def _net(self, config: PointConfig) -> dict[str, Any]:
        """What the network says of itself, so that reading a run need not build it."""
        model, features = config.model, config.inputs.task.features

        def make() -> dict[str, Any]:
            return {
                "cell": model.cell_label,
                "kind": model.cell.kind,
                "features": features,
                "layers": [_layer(layer) for layer in model.build(features).layers],
            }

        return self._once(("net", id(model), features), model, make)

    def _makers(self, config: PointConfig) -> dict[str, Any]:
        """What may be a user's own of all that makes the numbers of a point."""
        model, record = config.model, config.record
        layers = self._once(("layers", id(model)), model, lambda: model.build(1).layers)
        asked = self._once(("asked", id(record)), record, lambda: record.asked)
        return {
            **{f"cell {one.cell.kind}": type(one.cell) for one in layers},
            f"inputs {config.inputs.kind}": type(config.inputs.task),
            f"loss {config.loss.kind}": config.loss.core,
            **{f"recording {one.name}": type(one) for one in asked},
        }


def _text(section: Any) -> str:
    """What a section has to say to a hash: files by their content, as JSON in JSON.

    Defaults stay out, so that a new option does not disown what is stored.
    """
    data = section.model_dump(exclude_defaults=True)
    for key in FILES:
        if data.get(key):
            data[key] = _content(data[key])
    return canonical(canonical(data))


def _plain(section: Any, written: Mapping[str, str]) -> dict[str, Any]:
    """A section as plain data to keep; of a file, how it was written, where it is, and its sum."""
    data: dict[str, Any] = json.loads(canonical(section.model_dump(by_alias=True)))
    for key in FILES:
        if path := data.get(key):
            data[key] = written.get(path, path)
            content = {"resolved": path, "sha256": _content(path)}
            data |= content if "resolved" not in data else {f"{key}_file": content}
    return data


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
