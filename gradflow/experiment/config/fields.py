"""What the sections are made of: the closed base class, and values of more than one form."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
)

from gradflow.experiment.config.text.mistakes import (
    Mistake,
    got,
    is_number,
    is_step,
    is_whole,
    nearest,
    quote,
)

__all__ = [
    "Bias",
    "ChronoConfig",
    "Columns",
    "EveryStep",
    "ForgetBias",
    "LossAt",
    "MemorySize",
    "Section",
    "SequenceCount",
    "Slope",
    "nested",
]


class Section(BaseModel):
    """A mapping in the experiment file: closed, typed strictly, immutable."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_by_name=True
    )


M = TypeVar("M", bound=Section)


def nested(model: type[M], value: Any, info: ValidationInfo) -> M:
    """Validate a section in a section, by what validates the outer one (its context)."""
    validate = info.context
    made: M = validate(model, value) if validate else model.model_validate(value)
    return made


class ChronoConfig(Section):
    """Forget biases spread over memories of up to `chrono` steps (Tallec & Ollivier 2018)."""

    chrono: int = Field(ge=2, le=10**9, description="longest memory in steps, T_max")


BIAS = "a number, {chrono: T_max} with T_max of at least 2, or null"


def _forget_bias(value: Any) -> float | ChronoConfig | None:
    if value is None or isinstance(value, ChronoConfig):
        return value
    if is_number(value) and abs(value) < float("inf"):
        return float(value)
    if isinstance(value, dict) and set(value) == {"chrono"}:
        steps = value["chrono"]
        if is_step(steps) and 2 <= steps <= 10**9:
            return ChronoConfig(chrono=steps)
        if isinstance(steps, int) and not isinstance(steps, bool):
            problem = f"a longest memory of {steps} is too {'large' if steps > 1 else 'small'}"
        else:
            problem = f"{got(steps)} where the longest memory in steps belongs"
        raise Mistake(
            problem,
            "a whole number from 2 to 1,000,000,000",
            "write {chrono: 100}",
            ("chrono",),
        )
    if is_number(value):
        raise Mistake(f"{got(value)} is not a finite number", BIAS, "write 1.0 or {chrono: 100}")
    if value == "chrono":
        raise Mistake("chrono needs its longest memory", BIAS, "write {chrono: 100}")
    raise Mistake(f"{got(value)} where a bias belongs", BIAS, "write 1.0 or {chrono: 100}")


ForgetBias = Annotated[
    float | ChronoConfig | None,
    PlainValidator(_forget_bias, json_schema_input_type=float | ChronoConfig | None),
    PlainSerializer(lambda bias: bias.model_dump() if isinstance(bias, ChronoConfig) else bias),
]

BIASES = "a number, or a list with one for each unit"


def _one_or_each(value: Any) -> float | tuple[float, ...]:
    if is_number(value) and abs(value) < float("inf"):
        return float(value)
    if isinstance(value, tuple | list) and value:
        for i, one in enumerate(value):
            if not (is_number(one) and abs(one) < float("inf")):
                raise Mistake(f"{got(one)} where a bias belongs", BIASES, "write 1.0", (i,))
        return tuple(map(float, value))
    if is_number(value):
        raise Mistake(f"{got(value)} is not a finite number", BIASES, "write 1.0")
    raise Mistake(f"{got(value)} where a bias belongs", BIASES, "write 1.0")


Bias = Annotated[
    float | tuple[float, ...],
    PlainValidator(_one_or_each, json_schema_input_type=float | tuple[float, ...]),
    PlainSerializer(lambda bias: bias if is_number(bias) else tuple(bias)),
]

AT = "last, all, ends, or a list of steps counted from 1"


def _at(value: Any) -> Literal["last", "all", "ends"] | tuple[int, ...]:
    if value == "last" or value == "all" or value == "ends":
        return value  # type: ignore[no-any-return]  # one of those that were just tested
    if isinstance(value, tuple):
        for i, step in enumerate(value):
            if not is_step(step):
                raise Mistake(f"{got(step)} is not a step", AT, "write for instance [10, 20]", (i,))
            if step in value[:i]:
                raise Mistake(f"step {step} is given twice", fix="keep one of the two", at=(i,))
        if value:
            return tuple(sorted(value))
        raise Mistake("an empty list: there would be no loss", AT, "write last")
    if is_step(value):
        raise Mistake(f"{value} where a list belongs", AT, f"write [{value}]")
    near = nearest(value, ("last", "all", "ends")) if isinstance(value, str) else ""
    fix = f"did you mean {near}?" if near else "write last"
    raise Mistake(f"{got(value)} where the loss's steps belong", AT, fix)


