"""The sections ``inputs`` and ``loss``: a model for each kind, made from its class's options."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from gradflow.experiment.config.derive import Derived, Origin, derived
from gradflow.experiment.config.fields import Columns, LossAt, SequenceCount
from gradflow.experiment.config.text.mistakes import Mistake

if TYPE_CHECKING:
    from gradflow.core.inputs import Batch, Task
    from gradflow.core.network.losses import Loss
    from gradflow.core.typing import Array

__all__ = [
    "FileInputs", "Inputs", "LossConfig", "input_kinds", "input_model", "loss_kinds", "loss_model",
]  # fmt: skip


class Inputs(Derived):
    """What every kind has; the options are the task's."""

    kind: str
    sequences: int = Field(16, ge=1, le=1_000_000, description="number of sequences")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the data")

    def own_lengths(self, length: int) -> Array | None:
        """Where each of the sequences ends, if not all of them at `length`."""
        return None

    @property
    def task(self) -> Task:
        """The task with these options."""
        task: Task = self.build()
        return task


class FileInputs(Inputs):
    """Series from a .npy, .npz or .csv file, or the characters of a .txt file."""

    kind: Literal["file"]
    sequences: SequenceCount = Field(  # type: ignore[assignment]  # no number until the file is read
        None, description="number of sequences; null: all, a text in one piece"
    )
    path: str = Field(min_length=1, description="relative to this file")
    columns: Columns = Field(
        None, description="the features to read: names of columns, or positions from 0; null: all"
    )

    embedding: str | None = Field(
        None,
        min_length=1,
        description="the file holds tokens: rows of this matrix of model.weights",
    )

    _weights: str = PrivateAttr("")
    _notes: tuple[str, ...] = PrivateAttr(())
    _features: int = PrivateAttr(0)
    _ends: bool = PrivateAttr(False)
    _steps: int = PrivateAttr(0)
    _lengths: tuple[int, ...] = PrivateAttr(())

    @property
    def task(self) -> Task:
        """What is known of the file; its features and steps are 0 before it is read."""
        from gradflow.experiment.data.sources import File

        read = (self._features, self._steps, self._lengths)
        return File(self.path, self.columns, *read, tokens=self.embedding is not None)

    @property
    def table(self) -> Array | None:
        """The embedding, ``(tokens, features)``."""
        from gradflow.experiment.models.weights import read_near

        if self.embedding is None:
            return None
        return read_near(self._weights, self.embedding, "an embedding")[0]

    def own_lengths(self, length: int) -> Array | None:
        """See `Inputs.own_lengths`; those of the file, cut to `length`."""
        import numpy as np

        own = np.minimum(np.array(self._lengths, int), length)
        return own if (own < length).any() else None

    @property
    def ends(self) -> bool:
        """Whether some last step has no target because the file ends there."""
        return self._ends

    @property
    def notes(self) -> tuple[str, ...]:
        """How the file was read, and what looks as if it were no feature."""
        return self._notes

    def looked_up_in(self, weights: str) -> FileInputs:
        """Return the section with the file that its embedding stands in."""
        whole = self.model_copy()
        whole._weights = weights
        return whole

    def known(self, batch: Batch, notes: Sequence[str] = ()) -> FileInputs:
        """Return the section as the file completes it."""
        steps, _, features, sequences = batch.x.shape
        whole = self.model_copy(update={"sequences": sequences})
        whole._notes, whole._ends = tuple(notes), batch.ends
        whole._features, whole._steps = features, steps
        whole._lengths = () if batch.lengths is None else tuple(batch.lengths.tolist())
        return whole


def input_kinds() -> tuple[str, ...]:
    """Every kind of inputs."""
    from gradflow.experiment.data.sources import TASKS

    return (*TASKS.names(), "file")


@cache
def input_model(kind: str) -> type[Inputs]:
    """The section for a kind of inputs."""
    from gradflow.experiment.data.sources import TASKS

    if kind == "file":
        return FileInputs
    owner = TASKS.get(kind)
    extra: dict[str, Any] = {"kind": (Literal.__getitem__(kind), ...)}
    if owner.most is not None:
        many = Field(16, ge=1, le=owner.most, description="number of sequences")
        extra["sequences"] = (int, many)
    return derived(Inputs, f"{owner.__name__}Inputs", Origin(input_model, kind), owner, extra)


class LossConfig(Derived):
    """The scalar whose derivatives are measured."""

    kind: str = "probe"
    at: LossAt = Field(
        "last",
        description="last, all, or a list of steps counted from 1; ends: each direction's own",
    )
    of: str = Field("h", min_length=1, description="the part of the state that is looked at")
    head: str | None = Field(
        None, min_length=1, description="the readout, by its name in the file of model.weights"
    )
    targets: str | None = Field(
        None, min_length=1, description="a .npy or .npz of classes or values; null: the inputs' own"
    )
    path: str | None = Field(
        None, min_length=1, description="cotangents of a given loss, in a .npy or .npz"
    )

    @model_validator(mode="before")
    @classmethod
    def _given_everywhere(cls, value: Any) -> Any:
        """Cotangents are given at every step, unless only some are asked for."""
        given = isinstance(value, dict) and value.get("kind") == "given"
        return {"at": "all", **value} if given else value

    @model_validator(mode="after")
    def _files(self) -> LossConfig:
        """Each kind has the files that it reads."""
        if self.kind == "given" and self.path is None:
            raise Mistake(
                "a given loss reads its cotangents from a file", "path", "add path: dy.npy"
            )
        lost = "path" if self.kind != "given" and self.path is not None else ""
        if self.targets is not None and not self.compares:
            lost = "targets"
        if lost:
            raise Mistake(
                f"{lost} has no effect on the loss {self.kind}",
                "path with given, targets with a loss that compares",
                f"remove {lost}",
                (lost,),
                on_key=True,
            )
        return self

    @model_validator(mode="after")
    def _together(self) -> Any:
        """Nothing yet: a loss is built when its targets are there."""
        return self

    @property
    def core(self) -> type[Loss]:
        """The loss's class."""
        from gradflow.core.network.losses import LOSSES

        return LOSSES.get(self.kind)

    @property
    def compares(self) -> str:
        """The targets that it compares outputs with, values or classes; empty if with none."""
        return self.core.compares if self.core.compares in ("values", "classes") else ""

    @property
    def draws(self) -> bool:
        """Whether it draws numbers of its own, or a readout."""
        from gradflow.core.network.losses import Loss

        own = self.core.drawn.__func__ is not Loss.drawn.__func__  # type: ignore[attr-defined]  # classmethods
        return own or (bool(self.compares) and self.head is None)

    def build(self, **given: Any) -> Loss:
        """Make the loss with what the house hands in."""
        return self.core(at=self.at, of=self.of, **self.options, **given)


def loss_kinds() -> tuple[str, ...]:
    """Every kind of loss."""
    from gradflow.core.network.losses import LOSSES

    return LOSSES.names()


@cache
def loss_model(kind: str) -> type[LossConfig]:
    """The section for a kind of loss."""
    from gradflow.core.network.losses import LOSSES

    owner, always = LOSSES.get(kind), kind == LossConfig.model_fields["kind"].default
    extra = {"kind": (Literal.__getitem__(kind), kind if always else ...)}
    return derived(LossConfig, f"{owner.__name__}Loss", Origin(loss_model, kind), owner, extra)
