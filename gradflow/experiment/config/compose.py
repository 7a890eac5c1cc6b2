"""From a tree with axes to validated points: each section is checked once for each of its forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from operator import itemgetter
from typing import Any, TypeAlias

from pydantic.fields import FieldInfo

from gradflow.errors import ConfigError
from gradflow.experiment.config import fit
from gradflow.experiment.config.agreement import (
    check_features,
    check_init,
    check_length,
    check_loss,
    remark,
)
from gradflow.experiment.config.architecture import ModelConfig, beside
from gradflow.experiment.config.axes import Axis
from gradflow.experiment.config.by_kind import FileInputs
from gradflow.experiment.config.checks import check_field, check_section
from gradflow.experiment.config.learnable import check_train
from gradflow.experiment.config.sections import PointConfig
from gradflow.experiment.config.text.mistakes import Mistake, inside
from gradflow.experiment.config.text.nodes import Node, Path, Place, spell

__all__ = ["Choice", "Composer", "put"]

Choice: TypeAlias = tuple[int, ...]
"""The index of a value for each axis."""

FIELDS: dict[str, FieldInfo] = PointConfig.model_fields
SHARED = tuple(name for name in FIELDS if name != "seed")
"""What points share that differ in nothing but their seed, which is checked against nothing."""

DATA = (".npy", ".npz", ".csv", ".txt")


def put(tree: Node, path: tuple[str, ...], node: Node, key: Place | None = None) -> Node:
    """Put a node at a path; a cell that is written as a name makes room for its options."""
    cell = tree.at(("model", "cell"))
    if path[:2] == ("model", "cell") and len(path) > 2 and cell and isinstance(cell.value, str):
        roomy = Node({"kind": cell}, cell.place, {"kind": cell.place})
        tree = tree.put(("model", "cell"), roomy)
    return tree.put(path, node, key)


class Composer:
    """An experiment's tree and axes, and what becomes of them at each point.

    Parameters
    ----------
    base : Node
        The file without its ``sweep``.
    axes : sequence of Axis
        The axes, the last one running fastest.
    """

    def __init__(self, base: Node, axes: Sequence[Axis]) -> None:
        self.base, self.axes = base, tuple(axes)
        self._order = sorted(range(len(axes)), key=lambda i: len(axes[i].path))
        self._own = {
            name: tuple(i for i, axis in enumerate(axes) if axis.path[0] == name) for name in FIELDS
        }
        self._done: dict[tuple[str, ...], tuple[Callable[[Choice], Any], dict[Any, Any]]] = {}
        self.notes: dict[str, None] = {}
        """What is right and should be known: how data were read, keys without effect."""

    def choices(self, *, seeds: bool = True) -> Iterator[Choice]:
        """Every point of the sweep; without `seeds`, with the first seed only."""
        return product(
            *(
                range(len(axis.values) if seeds or axis.path != ("seed",) else 1)
                for axis in self.axes
            )
        )

    def tree(self, choice: Choice) -> Node:
        """The file as it would be written for one point."""
        tree = self.base
        for i in self._order:
            tree = put(tree, self.axes[i].path, self.axes[i].values[choice[i]])
        return tree

    def base_section(self, name: str) -> Any:
        """A section without the sweep, or at the first point where only the sweep completes it."""
        try:
            return _section(name, self.base)
        except Mistake as mistake:
            if any(self._completes(self.axes[i]) for i in self._own[name]):
                return self.section(name, (0,) * len(self.axes))
            raise self._located(mistake.under(name), self.base, ()) from None

    def _completes(self, axis: Axis) -> bool:
        """Whether the axis gives a value where the base has none, nor anything in its way."""
        cell = self.base.at(("model", "cell"))
        above = [self.base.at(axis.path[:k]) for k in range(1, len(axis.path))]
        free = all(
            node is None
            or node.value is None
            or isinstance(node.value, dict)
            or (node is cell and isinstance(node.value, str))
            for node in above
        )
        return free and self.base.at(axis.path) is None

    def section(self, name: str, choice: Choice) -> Any:
        """A section at one point, with what the files it names say."""

        def make() -> Any:
            tree = self.tree(choice)
            value = _section(name, tree)
            if name == "model" and value.weights is not None:
                cell = tree.at(("model", "cell"))
                return fit.fit_weights(value, cell.plain if cell else None)
            if name == "inputs" and isinstance(value, FileInputs):
                fit.check_path(value.path, DATA, ("path",))
            return value

        return self._once((name,), choice, make, name)

    def check(self, choice: Choice) -> dict[str, Any]:
        """Check one point's sections against each other; return what follows for them."""
        model, inputs, init, loss = (
            self.section(name, choice) for name in ("model", "inputs", "init", "loss")
        )
        self.notes |= dict.fromkeys(model.notes)
        for name in ("record", "method", "dtype", "memory", "seed"):
            self.section(name, choice)
        train = self.section("train", choice)
        asked = self.section("length", choice)
        names: tuple[str, ...] = ("inputs", "length")
        if isinstance(inputs, FileInputs):
            if inputs.embedding is not None:
                names = (*names, "model")
            inputs = self._once(names, choice, lambda: fit.fit_file(inputs, asked, model))
            self.notes |= dict.fromkeys(inputs.notes)
        length: int = self._once(("length", *names), choice, lambda: check_length(asked, inputs))
        self._once((*names, "loss"), choice, lambda: check_loss(loss, inputs, length))
        asks = (*names, "model", "loss")
        self._once(asks, choice, lambda: fit.check_files(loss, inputs, length, model))
        self.notes |= dict.fromkeys(remark(loss, inputs, length))
        if not (model.weights is not None and self._some_drawn):
            self._once(("model", "init"), choice, lambda: check_init(init, model))
        self._once(("model", *names), choice, lambda: check_features(model, inputs))
        if train is not None:
            asks = ("model", *names, "loss", "method", "train")
            method = self.section("method", choice)
            self._once(
                asks,
                choice,
                lambda: check_train(train, loss, inputs, length, method, model),
            )
        return {"inputs": inputs, "length": length}

    @property
    def _some_drawn(self) -> bool:
        """Whether the sweep also has nets without a file, whose weights are drawn."""
        return any(
            axis.path == ("model", "weights") and any(value.value is None for value in axis.values)
            for axis in self.axes
        )

    def point(self, choice: Choice) -> PointConfig:
        """The validated configuration of one point."""

        def make() -> PointConfig:
            follows = self.check(choice)
            values = {name: self.section(name, choice) for name in FIELDS}
            return PointConfig.model_construct(**values | follows)

        like: PointConfig = self._once(SHARED, choice, make)
        if not self._own["seed"]:
            return like
        return like.model_copy(update={"seed": self.section("seed", choice)})

    def _once(
        self, names: tuple[str, ...], choice: Choice, make: Callable[[], Any], under: str = ""
    ) -> Any:
        """Make something that depends on some sections only, once for each form of theirs."""
        if names not in self._done:
            own = [i for name in names for i in self._own[name]]
            self._done[names] = itemgetter(*own) if own else len, {}
        form, done = self._done[names]
        key = form(choice)
        if key not in done:
            try:
                done[key] = make()
            except Mistake as mistake:
                whole = mistake.under(under) if under else mistake
                raise self._located(whole, self.tree(choice), choice) from None
        return done[key]

    def _located(self, mistake: Mistake, tree: Node, choice: Choice) -> ConfigError:
        """Say where the value stands: under an axis, if that is where it came from."""
        path: Path = mistake.at
        for i in reversed(self._order if choice else ()):
            axis = self.axes[i]
            if path[: len(axis.path)] == axis.path:
                path = ("sweep", axis.key, choice[i], *path[len(axis.path) :])
                break
        return tree.locate(mistake.at, key=mistake.on_key).error(
            mistake.problem, key=spell(path), expected=mistake.expected, fix=mistake.fix
        )


def _section(name: str, tree: Node) -> Any:
    node = tree.at((name,))
    if node is None or node.value is None:
        field = FIELDS[name]
        if name == "length":
            return None
        if not field.is_required():
            return check_section(name, {}) if name in ("record", "loss") else field.default
        example = {"model": "{cell: lstm}", "inputs": "{kind: noise}"}[name]
        raise Mistake(f"the section {name} is missing", fix=f"add {name}: {example}")
    return check_section(name, _with_cell(node.plain) if name == "model" else node.plain)


def _with_cell(model: Any) -> Any:
    """The section ``model`` with its lowest layer's cell, or its weights', where it names none."""
    if isinstance(model, dict) and isinstance(model.get("layers"), tuple | list):
        with inside("layers"):
            lowest = check_field(ModelConfig, "layers", model["layers"])[0]
        if "cell" in model:
            raise beside("cell")
        return {**model, "cell": lowest.cell}
    if not isinstance(model, dict) or "cell" in model or not isinstance(model.get("weights"), str):
        return model
    names = model.get("names")
    names = check_field(ModelConfig, "names", names) if names is not None else {}
    return {**model, "cell": fit.cell_of(model["weights"], names)}