LossAt = Annotated[
    Literal["last", "all", "ends"] | tuple[int, ...],
    PlainValidator(_at, json_schema_input_type=Literal["last", "all", "ends"] | tuple[int, ...]),
]

EVERY = "a whole number of at least 1, or log"


def _every(value: Any) -> int | Literal["log"]:
    if value == "log" or is_step(value):
        return value  # type: ignore[no-any-return]  # one of the two that were just tested
    raise Mistake(f"{quote(value)} is no distance between recorded steps", EVERY, "write 1 or log")


EveryStep = Annotated[
    int | Literal["log"],
    PlainValidator(_every, json_schema_input_type=int | Literal["log"]),
]

SEQUENCES = "a whole number from 1 to 1,000,000, or null for all"


def _sequences(value: Any) -> int | None:
    if value is None or (is_step(value) and value <= 10**6):
        return value  # type: ignore[no-any-return]  # one of the two that were just tested
    raise Mistake(f"{got(value)} where a number of sequences belongs", SEQUENCES, "write null")


SequenceCount = Annotated[int, PlainValidator(_sequences, json_schema_input_type=int | None)]

COLUMNS = "a list of the columns' names, or of positions from 0"


def _columns(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, tuple) or not value:
        raise Mistake(f"{got(value)} where columns belong", COLUMNS, "write for instance [a, b]")
    names = tuple(str(name) if is_whole(name) else name for name in value)
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise Mistake(f"{got(name)} names no column", COLUMNS, "put it in quotes", (i,))
        if name in names[:i]:
            raise Mistake(f"column {name} is given twice", COLUMNS, "remove one", (i,))
    return names


Columns = Annotated[
    tuple[str, ...] | None,
    PlainValidator(_columns, json_schema_input_type=tuple[str | int, ...] | None),
]

UNITS = {"B": 1} | {
    f"{letter}{middle}B": base**power
    for middle, base in (("i", 1024), ("", 1000))
    for power, letter in enumerate("KMGT", start=1)
}
UNITS["kB"] = UNITS["KB"]
AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")
MEMORY = "an amount such as 512MiB or 2GiB, or a number of bytes, from 1MiB to 1024TiB"


def _memory(value: Any) -> int:
    if isinstance(value, str) and (match := AMOUNT.fullmatch(value)):
        units = {unit.lower(): size for unit, size in UNITS.items()}
        if match[2].lower() in units and len(match[1]) < 20:
            value = int(float(match[1]) * units[match[2].lower()])
    if is_step(value) and UNITS["MiB"] <= value <= 1024 * UNITS["TiB"]:
        return value  # type: ignore[no-any-return]  # a whole number, just tested
    raise Mistake(f"{got(value)} where an amount of memory belongs", MEMORY, "write 2GiB")


def spell_memory(amount: int) -> str | int:
    """Write bytes in the largest unit that holds them exactly."""
    for unit in ("TiB", "GiB", "MiB"):
        if amount % UNITS[unit] == 0:
            return f"{amount // UNITS[unit]}{unit}"
    return amount


MemorySize = Annotated[
    int,
    PlainValidator(_memory, json_schema_input_type=int | str),
    PlainSerializer(spell_memory, return_type=str | int),
]


def _slope(value: Any) -> tuple[float, float]:
    expected = "two numbers, the lowest and the highest slope in decades a step"
    if not (isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))):
        raise Mistake(f"{got(value)} where bounds belong", expected, "write [-0.6, -0.1]")
    low, high = map(float, value)
    if not (-float("inf") < low < high < float("inf")):
        raise Mistake(f"no slope lies between {low} and {high}", expected, "write [-0.6, -0.1]")
    return low, high


Slope = Annotated[
    tuple[float, float],
    PlainValidator(_slope, json_schema_input_type=tuple[float, float]),
]
