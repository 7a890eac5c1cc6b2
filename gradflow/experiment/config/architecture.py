"""The section ``model``: one cell for all layers, a cell for each, or what a checkpoint holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SerializeAsAny,
    ValidationInfo,
    model_validator,
)

from gradflow.experiment.config.cell import CellConfig
from gradflow.experiment.config.fields import Section, nested
from gradflow.experiment.config.text.mistakes import Mistake, got, inside, is_step, is_whole

if TYPE_CHECKING:
    from gradflow.core.cells import Cell
    from gradflow.core.network.stack import Network
    from gradflow.experiment.models.weights import Imported

__all__ = ["LayerConfig", "ModelConfig", "beside"]

MOST = 64
OWN = ("hidden", "bidirectional", "weights")
"""Keys that say nothing beside a list of layers."""


class LayerConfig(Section):
    """One layer of a stack whose layers have cells, sizes and directions of their own."""

    cell: SerializeAsAny[CellConfig] = Field(description="a kind of cell, or its kind with options")
    hidden: int = Field(32, ge=1, le=65536, description="units of the layer")
    bidirectional: bool = Field(False, description="read the layer below backward as well")

    @property
    def written(self) -> dict[str, Any]:
        """The shortest spelling in an experiment file."""
        return {**self.model_dump(exclude_defaults=True), "cell": self.cell.written}

    @property
    def label(self) -> str:
        """The name in tables, e.g. ``lstm 8 ↔``."""
        return f"{self.cell.label} {self.hidden}{' ↔' * self.bidirectional}"


LAYERS = f"how many, from 1 to {MOST}, or a list with a cell for each layer"


def _layers(value: Any, info: ValidationInfo) -> int | tuple[LayerConfig, ...]:
    if is_step(value) and value <= MOST:
        return int(value)
    if is_whole(value):
        problem = f"{value} is too {'large' if value > MOST else 'small'}"
        raise Mistake(problem, LAYERS, f"write layers: {MOST if value > MOST else 1}")
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= MOST:
        fix = "write 2, or [{cell: lstm, hidden: 8}, {cell: gru, hidden: 4}]"
        raise Mistake(f"{got(value)} where layers belong", LAYERS, fix)
    found = []
    for i, one in enumerate(value):
        with inside(i):
            made = {"cell": one} if isinstance(one, str) else one
            found.append(one if isinstance(one, LayerConfig) else nested(LayerConfig, made, info))
    return tuple(found)


Layers = Annotated[
    int | tuple[LayerConfig, ...],
    PlainValidator(_layers, json_schema_input_type=int | tuple[LayerConfig, ...]),
    PlainSerializer(lambda given: given if isinstance(given, int) else [o.written for o in given]),
]


def beside(name: str) -> Mistake:
    """Say that a key stands beside layers that each have their own."""
    return Mistake(
        f"{name} stands beside a list of layers, each of which has its own",
        "a list of layers, or one cell, size and number of layers",
        f"remove {name}, or write layers: 2",
        (name,),
        on_key=True,
    )


class ModelConfig(Section):
    """The network."""

    cell: SerializeAsAny[CellConfig] = Field(description="a kind of cell, or its kind with options")
    hidden: int = Field(32, ge=1, le=65536, description="units of each layer")
    layers: Layers = Field(
        1, description="layers of the stack: how many, or a list of {cell, hidden, bidirectional}"
    )
    bidirectional: bool = Field(False, description="read the input backward as well")
    weights: str | None = Field(
        None, min_length=1, description="a checkpoint, or file#prefix; sizes follow from it"
    )
    state: str | None = Field(
        None, min_length=1, description="initial states h0, c0 in an .npz; null: zero"
    )
    names: dict[str, str] = Field(
        default={}, description="PyTorch's names to those that the weights have instead"
    )

    _reads: int | None = PrivateAttr(None)
    _stack: tuple[Any, ...] = PrivateAttr(())
    _notes: tuple[str, ...] = PrivateAttr(())
    _asked: dict[str, Any] | None = PrivateAttr(None)
    _begins: int = PrivateAttr(0)

    def __hash__(self) -> int:
        values = [getattr(self, name) for name in type(self).model_fields if name != "names"]
        return hash((*values, *sorted(self.names.items())))

    @model_validator(mode="after")
    def _each_its_own(self) -> ModelConfig:
        for name in OWN if isinstance(self.layers, tuple) else ():
            if name in self.model_fields_set:
                raise beside(name)
        return self

    @property
    def reads(self) -> int | None:
        """The number of features that imported weights read."""
        return self._reads

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted of imported weights."""
        return self._notes

    @property
    def begins(self) -> int:
        """How many sequences the weights' file has an initial state for; see `Imported`."""
        return self._begins

    @property
    def asked(self) -> dict[str, Any]:
        """The cell's options before imported weights completed them."""
        return self.cell.options if self._asked is None else self._asked

    def known(self, net: Imported, asked: dict[str, Any]) -> ModelConfig:
        """Return the section as weights imported for the options `asked` complete it.

        The lowest layer stands for all.
        """
        sizes = {
            "hidden": net.cell.hidden,
            "layers": net.layers,
            "bidirectional": any(layer.bidirectional for layer in net.stack),
        }
        cell = CellConfig.model_validate({"kind": net.kind, **net.options})
        whole = self.model_copy(update={"cell": cell, **sizes})
        whole._reads, whole._stack, whole._notes = net.inputs, net.stack, net.notes
        whole._asked, whole._begins = asked, net.begins
        return whole

    @property
    def cells(self) -> tuple[CellConfig, ...]:
        """The cells that are drawn: one for all layers, or one for each."""
        return (
            tuple(one.cell for one in self.layers)
            if isinstance(self.layers, tuple)
            else (self.cell,)
        )

    @property
    def backward(self) -> bool:
        """Whether any layer reads backward."""
        return self.build(1).bidirectional

    @property
    def cell_label(self) -> str:
        """The cell's name in tables and plots."""
        own = self._stack or isinstance(self.layers, tuple)
        return self.build(1).label if own else self.cell.label

    def build_cells(self) -> list[Cell]:
        """Make the cell of each layer, bottom up."""
        return [layer.cell for layer in self.build(1).layers]

    def build(self, features: int) -> Network:
        """Make the network for inputs of so many features."""
        from gradflow.core.network.stack import Layer, Network

        if self._stack:
            return Network(features, self._stack)
        if isinstance(self.layers, int):
            cell = self.cell.build(self.hidden)
            return Network.of(cell, features, self.layers, self.bidirectional)
        each = [Layer(one.cell.build(one.hidden), one.bidirectional) for one in self.layers]
        return Network(features, tuple(each))
