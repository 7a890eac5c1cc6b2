"""Keys without effect are errors or warnings, on every cell that there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.core import cells
from gradflow.errors import ConfigError, UserError
from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import LossConfig, input_model
from gradflow.experiment.config.cell import gates, option_schemas
from gradflow.experiment.config.effect import _changed
from gradflow.experiment.config.sections import InitConfig, PointConfig

VALUES: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("recurrent", "input", "peephole"), ("uniform", "normal")),
    **dict.fromkeys(("recurrent_gain", "input_gain", "peephole_gain"), (0.5, 0.75)),
    "forget_bias": (0.0, 3.0),
    **{f"bias.{gate}": (0.5, -0.5) for gate in gates()},
}
CELLS = [*cells.names(), {"kind": "lstm", "peephole": "diagonal"}, {"kind": "gru", "bias": False}]


OTHERS: dict[str, tuple[Any, Any]] = {
    "model.hidden": (3, 4),
    "model.layers": (1, 2),
    "model.bidirectional": (False, True),
    "inputs.sequences": (2, 3),
    "inputs.seed": (0, 1),
    "inputs.features": (1, 2),
    "inputs.scale": (1.0, 0.5),
    "init.like": (None, "pytorch"),
    "loss.kind": ("probe", "sum"),
    "loss.at": ("last", "all"),
    "loss.of": ("h", "c"),
    "length": (7, 8),
    "seed": (0, 1),
    "dtype": ("float64", "float32"),
    "method": ("bptt", "carrousel"),
    "record.states": (["h"], ["s"]),
    "record.every": (1, 3),
    "record.truncation": (None, {"k1": 2, "k2": [3]}),
    **{
        f"record.{name}": (False, True)
        for name in (
            "paths", "contributions", "gates", "flow_map", "spectrum", "theory", "cost",
        )
    },
}  # fmt: skip
"""The keys besides those of ``init``, and two values of each."""

ELSEWHERE = {"model": {"cell", "weights", "state", "names"}, "loss": {"head", "targets", "path"}}
"""Cells are walked below by their options; the others name files."""

KNOWN = {("cec", "inputs.seed"), ("cec", "inputs.scale"), ("cec", "method")}
"""Told: a linear net's derivatives are the same whatever it reads, and the CEC is all carrousel."""


def configured(cell, more):
    plain = {"model": {"cell": cell, "hidden": 3}, "inputs": {"kind": "noise", "sequences": 2}}
    return gradflow.configure(**{**plain, "length": 7, **more})


def results(cell, key, value):
    """All that is recorded with one value of a key, and what is noted of it."""
    section, _, name = key.rpartition(".")
    base = {
        "model": {"cell": cell, "hidden": 3},
        "inputs": {"kind": "noise", "sequences": 2},
        "loss": {"at": "ends"} if key == "loss.of" else {},
        "record": {"states": ["h", "x"]},
    }
    more = {**base.get(section, {}), name: value} if section else value
    made = gradflow.configure(**{**base, "length": 7, section or name: more})
    flow = gradflow.run(made)
    (point,) = flow.points
    found = flow.source.result(point)
    return {name: one.values.tolist() for name, one in found.items()}, made.notes


def curves(cell, key, value):
    name, _, gate = key.partition(".")
    init = {name: {gate: value} if gate else value}
    flow = gradflow.run(configured(cell, {"init": init, "record": {"states": ["h", "x"]}}))
    return np.concatenate([flow.get(state).values.ravel() for state in ("h", "x")])


def test_every_key_is_walked():
    assert {key.partition(".")[0] for key in VALUES} == {*InitConfig.model_fields} - {"like"}


def test_every_other_key_is_walked():
    sections = {
        "model": ModelConfig, "inputs": input_model("noise"), "loss": LossConfig,
        "record": type(configured("rnn", {}).record),
    }  # fmt: skip
    known = {
        f"{section}.{key}"
        for section, model in sections.items()
        for key in {*model.model_fields} - {"kind"} - ELSEWHERE.get(section, set())
    }
    sections["init"] = InitConfig
    alone = {*PointConfig.model_fields} - {*sections} - {"train", "memory"}
    assert {*OTHERS} - {"init.like", "loss.kind"} == known | alone


@pytest.mark.parametrize("cell", cells.names())
@pytest.mark.parametrize("key", OTHERS)
def test_a_key_changes_something_or_is_refused(cell, key):
    said = ""
    try:
        (one, _), (other, notes) = (results(cell, key, value) for value in OTHERS[key])
    except UserError as error:
        said = str(error)
    if said:
        assert key in said
        return
    assert (one == other) == ((cell, key) in KNOWN)
    assert [key in note for note in notes] == [True] * (one == other)


