"""Keys without effect are errors or warnings, on every cell that there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.core import cells
from gradflow.errors import ConfigError
from gradflow.experiment.config.cell import gates
from gradflow.experiment.config.sections import InitConfig

VALUES: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("recurrent", "input", "peephole"), ("uniform", "normal")),
    **dict.fromkeys(("recurrent_gain", "input_gain", "peephole_gain"), (0.5, 0.75)),
    "forget_bias": (0.0, 3.0),
    **{f"bias.{gate}": (0.5, -0.5) for gate in gates()},
}
CELLS = [*cells.names(), {"kind": "lstm", "peephole": "diagonal"}, {"kind": "gru", "bias": False}]


def configured(cell, more):
    plain = {"model": {"cell": cell, "hidden": 3}, "inputs": {"kind": "noise", "sequences": 2}}
    return gradflow.configure(**{**plain, "length": 7, **more})


def curves(cell, key, value):
    name, _, gate = key.partition(".")
    init = {name: {gate: value} if gate else value}
    flow = gradflow.run(configured(cell, {"init": init, "record": {"states": ["h", "x"]}}))
    return np.concatenate([flow.get(state).values.ravel() for state in ("h", "x")])


def test_every_key_is_walked():
    assert {key.partition(".")[0] for key in VALUES} == {*InitConfig.model_fields} - {"like"}


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
