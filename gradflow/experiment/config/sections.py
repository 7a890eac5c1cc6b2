"""The experiment file as models: closed, immutable, with a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from gradflow.core.registry import options
from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import Inputs, LossConfig
from gradflow.experiment.config.cell import gates, known_states
from gradflow.experiment.config.derive import Derived, Origin, derived
from gradflow.experiment.config.fields import (
    Bias,
    ChronoConfig,
    EveryStep,
    ForgetBias,
    MemorySize,
    Section,
    Slope,
)
from gradflow.experiment.config.text.mistakes import Mistake, choices, nearest, quote
from gradflow.experiment.config.train import TrainConfig

if TYPE_CHECKING:
    from gradflow.core.network.initialise import Init
    from gradflow.experiment.recordings import Recording

__all__ = [
    "ORDER",
    "AssertConfig",
    "CheckConfig",
    "Experiment",
    "InitConfig",
    "PointConfig",
    "RecordConfig",
    "record_model",
]

ORDER = (
    "name", "model", "inputs", "init", "loss", "sweep", "length", "seed", "dtype", "memory",
    "method", "train", "record", "check",
)  # fmt: skip
"""The keys of a file in the order in which they are written and named."""

STATES = ("h", "c", "s")
"""What is recorded unless a file says otherwise."""

ABOUT_STATES = "what norms are of: parts of the state, s the state itself, x the input"

SchemeName: TypeAlias = Literal["normal", "uniform", "interval", "glorot", "orthogonal", "identity"]
Gain: TypeAlias = Annotated[float, Field(ge=0, le=1e100)]


class InitConfig(Section):
    """How weights are drawn."""

    recurrent: SchemeName = Field("orthogonal", description="scheme of the recurrent weights W")
    recurrent_gain: Gain = Field(1.0, description="factor of W")
    input: SchemeName = Field("glorot", description="scheme of the input weights U")
    input_gain: Gain = Field(1.0, description="factor of U")
    peephole: SchemeName = Field("uniform", description="scheme of an LSTM's peepholes P")
    peephole_gain: Gain = Field(1.0, description="factor of P")
    forget_bias: ForgetBias = Field(
        1.0, description="bias of the gate that keeps, or {chrono: T_max}; null: the cell's own"
    )
    bias: dict[str, Bias] = Field(
        default={}, description="biases by gate, over all else: one, or one for each unit"
    )
    like: Literal["pytorch", "keras"] | None = Field(
        None, description="draw what this framework draws for such a layer, biases included"
    )

    @model_validator(mode="after")
    def _alone(self) -> InitConfig:
        """Whatever stands beside `like` would have no effect."""
        for name in sorted(self.model_fields_set - {"like"}) if self.like else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise Mistake(
                    f"like: {self.like} draws all weights and biases, so {name} has no effect",
                    "like, or the other keys",
                    f"remove {name} or like",
                    (name,),
                    on_key=True,
                )
        return self

    @model_validator(mode="after")
    def _known_gates(self) -> InitConfig:
        for gate in self.bias:
            if gate not in gates():
                near = nearest(gate, gates())
                fix = f"did you mean {near}?" if near else "remove it"
                offer = f"one of the gates {', '.join(gates())}"
                raise Mistake(
                    f"no cell has a gate '{gate}'", offer, fix, ("bias", gate), on_key=True
                )
        return self

    def build(self) -> Init:
        """Make the core's description of it."""
        from gradflow.core.network.initialise import Chrono as CoreChrono
        from gradflow.core.network.initialise import Init

        bias = self.forget_bias
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["forget_bias"] = CoreChrono(bias.chrono) if isinstance(bias, ChronoConfig) else bias
        return Init(**values)


class RecordConfig(Derived):
    """What is kept."""

    states: tuple[str, ...] = Field(STATES, min_length=1, description=ABOUT_STATES)
    every: EveryStep = Field(1, description="keep each n-th step, or about evenly on a log scale")

    @field_validator("states")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for i, state in enumerate(given):
            if state in given[:i]:
                raise Mistake(f"{state} is given twice", fix="remove one", at=(i,))
        return tuple(sorted(given, key=known_states().index))

    def asks(self, name: str) -> bool:
        """Whether a recording is asked for."""
        return bool(getattr(self, name, False))

    @property
    def asked(self) -> tuple[Recording, ...]:
        """The recordings that are asked for beside the norms, each with its options."""
        from gradflow.experiment.recordings import RECORDINGS

        names = [name for name in type(self).model_fields if name not in RecordConfig.model_fields]
        values = {name: getattr(self, name) for name in names if getattr(self, name)}
        return tuple(
            RECORDINGS.get(name)() if value is True else value.build()
            for name, value in values.items()
        )


def record_model() -> type[RecordConfig]:
    """The section ``record``: any part of a cell's state, and a key for each recording."""
    from gradflow.experiment.recordings import RECORDINGS

    return _record_model(known_states(), RECORDINGS.names())


