"""The section ``train``: how nets learn before they are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, PlainValidator, ValidationInfo, model_validator

from gradflow.experiment.config.fields import EveryStep, Section, nested
from gradflow.experiment.config.text.mistakes import Mistake, got, is_number, is_step, nearest

if TYPE_CHECKING:
    from gradflow.core.inputs import Criterion, Task
    from gradflow.core.learning.loop import Method, Rules
    from gradflow.core.learning.optimisers import Optimiser

__all__ = ["ClipConfig", "HeadConfig", "OptimiserConfig", "TrainConfig", "UntilConfig"]

KINDS: TypeAlias = Literal["U", "W", "b", "P", "V"]
RATE = "a number of at least 0, or one for each kind of parameter, {U: …, W: …, b: …, V: …}"
GRADIENT = "exact, carrousel, or {k1: …, k2: …}"


def _rate(value: Any) -> float | dict[str, float]:
    if is_number(value) and 0 <= value < float("inf"):
        return float(value)
    if isinstance(value, dict) and value:
        for name, one in value.items():
            if name not in ("U", "W", "b", "P", "V"):
                known = "U, W, b, P, V (the readout)"
                raise Mistake(f"no parameters are called '{name}'", known, "", (name,), on_key=True)
            if not (is_number(one) and 0 <= one < float("inf")):
                raise Mistake(f"{got(one)} where a rate belongs", RATE, "write 0.1", (name,))
        return {name: float(one) for name, one in value.items()}
    raise Mistake(f"{got(value)} where a learning rate belongs", RATE, "write 0.1")


Rate = Annotated[
    float | dict[str, float],
    PlainValidator(_rate, json_schema_input_type=float | dict[KINDS, float]),
]


class WindowConfig(Section):
    """Truncated BPTT: every k1 steps, k2 steps back."""

    k1: int = Field(ge=1, le=10**9, description="steps between two passes back")
    k2: int = Field(ge=1, le=10**9, description="steps that each pass goes back")

    @model_validator(mode="after")
    def _reaches(self) -> WindowConfig:
        if self.k2 < self.k1:
            raise Mistake(
                f"k2 = {self.k2} is less than k1 = {self.k1}",
                f"at least {self.k1}: else the error of some steps would go nowhere",
                f"write {self.k1} or more",
                ("k2",),
            )
        return self


def _gradient(value: Any, info: ValidationInfo) -> Any:
    if value in ("exact", "carrousel") or isinstance(value, WindowConfig):
        return value
    if isinstance(value, dict):
        for name in ("k1", "k2"):
            if not is_step(value.get(name)):
                problem = f"{got(value.get(name))} where a number of steps belongs"
                raise Mistake(problem, GRADIENT, "write for instance {k1: 10, k2: 20}")
        return nested(WindowConfig, value, info)
    near = nearest(value, ("exact", "carrousel")) if isinstance(value, str) else ""
    fix = f"did you mean {near}?" if near else "write exact"
    raise Mistake(f"{got(value)} is no gradient to learn by", GRADIENT, fix)


class OptimiserConfig(Section):
    """What makes an update of a gradient; the definitions are PyTorch's."""

    kind: Literal["sgd", "momentum", "rmsprop", "adam"] = Field("sgd", description="the rule")
    rate: Rate = Field(0.01, description="learning rate, one or one for each kind of parameter")
    halving: float | None = Field(
        None, gt=0, description="updates in which the rate falls to its half; null: it stays"
    )
    momentum: float | None = Field(None, ge=0, lt=1, description="of momentum: μ, 0.9")
    nesterov: bool | None = Field(None, description="of momentum: Nesterov's, false")
    decay: float | None = Field(None, ge=0, lt=1, description="of rmsprop: ρ, 0.99")
    beta1: float | None = Field(None, ge=0, lt=1, description="of adam: 0.9")
    beta2: float | None = Field(None, ge=0, lt=1, description="of adam: 0.999")
    epsilon: float | None = Field(None, ge=0, description="of rmsprop and adam: 1e-8")

    @model_validator(mode="after")
    def _has(self) -> OptimiserConfig:
        if not self._given():
            return self
        from dataclasses import fields

        from gradflow.core.learning.optimisers import OPTIMISERS

        known = {kind: [f.name for f in fields(rule)] for kind, rule in OPTIMISERS.items()}
        for name in self._given():
            if name not in known[self.kind]:
                owners = " and ".join(kind for kind, names in known.items() if name in names)
                raise Mistake(
                    f"'{name}' is an option of {owners}, {self.kind} has none such",
                    f"one of {', '.join(known[self.kind])}",
                    "remove it, or choose another optimiser",
                    (name,),
                    on_key=True,
                )
        return self

    def _given(self) -> dict[str, Any]:
        names = [name for name in type(self).model_fields if name not in ("kind", "rate")]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def build(self) -> Optimiser:
        """Make the core's."""
        from gradflow.core.learning.optimisers import OPTIMISERS

        return OPTIMISERS[self.kind](self.rate, **self._given())


class ClipConfig(Section):
    """Bounds on the gradient of each net."""

    norm: float | None = Field(None, gt=0, description="of the whole gradient's norm")
    value: float | None = Field(None, gt=0, description="of each component")
    adjoint: float | None = Field(None, gt=0, description="of ‖∂L/∂h_k‖ at every step back")


