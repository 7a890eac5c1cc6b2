"""Reading experiments: from a file with overrides, or from a mapping."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradflow.errors import ConfigError, typed
from gradflow.experiment.config.axes import PATHS, normal, read_axes, sections
from gradflow.experiment.config.checks import check_section, keys, unknown
from gradflow.experiment.config.compose import FIELDS, Composer, put
from gradflow.experiment.config.effect import check_effects
from gradflow.experiment.config.sections import ORDER, CheckConfig, Experiment
from gradflow.experiment.config.text import yaml
from gradflow.experiment.config.text.mistakes import Mistake, choices, got, inside, nearest
from gradflow.experiment.config.text.nodes import Node, Place, as_node, spell
from gradflow.experiment.store.names import RUN_NAME, asked_in, is_run_name, run_name

__all__ = ["load_config", "parse", "resolve_tree"]


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Experiment:
    """Read, override and validate an experiment file.

    Parameters
    ----------
    path : path
        The file. Paths in it are relative to its folder.
    overrides : sequence of str
        ``key=value`` with the dotted paths of the file, e.g. ``model.hidden=64``,
        ``sweep.length=[8, 16]``. Overriding a value that the sweep varies fixes it. Paths in them
        are relative to the working directory.

    Raises
    ------
    ConfigError
        With the place of the first mistake.
    DamagedError
        If it is a run's ``config.yaml`` and not the one that the run's manifest holds.
    """
    path = Path(path)
    _refuse_checkpoint(path)
    _refuse_damaged(path)
    text = yaml.read_bytes(path)
    tree = yaml.as_tree(text, path)
    experiment = _resolved(tree, path.parent, overrides, run_name(path.stem))
    experiment._beside.source = str(path.resolve())
    experiment._beside.words = asked_in(path, text, overrides)
    return experiment


def _refuse_checkpoint(path: Path) -> None:
    from gradflow.experiment.models.opening import SUFFIXES
    from gradflow.experiment.models.weights import apart

    if apart(path)[0].suffix.lower() in SUFFIXES:
        raise ConfigError(
            "this is a checkpoint, not an experiment file",
            file=str(path),
            expected="an experiment in YAML that names it as model.weights",
            fix=f"gradflow inspect {typed(path)} --write mine.yaml, then gradflow run mine.yaml",
        )


def _refuse_damaged(path: Path) -> None:
    if path.name != "config.yaml" or not (path.parent / "manifest.json").is_file():
        return  # not a run's: no manifest is read, nor NumPy imported
    from gradflow.experiment.store.upkeep import examine_config

    damaged = examine_config(path.parent)
    if damaged:
        damaged.fix += "\n  to change a run, say key=value, or edit a copy of the file elsewhere"
        raise damaged


def parse(mapping: Mapping[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """Validate an experiment that is given as a mapping, with the file's keys.

    Raises
    ------
    ConfigError
        With the key of the first mistake.
    """
    return _resolved(as_node(mapping), Path(), overrides, "experiment")


def _resolved(tree: Node, folder: Path, overrides: Sequence[str], name: str) -> Experiment:
    written: dict[str, str] = {}
    tree = _absolute(tree, folder, written)
    for text in overrides:
        tree = _absolute(_override(tree, text), Path(), written)
    experiment = resolve_tree(tree, name)
    experiment.written.update(written)
    return experiment


def resolve_tree(tree: Node, name: str) -> Experiment:
    """Validate an experiment; `name` is its name unless the tree has one.

    Raises
    ------
    ConfigError
        With the place of the first mistake.
    """
    if not isinstance(tree.value, dict):
        raise tree.place.error(
            f"{got(tree.plain)} where an experiment belongs",
            expected="sections such as model, inputs and sweep, each with a colon",
            fix="`gradflow init` writes an experiment to start from",
        )
    try:
        for key in tree.value:
            if key not in Experiment.model_fields:
                raise _unknown_section(key)
        values: dict[str, Any] = {"name": _check_name(tree.value.get("name", Node(name)).value)}
        with inside("sweep"):
            axes = read_axes(tree.value.get("sweep", Node({})))
        gate = tree.value.get("check", Node(None)).plain
        with inside("check"):
            values["check"] = CheckConfig() if gate is None else check_section("check", gate)
    except Mistake as mistake:
        raise tree.locate(mistake.at, key=mistake.on_key).error(
            mistake.problem, key=spell(mistake.at), expected=mistake.expected, fix=mistake.fix
        ) from None
    composer = Composer(tree.without("sweep"), axes)
    for field in FIELDS:
        values[field] = composer.base_section(field)
    for choice in composer.choices(seeds=False):
        composer.point(choice)
    check_effects(composer)
    values["sweep"] = {axis.key: normal(axis) for axis in axes}
    experiment = Experiment.model_construct(**values)
    experiment._notes = tuple(composer.notes)
    experiment.made["composer"] = composer
    _check_asserts(experiment, tree, composer)
    return experiment


def _unknown_section(key: str) -> Mistake:
    """Say where a key belongs that is not one of the file's."""
    homes = [
        f"{section}.{key}"
        for section, models in sections().items()
        if any(key in keys(model) for model in models)
    ]
    fix = f"it belongs to {choices(homes)}" if homes else ""
    return unknown(key, list(ORDER), fix).under(key)


