"""Laws of the experiment file: round trips, and one kind of error whatever is written."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gradflow.errors import ConfigError
from gradflow.experiment.config import dump, parse
from gradflow.experiment.config.load import resolve_tree
from gradflow.experiment.config.text import yaml
from gradflow.experiment.measure.plan import plan
from tests.experiment.wrong import MARK, WRONG

CELLS = st.sampled_from(
    ["rnn", "cec", "lstm", "gru", {"kind": "lstm", "peephole": "full", "peephole_gates": ["o"]},
     {"kind": "gru", "reset": "after", "bias": False}, {"kind": "rnn", "activation": "relu"}]
)  # fmt: skip
GAINS = st.floats(0, 1e9)
BIASES = st.one_of(
    st.none(),
    st.floats(-1e9, 1e9),
    st.integers(2, 10**9).map(lambda steps: {"chrono": steps}),
)
AXES: dict[str, st.SearchStrategy[Any]] = {
    "model.cell": CELLS,
    "model.hidden": st.integers(1, 65536),
    "model.bidirectional": st.booleans(),
    "init.recurrent": st.sampled_from(["normal", "identity"]),
    "init.recurrent_gain": GAINS,
    "init.forget_bias": BIASES,
    "init.bias.f": st.floats(-5, 5),
    "loss.at": st.one_of(st.sampled_from(["last", "all"]), st.sets(st.integers(1, 8), min_size=1)),
    "length": st.integers(8, 10**6),
    "seed": st.integers(0, 2**63 - 1),
    "dtype": st.sampled_from(["float64", "float32"]),
}


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, max_size=3))
    sweep = {
        name: draw(st.lists(AXES[name], min_size=1, max_size=3, unique_by=repr)) for name in names
    }
    return {
        "name": draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)),
        "model": {"cell": draw(CELLS), "hidden": draw(st.integers(1, 99))},
        "inputs": {"kind": "noise", "scale": draw(GAINS), "seed": draw(st.integers(0, 99))},
        "init": {"input_gain": draw(GAINS), "forget_bias": draw(BIASES)},
        "length": draw(st.integers(8, 99)),
        "sweep": sweep,
    }


@settings(max_examples=40)
@given(experiments())
def test_what_is_written_gives_the_same_points(mapping: dict[str, Any]) -> None:
    try:
        experiment = parse(mapping)
    except ConfigError as error:
        assume("has no effect" not in str(error))  # a key that this cell lacks
        raise
    again = resolve_tree(yaml.parse_yaml(dump(experiment), "again.yaml"), "again")
    assert plan(again) == plan(experiment)


def read(text: str) -> None:
    with contextlib.suppress(ConfigError):
        resolve_tree(yaml.parse_yaml(text, "any.yaml"), "any")


@settings(max_examples=150)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read(text)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_damage_to_a_file_is_read_or_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(WRONG)).text.replace(MARK, "")
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    read(text[:first] + data.draw(st.text("[]{}:,-#&*!|>'\"%@`\t\n a1.", max_size=4)) + text[last:])


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["lstm", "last", "noise", "mse"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["kind", "cell", "chrono", "f", "at"]), inner, max_size=3),
    ),
    max_leaves=5,
)
PATHS = ["model", "model.cell", "model.hidden", "inputs", "inputs.kind", "inputs.scale", "init",
         "init.bias", "init.forget_bias", "loss.at", "record.states", "record.every", "check",
         "check.assert", "length", "seed", "memory", "name", "sweep", "sweep.length",
         "sweep.model.cell", "sweep.loss.at", "sweep.init.bias.f", "sweep.seed"]  # fmt: skip


@settings(max_examples=300)
@given(st.sampled_from(PATHS), VALUES)
def test_any_value_anywhere_is_taken_or_refused(path: str, value: Any) -> None:
    section, _, key = path.partition(".")
    good: dict[str, Any] = {
        "model": {"cell": "lstm"},
        "inputs": {"kind": "noise"},
        "length": 20,
    }
    good[section] = {**good.get(section, {}), key: value} if key else value
    with contextlib.suppress(ConfigError):
        plan(parse(good))


@pytest.mark.parametrize("text", ["a: [1e-3, 1.0e-6, .5, 1., -2e+3, +7, 1_000, 010]"])
def test_numbers(text: str) -> None:
    assert yaml.parse_yaml(text, "x").plain == {"a": (1e-3, 1e-6, 0.5, 1.0, -2e3, 7, 1000, 10)}


def test_words() -> None:
    text = "a: [no, yes, on, off, 2020-01-01, 1:30, 0x1f, '1', \"true\", null, ~, true, False, ]"
    assert yaml.parse_yaml(text, "x").plain["a"] == (
        "no", "yes", "on", "off", "2020-01-01", "1:30", "0x1f", "1", "true", None, None, True, False
    )  # fmt: skip


def test_numbers_beyond_all_bounds() -> None:
    values = yaml.parse_yaml("[inf, -.inf, Infinity, .NaN, 1e999]", "x").plain
    assert values[:3] == (float("inf"), -float("inf"), float("inf"))
    assert values[3] != values[3]
    assert values[4] == float("inf")