@cache
def _record_model(parts: tuple[str, ...], names: tuple[str, ...]) -> type[RecordConfig]:
    from gradflow.experiment.recordings import RECORDINGS

    keys = {name: _recording(RECORDINGS.get(name)) for name in names}
    each = tuple[Literal[parts], ...]  # type: ignore[valid-type]
    keys["states"] = each, Field(STATES, min_length=1, description=ABOUT_STATES)
    origin = Origin(_record_model, parts, names)
    return derived(RecordConfig, "RecordConfig", origin, extra=keys)


def _recording(owner: type[Recording]) -> tuple[Any, Any]:
    """The key of a recording: true or false, or a mapping with its options."""
    about = owner.summary + f"; `plot --kind {owner.figure}`" * bool(owner.figure)
    known = options(owner)
    if not known:
        return bool, Field(False, description=about)
    model = recording_options(owner.name)
    short = BeforeValidator(_short if not any(o.required for o in known.values()) else _off)
    return Annotated[model | None, short], Field(None, description=about)


def _short(value: Any) -> Any:
    return {True: {}, False: None}.get(value, value) if isinstance(value, bool) else value


def _off(value: Any) -> Any:
    return None if value is False else value


@cache
def recording_options(name: str) -> type[Derived]:
    """The options of a recording."""
    from gradflow.experiment.recordings import RECORDINGS

    return derived(Derived, name, Origin(recording_options, name), RECORDINGS.get(name))


class AssertConfig(Section):
    """A fact that holds without a baseline."""

    cell: str | None = Field(None, description="kind or label of the cells meant; null: all")
    state: str = Field("h", description="the norm meant")
    flat: float | None = Field(None, gt=0, description="all norms within this many decades")
    slope: Slope | None = Field(None, description="bounds on the decades lost a step")

    @field_validator("state")
    @classmethod
    def _known(cls, state: str) -> str:
        if state not in known_states():
            raise Mistake(f"unknown state {quote(state)}", choices(known_states()))
        return state

    @model_validator(mode="after")
    def _says_something(self) -> AssertConfig:
        if self.flat is None and self.slope is None:
            raise Mistake(
                "nothing is asserted", "flat, slope or both", "add for instance flat: 1e-9"
            )
        return self


class CheckConfig(Section):
    """The gate."""

    tolerance: float = Field(1e-6, gt=0, le=100, description="in decades")
    asserts: tuple[AssertConfig, ...] = Field(
        (), alias="assert", description="facts that hold without a baseline"
    )


class Settings(Section):
    """What the experiment and each of its points have in common."""

    model: ModelConfig = Field(description="the network")
    inputs: SerializeAsAny[Inputs] = Field(description="what it reads")
    init: InitConfig = Field(InitConfig(), description="how weights are drawn")
    loss: SerializeAsAny[LossConfig] = Field(
        LossConfig(), description="the scalar of each sequence whose derivatives are measured"
    )
    record: SerializeAsAny[RecordConfig] = Field(RecordConfig(), description="what is kept")
    length: int | None = Field(None, ge=1, le=10**9, description="steps; null: all of a file")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of weights and probe")
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="what is computed in; norms are stored as float64 logarithms"
    )
    memory: MemorySize = Field(2 << 30, description="budget, for instance 512MiB")
    method: Literal["bptt", "rtrl", "carrousel"] = Field(
        "bptt",
        description="exact, back or forward in time; carrousel: the truncated gradient of 1997",
    )
    train: TrainConfig | None = Field(None, description="how nets learn first; null: they do not")


class PointConfig(Settings):
    """One point of the sweep: the experiment with every axis at one value."""

    length: int = Field(ge=1)


@dataclass(eq=False)
class Beside:
    """What an experiment carries that makes it no other one: see `Experiment`."""

    source: str = ""
    words: str = ""
    written: dict[str, str] = dataclass_field(default_factory=dict)
    made: dict[str, Any] = dataclass_field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Beside)

    def __reduce__(self) -> tuple[object, ...]:
        """Leave behind what can be made again."""
        return Beside, (self.source, self.words, self.written)


class Experiment(Settings):
    """A whole experiment file; `sweep` holds the normal form of each axis' values."""

    name: str = Field(description="of the run and its folder; by default the file's")
    sweep: dict[str, tuple[Any, ...]] = Field(default={})
    check: CheckConfig = Field(CheckConfig(), description="what `gradflow check` holds a run to")

    _notes: tuple[str, ...] = PrivateAttr(())
    _beside: Beside = PrivateAttr(default_factory=Beside)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is right and should be known: how data were read, keys without effect."""
        return self._notes

    @property
    def source(self) -> str:
        """The file it was read from, whole; empty where there is none."""
        return self._beside.source

    @property
    def words(self) -> str:
        """What stands for the words it was asked for in, see `names.asked_in`; or empty."""
        return self._beside.words

    @property
    def written(self) -> dict[str, str]:
        """Paths as the user wrote them, by what they led to."""
        return self._beside.written

    @property
    def made(self) -> dict[str, Any]:
        """What was made of the experiment and need not be made twice, such as its points."""
        return self._beside.made

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which makes its own points."""
        copy = super().model_copy(update=update, deep=deep)
        copy._beside = Beside(self.source, written=self.written)
        return copy