def _check_name(name: Any) -> str:
    if isinstance(name, str) and is_run_name(name):
        return name
    fix = f"write for instance name: {run_name(str(name or 'mine'))}"
    if name is not None and not isinstance(name, str):
        fix = f'put it in quotes: "{got(name)}"'
    raise Mistake(f"{got(name)} cannot name an experiment", RUN_NAME, fix, ("name",))


def _check_asserts(experiment: Experiment, tree: Node, composer: Composer) -> None:
    """An assertion about a cell that no point has would hold for ever."""
    named = [a.cell for a in experiment.check.asserts]
    if not any(named):
        return
    models = [composer.section("model", choice) for choice in composer.choices(seeds=False)]
    known = dict.fromkeys(name for m in models for name in (m.cell.kind, m.cell_label))
    for i, name in enumerate(named):
        if name is not None and name not in known:
            near = nearest(name, known)
            path = ("check", "assert", i, "cell")
            raise tree.locate(path).error(
                f"no point of this experiment has the cell '{name}'",
                key=spell(path),
                expected=f"a kind or a label: {choices(known)}",
                fix=f"did you mean {near}?" if near else "remove the line to mean all cells",
            )


def _absolute(tree: Node, folder: Path, written: dict[str, str]) -> Node:
    """Make paths independent of the folder they are relative to; note how they were written."""

    def whole(node: Node) -> Node:
        if not isinstance(node.value, str) or not node.value:
            return node
        path = os.path.abspath(folder / os.path.expanduser(node.value))
        written.setdefault(path, node.value)
        return Node(path, node.place)

    for path in PATHS:
        if node := tree.at(path):
            tree = tree.put(path, whole(node))
        axis = ("sweep", ".".join(path))
        if (node := tree.at(axis)) and isinstance(node.value, tuple):
            tree = tree.put(axis, Node(tuple(map(whole, node.value)), node.place))
    return tree


def _override(tree: Node, text: str) -> Node:
    """Apply one ``key=value``."""
    name, equals, value = text.partition("=")
    key = name.strip()
    place = Place(f"override {text}", 1, 1 + len(name) - len(name.lstrip()))
    if not equals or not all(key.split(".")):
        raise place.error(
            "this is not key=value",
            expected="a dotted path of the file, '=' and a value",
            fix="write for instance model.hidden=64",
        )
    try:
        node = yaml.parse_yaml(value, place.file, len(name) + 1)
    except ConfigError as error:
        if any(value.count(left) > value.count(right) for left, right in ("{}", "[]")):
            raise Place(place.file, error.line, error.column).error(
                f"{error.problem}: a shell cuts words at spaces",
                fix=f"put all of it in quotes: '{key}={{kind: …}}'",
            ) from None
        raise
    if not value.strip():
        node = Node(None, Place(place.file, 1, len(text) + 1))
    path = tuple(key.split("."))
    if path[0] == "sweep" and len(path) > 1:
        path = ("sweep", ".".join(path[1:]))
    elif path[0] != "sweep":
        tree = _fix(tree, key, place)
    return put(tree, path, node, place)


def _fix(tree: Node, key: str, place: Place) -> Node:
    """Take the axis out of the sweep whose value is fixed."""
    sweep = tree.at(("sweep",))
    axes = sweep.value if sweep and isinstance(sweep.value, dict) else {}
    for axis in axes:
        if key.startswith(f"{axis}."):
            raise place.error(
                f"the sweep varies {axis} as a whole, so this would be lost",
                key=key,
                fix=f"override {axis} or sweep.{axis}",
            )
    return tree.put(("sweep",), sweep.without(key)) if sweep and key in axes else tree
