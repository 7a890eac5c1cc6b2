"""The ``inputs`` section: a model for each kind, with that kind's own options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, PrivateAttr

from gradflow.experiment.config.fields import Section, Sequences

if TYPE_CHECKING:
    from gradflow.core.inputs import Task

__all__ = ["INPUTS", "AnyInputs", "FileInputs", "Inputs"]


class Inputs(Section):
    """What every kind has; the subclasses add their options."""

    kind: str
    sequences: int = Field(16, ge=1, le=1_000_000, description="number of sequences")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of the data")

    @property
    def longest(self) -> int | None:
        """All the steps there are; None if they have no end."""
        return None

    @property
    def options(self) -> dict[str, Any]:
        """The options of this kind alone."""
        return {
            n: getattr(self, n) for n in type(self).model_fields if n not in Inputs.model_fields
        }

    @property
    def task(self) -> Task:
        """What the source of this kind declares."""
        from gradflow.experiment.data import sources

        return sources.task(self.kind)

    @property
    def targets(self) -> Literal["none", "values", "classes"]:
        """What a loss may compare outputs with."""
        from gradflow.experiment.data import sources

        return sources.target_kind(self)

    @property
    def shortest(self) -> int:
        """The fewest steps that make sense."""
        return self.task.shortest(**self.options)


class Sized(Inputs):
    """A kind whose number of features follows from its options."""

    @property
    def features(self) -> int:
        """Count the features of each step."""
        return self.task.features(**self.options)


class NoiseInputs(Inputs):
    """Gaussian noise, independent in every feature and step."""

    kind: Literal["noise"]
    features: int = Field(1, ge=1, le=65536, description="number of features")
    scale: float = Field(1.0, ge=0, description="standard deviation; 0 is silence")


class DigitsInputs(Sized):
    """Hand-written digits, pixel by pixel, image after image."""

    kind: Literal["digits"]
    sequences: int = Field(16, ge=1, le=1797, description="number of sequences")

    @property
    def longest(self) -> int:
        """The pixels of all images."""
        return 1797 * 64


class AddingInputs(Sized):
    """The adding problem."""

    kind: Literal["adding"]


class CopyInputs(Sized):
    """The copying problem."""

    kind: Literal["copy"]
    symbols: int = Field(8, ge=1, le=10_000, description="size of the alphabet")
    memory: int = Field(10, ge=1, le=1_000_000, description="length of the string to remember")


class TemporalOrderInputs(Sized):
    """Which of two symbols came first."""

    kind: Literal["temporal-order"]


class ReberInputs(Sized):
    """Strings of the embedded Reber grammar, without end."""

    kind: Literal["reber"]


class DistractorsInputs(Sized):
    """A value to store, noise to ignore, a cue to recall."""

    kind: Literal["distractors"]
    scale: float = Field(1.0, ge=0, description="standard deviation of the distractors")


class FileInputs(Inputs):
    """Series from a .npy, .npz or .csv file, or the characters of a .txt file."""

    kind: Literal["file"]
    sequences: Sequences = Field(  # type: ignore[assignment]  # no number until the file is read
        None, description="number of sequences; null: all, a text in one piece"
    )
    path: str = Field(min_length=1, description="relative to this file")

    _features: int = PrivateAttr(0)
    _ends: bool = PrivateAttr(False)
    _steps: int = PrivateAttr(0)

    @property
    def longest(self) -> int:
        """The steps that were read, all if no length was asked for."""
        return self._steps

    @property
    def features(self) -> int:
        """The features of each step; 0 before the file is read."""
        return self._features

    @property
    def ends(self) -> bool:
        """Whether the last step has no target because the file ends there."""
        return self._ends

    def known(self, steps: int, features: int, sequences: int, *, ends: bool) -> FileInputs:
        """Return the section as the file completes it."""
        whole = self.model_copy(update={"sequences": sequences})
        whole._features, whole._ends, whole._steps = features, ends, steps
        return whole


AnyInputs: TypeAlias = Annotated[
    NoiseInputs
    | DigitsInputs
    | AddingInputs
    | CopyInputs
    | TemporalOrderInputs
    | ReberInputs
    | DistractorsInputs
    | FileInputs,
    Field(discriminator="kind"),
]

INPUTS: dict[str, type[Inputs]] = {
    model.__name__.removesuffix("Inputs").lower(): model
    for model in (NoiseInputs, DigitsInputs, AddingInputs, CopyInputs, ReberInputs)
} | {
    "temporal-order": TemporalOrderInputs,
    "distractors": DistractorsInputs,
    "file": FileInputs,
}
"""The models by kind."""