@pytest.mark.parametrize("kind", cells.names())
def test_an_option_makes_another_net_or_it_is_told(kind):
    for name, one in option_schemas(kind).items():
        values = one.get("enum") or ([True, False] if one.get("type") == "boolean" else ())
        alike = {}
        for value in values:
            found, _ = results({"kind": kind, name: value}, "seed", 0)
            label = configured({"kind": kind, name: value}, {}).model.cell_label
            alike.setdefault(repr(found), []).append(label)
        told = [labels for labels in alike.values() if len(labels) > 1]
        axis = [{"kind": kind, name: value} for value in values]
        notes = configured(kind, {"sweep": {"model.cell": axis}} if axis else {}).notes
        assert len(notes) == len(told), name
        for note, labels in zip(notes, told, strict=True):
            assert all(label in note for label in labels)
            assert "are the same net here" in note


def test_two_names_of_one_net_are_told_only_where_they_are():
    axis = {"sweep": {"model.cell": ["gru", {"kind": "gru", "bias": False}]}}
    (note,) = configured("gru", axis).notes
    assert note.startswith("warning: gru and gru(no bias) are the same net here")
    assert configured("gru", {**axis, "init": {"bias": {"z": 1.0}}}).notes == ()
    assert configured("gru", {**axis, "init": {"like": "pytorch"}}).notes == ()
    assert configured("gru", {**axis, "init": {"input_gain": 1e100}}).notes == (note,)


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("key", VALUES)
def test_what_changes_nothing_is_told(cell, key):
    one, other = VALUES[key]
    changes = not np.array_equal(curves(cell, key, one), curves(cell, key, other))
    name, _, gate = key.partition(".")
    label = configured(cell, {}).model.cell_label
    alone = configured(cell, {"init": {name: {gate: other} if gate else other}})
    text = f"init.{key} has no effect on {label}: none of its weights and biases is drawn by it"
    assert alone.notes == (() if changes else (f"warning: {text}",))
    axis = {"sweep": {f"init.{key}": [one, other]}}
    if changes:
        assert configured(cell, axis).notes == ()
    else:
        with pytest.raises(ConfigError) as caught:
            configured(cell, axis)
        assert caught.value.problem == f"{text}, so all its rows would be the same"
        assert caught.value.key == f"sweep.init.{key}"


def test_in_a_sweep_over_cells_one_that_has_it_is_enough():
    over = {"model.cell": ["lstm", "gru"]}
    assert configured("lstm", {"init": {"forget_bias": 3.0}, "sweep": over}).notes == ()
    (note,) = configured("lstm", {"sweep": {**over, "init.forget_bias": [0.0, 3.0]}}).notes
    assert note.startswith("warning: init.forget_bias has no effect on gru: ")
    assert note.endswith("; there, rows along it are the same")


def test_chrono_moves_what_a_number_does_not():
    values = [1.0, {"chrono": 30}]
    assert configured("gru", {"sweep": {"init.forget_bias": values}}).notes == ()
    (note,) = configured("gru", {"sweep": {"init.forget_bias": [0.0, *values]}}).notes
    assert "rows along it are the same" in note


def test_a_bias_by_gate_leaves_the_forget_bias_nothing():
    (note,) = configured("lstm", {"init": {"forget_bias": 3.0, "bias": {"f": 1.0}}}).notes
    assert note.startswith("warning: init.forget_bias has no effect on lstm")


def test_seeds_that_draw_nothing(tmp_path):
    digits = {"inputs": {"kind": "digits", "seed": 4}}
    (note,) = configured("rnn", digits).notes
    assert note == "warning: inputs.seed has no effect on digits: it is the same for every seed"
    with pytest.raises(ConfigError, match=r"inputs\.seed has no effect on digits"):
        configured("rnn", {"inputs": {"kind": "digits"}, "sweep": {"inputs.seed": [0, 1]}})
    path = tmp_path / "w.npz"
    shapes = {"weight_ih_l0": (3, 1), "weight_hh_l0": (3, 3)}
    np.savez(path, **{name: np.ones(shape) for name, shape in shapes.items()})
    given = {"model": {"cell": "rnn", "weights": str(path)}, "sweep": {"seed": 2}}
    assert configured("rnn", given).notes == ()
    with pytest.raises(ConfigError, match=r"seed has no effect on rnn.*: its weights come from"):
        configured("rnn", {**given, "loss": {"kind": "sum"}})


def test_what_is_written_out_with_its_defaults_is_silent():
    init = InitConfig().model_dump()
    assert configured("rnn", {"init": init}).notes == ()


def test_another_value_of_a_key_is_one_that_it_may_have():
    assert _changed(InitConfig(like="pytorch"), ("like",)).like == "keras"
    assert _changed(InitConfig(), ("like",)).like == "pytorch"
    assert _changed(InitConfig(recurrent="normal"), ("recurrent",)).recurrent == "uniform"