class HeadConfig(Section):
    """What the net answers: o = φ(V h + S x + b)."""

    bias: bool = Field(False, description="whether there is a b")
    shortcut: bool = Field(False, description="whether outputs see the input, through S")
    activation: Literal["identity", "logistic"] = Field("identity", description="φ")
    init: Literal["normal", "interval"] = Field(
        "normal", description="normal: N(0, gain²/fan-in); interval: U(−gain, gain)"
    )
    gain: float = Field(1.0, ge=0, le=1e100, description="size of the weights that are drawn")


class UntilConfig(Section):
    """When a net has learnt, and stops."""

    within: float | None = Field(
        None, gt=0, description="largest error at any output; null: the largest output is right"
    )
    window: int = Field(2000, ge=1, le=10**6, description="most recent sequences looked at")
    misses: int = Field(0, ge=0, description="how many of them may be wrong")
    mean: float | None = Field(None, gt=0, description="bound on their mean error")
    test: int | None = Field(None, ge=1, le=10**5, description="size of a test set; null: none")
    every: int = Field(100, ge=1, le=10**9, description="updates between two tests")

    @model_validator(mode="after")
    def _can_fail(self) -> UntilConfig:
        size = self.window if self.test is None else self.test
        if self.misses >= size:
            raise Mistake(
                f"{self.misses} of {size} sequences may be wrong, so every net has learnt",
                f"fewer than {size}",
                f"write misses: {size // 20}",
                ("misses",),
            )
        if self.test is None and "every" in self.model_fields_set:
            raise Mistake(
                "without a test set nothing is tested every so many updates",
                "test and every, or neither",
                "add test: 256, or remove every",
                ("every",),
                on_key=True,
            )
        return self


def _until(value: Any, info: ValidationInfo) -> Any:
    if value in ("task", "never") or isinstance(value, UntilConfig):
        return value
    if isinstance(value, dict):
        return nested(UntilConfig, value, info)
    expected = "task (its published criterion), never, or {within: …, window: …}"
    raise Mistake(f"{got(value)} is no criterion", expected, "write never")


class WatchConfig(Section):
    """When windows of updates close, and what is seen then."""

    every: EveryStep = Field("log", description="after each n-th update, or evenly on a log scale")
    sequences: int = Field(4, ge=1, le=10**5, description="whose norms are recorded")
    weights: bool = Field(False, description="keep those of every window, not of the ends alone")


def _lengths(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not (isinstance(value, tuple) and len(value) == 2 and all(map(is_step, value))):
        expected = "two numbers of steps, the shortest and the longest, or null"
        raise Mistake(f"{got(value)} where lengths belong", expected, "write [100, 110]")
    if value[0] > value[1]:
        raise Mistake(f"no length lies between {value[0]} and {value[1]}", fix="swap the two")
    return value[0], value[1]


GradientConfig = Annotated[
    Any,
    PlainValidator(_gradient, json_schema_input_type=Literal["exact", "carrousel"] | WindowConfig),
]
Until = Annotated[
    Any, PlainValidator(_until, json_schema_input_type=Literal["task", "never"] | UntilConfig)
]
Lengths = Annotated[
    tuple[int, int] | None,
    PlainValidator(_lengths, json_schema_input_type=tuple[int, int] | None),
]


class TrainConfig(Section):
    """How nets learn before they are measured; all seeds side by side."""

    optimiser: OptimiserConfig = Field(
        OptimiserConfig(), description="what makes an update of a gradient"
    )
    loss: Literal["mse", "half_squares", "cross_entropy"] | None = Field(
        None, description="what is learnt; null: the loss that is measured"
    )
    clip: ClipConfig = Field(ClipConfig(), description="what is cut off")
    head: HeadConfig = Field(HeadConfig(), description="what reads the state while learning")
    batch: int = Field(1, ge=1, le=10**5, description="sequences of an update")
    updates: int = Field(1000, ge=1, le=10**9, description="the most that there are")
    gradient: GradientConfig = Field(
        "exact", description="exact, carrousel (the truncated one of 1997), or {k1, k2}"
    )
    until: Until = Field(
        "task", description="when a net stops: task (as published), never, or a criterion"
    )
    watch: WatchConfig = Field(WatchConfig(), description="what is looked at on the way")
    pool: int | None = Field(
        None, ge=1, le=10**6, description="learn from so many sequences; null: fresh ones always"
    )
    lengths: Lengths = Field(
        None, description="sequences of own lengths between two; null: all of the length"
    )

    def criterion(self, task: Task) -> Criterion | None:
        """When a net has learnt the task; None: never."""
        from gradflow.core.inputs import Criterion

        if isinstance(self.until, UntilConfig):
            return Criterion(**dict(self.until))
        return task.criterion if self.until == "task" else None

    @property
    def method(self) -> Method:
        """The gradient, in the core's words."""
        if isinstance(self.gradient, WindowConfig):
            return self.gradient.k1, self.gradient.k2
        return self.gradient  # type: ignore[no-any-return]  # one of two words

    def rules(self, task: Task) -> Rules:
        """How nets learn, in the core's words."""
        from gradflow.core.inputs import Criterion
        from gradflow.core.learning.loop import Rules
        from gradflow.core.learning.optimisers import Clip

        return Rules(
            self.optimiser.build(),
            Clip(**dict(self.clip)),
            self.method,
            self.criterion(task),
            Criterion() if task.told_apart else task.criterion,
            watched(self.updates, self.watch.every),
        )


def watched(updates: int, every: int | Literal["log"]) -> tuple[int, ...]:
    """After which updates a window closes: the last always; about 20 a decade on a log scale."""
    if every != "log":
        return (*range(every, updates, every), updates)
    found = {updates}
    step = 10.0
    while step < updates:
        found.add(round(step))
        step *= 10 ** (1 / 20)
    return tuple(sorted(found))
