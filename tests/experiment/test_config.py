"""Good experiments: what is accepted, resolved, overridden, written and planned."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import gradflow
from gradflow.core import cells
from gradflow.core.network.initialise import Chrono, Init
from gradflow.core.registry import options
from gradflow.errors import ConfigError, UserError
from gradflow.experiment.config import CellConfig, Experiment, dump, load_config, parse, schema
from gradflow.experiment.config.by_kind import input_kinds, input_model
from gradflow.experiment.config.dump import STARTER
from gradflow.experiment.config.text.yaml import MAX_BYTES
from gradflow.experiment.data.sources import TASKS
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.report.export.write import export
from tests.own import Traced, registered

GOOD: dict[str, Any] = {"model": {"cell": "lstm"}, "inputs": {"kind": "noise"}, "length": 20}


def refused(text: str | bytes, path: Path, *overrides: str) -> ConfigError:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "my Run.yaml"


def test_the_starter_is_a_valid_experiment_with_all_its_comments(file: Path) -> None:
    file.write_text(STARTER, encoding="utf-8")
    experiment = load_config(file)
    assert experiment.name == "my-run"
    assert len(plan(experiment)) == 3 * 4 * 3
    assert all(len(line) <= 100 for line in STARTER.splitlines())


def test_defaults_are_filled_in_and_the_name_is_the_files(file: Path) -> None:
    file.write_text("model: {cell: lstm}\ninputs: {kind: noise}\nlength: 3\ninit:\n")
    experiment = load_config(file)
    assert experiment.name == "my-run"
    assert experiment.model.hidden == 32
    assert experiment.init.forget_bias == 1.0
    assert experiment.record.states == ("h", "c", "s")
    assert experiment.memory == 2 << 30
    (point,) = plan(experiment)
    assert (point.config.length, point.config.seed, dict(point.axes)) == (3, 0, {})


def test_numbers_and_words_are_what_they_look_like(file: Path) -> None:
    file.write_text(
        "name: no\nmodel: {cell: {kind: lstm, coupled: True}}\ninputs: {kind: noise, scale: .5}\n"
        "length: 1_000\ncheck: {tolerance: 1e-3}\nmemory: 1.5 GiB\n"
        "init: {input_gain: 2, forget_bias: {chrono: 10}, bias: {i: -1}}\n"
    )
    experiment = load_config(file)
    assert experiment.name == "no"
    assert experiment.check.tolerance == 1e-3
    assert experiment.inputs.options == {"features": 1, "scale": 0.5}
    assert experiment.length == 1000
    assert experiment.memory == 3 << 29
    assert experiment.model.cell_label == "lstm(coupled)"
    assert experiment.init.build() == Init(input_gain=2.0, forget_bias=Chrono(10), bias={"i": -1.0})


def test_a_name_that_says_nothing_gives_way() -> None:
    assert parse(GOOD).name == "experiment"


@pytest.mark.parametrize("amount", ["512MiB", "512 mib", 512 << 20, "0.5GiB"])
def test_memory_in_several_spellings(amount: object) -> None:
    assert parse(GOOD | {"memory": amount}).memory == 512 << 20


def test_states_that_a_cell_has_not_are_no_mistake() -> None:
    sweep = {"model.cell": ["rnn", "lstm"]}
    experiment = parse(GOOD | {"record": {"states": ["c"]}, "sweep": sweep})
    assert len(plan(experiment)) == 2


def test_a_state_that_no_network_has_is_a_mistake() -> None:
    for states, said in ((["c"], "rnn has no c"), (["h", "y"], "rnn has no y")):
        with pytest.raises(UserError, match=f"record.states: {said}"):
            plan(parse(GOOD | {"record": {"states": states}, "model": {"cell": "rnn"}}))


def test_any_part_of_a_cells_state_is_recorded(tmp_path: Path) -> None:
    with registered(Traced):
        given = {"model": {"cell": "traced"}, "record": {"states": ["m", "h"]}, "length": 9}
        flow = gradflow.run(parse(GOOD | given))
        assert flow.get("m").dims == ("layer", "direction", "sequence", "step")
        (row,) = flow.rows("m")
        assert row.summary.state == "m"
        flow.plot(Figure().subplots(), state="m")
        export(flow.source, "csv", tmp_path / "m.csv")
    lines = (tmp_path / "m.csv").read_text().splitlines()
    column = lines[0].split(",").index("state")
    assert {line.split(",")[column] for line in lines[1:]} == {"h", "m"}


def test_python_values_are_taken_for_what_they_hold(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 30, 3)))
    experiment = parse(
        {
            "model": {"cell": "gru", "hidden": np.int64(5)},
            "inputs": {"kind": "file", "path": tmp_path / "x.npy"},
            "sweep": {"length": range(1, 4), "init.recurrent_gain": np.array([0.5, 1.5])},
        }
    )
    assert experiment.sweep == {"length": (1, 2, 3), "init.recurrent_gain": (0.5, 1.5)}


@pytest.mark.parametrize(
    ("value", "problem"),
    [({"model": object()}, "a object has no place"), ({"length": 2**70}, "out of range")],
)
def test_python_values_that_no_file_could_hold(value: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse(GOOD | value)


def test_a_mistake_in_a_mapping_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"model\.hiden: unknown key") as caught:
        parse({"model": {"cell": "lstm", "hiden": 3}})
    assert caught.value.key == "model.hiden"


# --- files ---------------------------------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "absent.yaml")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a directory"):
        load_config(tmp_path)


def test_a_path_through_a_file(file: Path) -> None:
    file.write_text("x")
    with pytest.raises(ConfigError, match="the file cannot be read"):
        load_config(file / "below.yaml")


def test_an_empty_file(file: Path) -> None:
    error = refused(" \n\n", file)
    assert (error.line, error.column) == (1, 1)
    assert "empty" in error.problem
    assert "gradflow init" in error.fix


def test_an_oversize_file(file: Path) -> None:
    assert "too large" in refused(b"#" * (MAX_BYTES + 1), file).problem


def test_a_file_in_another_encoding(file: Path) -> None:
    error = refused("model: {}\nname: é".encode("latin-1"), file)
    assert (error.line, error.column) == (2, 7)
    assert "0xe9 is not UTF-8" in error.problem


def test_a_byte_order_mark_is_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfmodel: {cell: rnn}\ninputs: {kind: noise}\nlength: 3\n")
    assert load_config(file).model.cell.kind == "rnn"


@pytest.mark.parametrize("name", ["absent.npy", "folder.npy", "data.xls"])
def test_inputs_that_are_not_there(name: str, file: Path) -> None:
    (file.parent / "folder.npy").mkdir()
    (file.parent / "data.xls").write_text("1")
    error = refused(f"model: {{cell: rnn}}\ninputs: {{kind: file, path: {name}}}\n", file)
    assert (error.line, error.column, error.key) == (2, 28, "inputs.path")
    assert name in error.problem
    assert ".npy" in error.expected


def test_inputs_of_a_bad_shape(file: Path) -> None:
    np.save(file.parent / "x.npy", np.zeros(7))
    error = refused("model: {cell: rnn}\ninputs: {kind: file, path: x.npy}\n", file)
    assert (error.line, error.column, error.key) == (2, 28, "inputs.path")
    assert "shaped (7,)" in error.problem
    assert "(sequences, steps, features)" in error.expected
    assert error.fix


def test_the_length_of_a_file_is_found_out(file: Path) -> None:
    np.save(file.parent / "x.npy", np.zeros((2, 30, 3)))
    file.write_text("model: {cell: rnn}\ninputs: {kind: file, path: x.npy}\n")
    (point,) = plan(load_config(file))
    assert point.config.length == 30
    assert point.config.inputs.sequences == 2
    assert point.config.inputs.task.features == 3


def test_all_the_digits_are_the_default_length() -> None:
    (point,) = plan(parse({"model": {"cell": "rnn"}, "inputs": {"kind": "digits"}}))
    assert point.config.length == TASKS.get("digits")().longest


def test_more_steps_than_the_file_has(file: Path) -> None:
    np.save(file.parent / "x.npy", np.zeros((2, 30, 3)))
    text = "model: {cell: rnn}\ninputs: {kind: file, path: x.npy}\nsweep: {length: [30, 31]}\n"
    assert "30 steps" in refused(text, file).problem


def test_nothing_follows_the_last_step_of_a_file(file: Path) -> None:
    np.save(file.parent / "x.npy", np.zeros((2, 30, 3)))
    text = "model: {cell: rnn}\ninputs: {kind: file, path: x.npy}\nloss: {kind: mse}\n"
    assert "nothing to predict" in refused(text, file).problem
    file.write_text(text + "length: 29\n")
    load_config(file)


def save_weights(path: Path, hidden: int = 4, features: int = 3) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        path,
        weight_ih_l0=rng.standard_normal((4 * hidden, features)),
        weight_hh_l0=rng.standard_normal((4 * hidden, hidden)),
    )


WEIGHED = "model: {{cell: {0}, weights: w.npz}}\ninputs: {{kind: noise, features: 3}}\nlength: 5\n"


@pytest.mark.parametrize("at", ["all", "last", "ends", [3, 20]])
def test_a_loss_may_look_at_more_steps_than_have_a_target(at: object) -> None:
    sections = GOOD | {"inputs": {"kind": "adding"}, "loss": {"kind": "mse", "at": at}}
    assert parse(sections).loss.at == (tuple(at) if isinstance(at, list) else at)
    with pytest.raises(ConfigError, match="target at the last step only"):
        parse(sections | {"loss": {"kind": "mse", "at": [3]}})


def test_sizes_follow_from_the_weights(file: Path) -> None:
    save_weights(file.parent / "w.npz")
    file.write_text(WEIGHED.format("lstm"))
    experiment = load_config(file)
    (point,) = plan(experiment)
    assert point.config.model.hidden == 4
    copy = file.parent / "deeper" / "copy.yaml"
    copy.parent.mkdir()
    copy.write_text(dump(experiment))
    assert [p.hash for p in plan(load_config(copy))] == [point.hash]


def test_other_weights_are_another_point(file: Path) -> None:
    save_weights(file.parent / "w.npz")
    file.write_text(WEIGHED.format("lstm"))
    (before,) = plan(load_config(file))
    save_weights(file.parent / "w.npz", hidden=5)
    (after,) = plan(load_config(file))
    assert before.hash != after.hash


def test_weights_may_be_swept(file: Path) -> None:
    for hidden in (4, 5):
        save_weights(file.parent / f"w{hidden}.npz", hidden)
    file.write_text(
        "model: {cell: lstm}\ninputs: {kind: noise, features: 3}\nlength: 5\n"
        "sweep: {model.weights: [w4.npz, w5.npz]}\n"
    )
    experiment = load_config(file)
    points = plan(experiment)
    assert [p.axes["model.weights"] for p in points] == ["w4.npz", "w5.npz"]
    assert [p.config.model.hidden for p in points] == [4, 5]
    file.write_text(dump(experiment))
    assert plan(load_config(file)) == points


@pytest.mark.parametrize(
    ("cell", "weights", "features", "spot", "key", "problem"),
    [
        ("gru", "w.npz", 3, "w.npz", "model.weights", "of kind lstm, not gru"),
        ("lstm", "v.npz", 3, "v.npz", "model.weights", "there is no file"),
        ("lstm", "w.zip", 3, "w.zip", "model.weights", "of no format"),
        ("lstm", "w.pt", 3, "w.pt", "model.weights", "the file is empty"),
        ("lstm", "w.npz#enc", 3, "w.npz#enc", "model.weights", "no recurrent network called enc"),
        (
            "{kind: lstm, coupled: false, peephole: full}",
            "w.npz",
            3,
            "w.npz",
            "model.weights",
            "full",
        ),
        ("lstm, hidden: 5", "w.npz", 3, "5", "model.hidden", "5, but the weights have 4"),
        ("lstm", "w.npz", 2, "w.npz", "model.weights", "read 3 features, noise has 2"),
        ("{kind: lstm, coupled: true}", "w.npz", 3, "w.npz", "model.weights", "no such thing"),
    ],
)
def test_weights_that_do_not_fit(
    cell: str, weights: str, features: int, spot: str, key: str, problem: str, file: Path
) -> None:
    save_weights(file.parent / "w.npz")
    for suffix in ("pt", "zip"):
        (file.parent / f"w.{suffix}").write_text("")
    first = f"model: {{cell: {cell}, weights: {weights}}}"
    rest = f"\ninputs: {{kind: noise, features: {features}}}\nlength: 5\n"
    error = refused(first + rest, file)
    assert (error.line, error.column, error.key) == (1, first.index(spot) + 1, key)
    assert problem in error.problem
    assert error.fix or error.expected


def test_one_line_is_enough_for_weights(file: Path) -> None:
    save_weights(file.parent / "w.npz")
    file.write_text("model: {weights: w.npz}\ninputs: {kind: noise, features: 3}\nlength: 5\n")
    experiment = load_config(file)
    (point,) = plan(experiment)
    assert (point.config.model.cell.kind, point.config.model.hidden) == ("lstm", 4)
    file.write_text(dump(experiment))
    assert [p.hash for p in plan(load_config(file))] == [point.hash]


def test_stacks_of_unlike_layers_run_and_what_was_taken_for_granted_is_said(file: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"c.0.weight_ih": (16, 3), "c.0.weight_hh": (16, 4)}
    shapes |= {"c.1.weight_ih": (6, 4), "c.1.weight_hh": (6, 2)}
    np.savez(file.parent / "w.npz", **{name: rng.standard_normal(s) for name, s in shapes.items()})
    file.write_text("model: {weights: w.npz}\ninputs: {kind: noise, features: 3}\nlength: 5\n")
    experiment = load_config(file)
    assert experiment.notes == ("w.npz: c.1 is taken to read c.0",)
    (point,) = plan(experiment)
    assert point.config.model.cell_label == "lstm(no bias) → gru(reset=after, no bias)"
    (result,) = measure(*bundle([point]))
    assert np.isfinite(result["h"].values).all()


def test_an_option_at_its_default_contradicts_the_file(file: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (12, 3), "weight_hh_l0": (12, 4)}
    np.savez(file.parent / "w.npz", **{name: rng.standard_normal(s) for name, s in shapes.items()})
    error = refused(WEIGHED.format("{kind: gru, reset: before}"), file)
    assert "asks for reset: before, but the weights have reset: after" in error.problem
    file.write_text(WEIGHED.format("gru"))
    assert plan(load_config(file))[0].config.model.cell.label == "gru(reset=after, no bias)"


def test_names_and_a_prefix_are_part_of_the_point(file: Path) -> None:
    save_weights(file.parent / "w.npz")
    with np.load(file.parent / "w.npz") as arrays:
        named = {f"{net}.{name}": arrays[name] for net in "ab" for name in arrays}
        np.savez(file.parent / "w.npz", **named, one=arrays["weight_ih_l0"])
    hashes = set()
    for which in ("w.npz#a", "w.npz#b"):
        file.write_text(WEIGHED.format("lstm").replace("w.npz", which))
        hashes |= {point.hash for point in plan(load_config(file))}
    names = "names: {weight_ih_l0: one, weight_hh_l0: a.weight_hh_l0}"
    file.write_text(WEIGHED.format("lstm").replace("w.npz", f"w.npz, {names}"))
    experiment = load_config(file)
    hashes |= {point.hash for point in plan(experiment)}
    assert len(hashes) == 3
    file.write_text(dump(experiment))
    assert {point.hash for point in plan(load_config(file))} < hashes


@pytest.mark.parametrize("line", ["init: {forget_bias: 0}", "sweep: {init.recurrent_gain: [1, 2]}"])
def test_init_beside_weights_is_an_error(line: str, file: Path) -> None:
    save_weights(file.parent / "w.npz")
    error = refused(WEIGHED.format("lstm") + line + "\n", file)
    assert "draws weights, and these come from w.npz" in error.problem
    file.write_text(
        "model: {cell: lstm}\ninputs: {kind: noise, features: 3}\nlength: 5\n"
        "init: {forget_bias: 0}\nsweep: {model.weights: [null, w.npz]}\n"
    )
    assert len(plan(load_config(file))) == 2


# --- overrides -----------------------------------------------------------------------------------


def overridden(*overrides: str, **more: Any) -> Experiment:
    return parse(GOOD | more, overrides)


def test_overrides_take_the_paths_of_the_file() -> None:
    experiment = overridden(
        "model.hidden=64",
        "model.cell.peephole=diagonal",
        "init.forget_bias={chrono: 9}",
        "sweep.length=[8, 16]",
        "check.tolerance=1e-3",
        "name=other",
    )
    assert experiment.model.hidden == 64
    assert experiment.model.cell_label == "lstm(peephole=diagonal)"
    assert experiment.sweep == {"length": (8, 16)}
    assert experiment.name == "other"
    assert experiment.check.tolerance == 1e-3


def test_an_override_fixes_what_the_sweep_varies() -> None:
    sweep = {"length": [8, 16], "seed": 3}
    experiment = overridden("length=100", sweep=sweep)
    assert experiment.length == 100
    assert experiment.sweep == {"seed": (0, 1, 2)}


def test_paths_in_overrides_start_here(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    save_weights(tmp_path / "here" / "w.npz")
    file.write_text("model: {cell: lstm}\ninputs: {kind: noise, features: 3}\nlength: 5\n")
    monkeypatch.chdir(tmp_path / "here")
    experiment = load_config(file, ["model.weights=w.npz"])
    assert experiment.model.weights == str(tmp_path / "here" / "w.npz")


@pytest.mark.parametrize(
    ("text", "column", "key", "problem"),
    [
        ("model.hidden=abc", 14, "model.hidden", "'abc' where a whole number"),
        ("model.hiden=3", 1, "model.hiden", "unknown key"),
        ("modl.hidden=3", 1, "modl", "unknown key 'modl'"),
        ("length=[1, 2]", 8, "length", "a list where"),
        ("length.x=1", 10, "length", "a mapping where"),
        ("sweep.length=8", 14, "sweep.length", "8 where a list"),
        ("sweep.length=[8, 0]", 18, "sweep.length[1]", "0 is too small"),
        ("sweep.lenth=[8]", 1, "sweep.lenth", "nothing at 'lenth'"),
        ("length=", 8, "length", "length is missing"),
        ("length", 1, "", "not key=value"),
        ("=3", 1, "", "not key=value"),
        (" .a=3", 2, "", "not key=value"),
        ("name=[1", 6, "", "never closed"),
        ("model.cell.peephole=full", 1, "model.cell.peephole", "would be lost"),
    ],
)
def test_a_wrong_override_is_named_as_the_place(
    text: str, column: int, key: str, problem: str
) -> None:
    sweep = {"model.cell": ["lstm", "gru"]}
    with pytest.raises(ConfigError) as caught:
        overridden(text, sweep=sweep)
    error = caught.value
    assert problem in error.problem
    assert error.key == key
    if "missing" not in problem:
        assert (error.file, error.line, error.column) == (f"override {text}", 1, column)


# --- writing -------------------------------------------------------------------------------------


def test_memory_that_is_no_round_number_is_written_in_bytes() -> None:
    assert f"memory: {(1 << 20) + 1}\n" in dump(parse(GOOD | {"memory": (1 << 20) + 1}))


def test_what_is_written_is_resolved_and_runs_again(file: Path) -> None:
    experiment = parse(
        GOOD
        | {
            "name": "1e3x",
            "sweep": {
                "model.cell": ["rnn", {"kind": "lstm", "peephole": "full"}],
                "init.forget_bias": [{"chrono": 10}, None, 1],
                "loss.at": ["last", [3, 1]],
                "seed": 2,
            },
            "check": {"assert": [{"cell": "rnn", "slope": [-2, 1e-9]}]},
            "memory": 1 << 30,
        }
    )
    text = dump(experiment)
    assert "memory: 1GiB" in text
    assert "&" not in text
    file.write_text(text)
    again = load_config(file)
    assert again.sweep == experiment.sweep
    assert again == experiment
    assert dump(again) == text
    assert plan(again) == plan(experiment)


@pytest.mark.parametrize("name", ["1e3", "no", "true", "nan", "12"])
def test_a_name_that_looks_like_something_else_stays_a_name(name: str, file: Path) -> None:
    file.write_text(dump(parse(GOOD | {"name": name})))
    assert load_config(file).name == name


def test_the_schema_knows_every_cell_with_its_options() -> None:
    text = json.dumps(schema())
    whole = json.loads(text)
    kinds, *each = whole["$defs"]["CellConfig"]["anyOf"]
    assert kinds["enum"] == list(cells.names())
    found = {one["properties"]["kind"]["const"]: set(one["properties"]) for one in each}
    assert found.keys() == set(cells.names())
    assert found["lstm"] >= {"peephole", "coupled", "forget_gate"}
    assert whole["additionalProperties"] is False
    assert "model.cell.peephole" in whole["properties"]["sweep"]["properties"]
    assert "name" not in whole["required"]


def test_the_kinds_of_inputs_are_made_from_the_tasks() -> None:
    assert input_kinds() == (*TASKS.names(), "file")
    for kind in TASKS.names():
        declared = {
            name: field.default
            for name, field in input_model(kind).model_fields.items()
            if name not in ("kind", "sequences", "seed")
        }
        assert declared == {name: one.default for name, one in options(TASKS.get(kind)).items()}


def test_every_registered_cell_can_be_asked_for() -> None:
    for kind in cells.names():
        experiment = parse(GOOD | {"model": {"cell": kind, "hidden": 3}})
        assert experiment.model.build_cells()[0] == cells.get(kind)(hidden=3)


def test_equal_cells_are_one() -> None:
    one = CellConfig.model_validate({"kind": "lstm", "peephole": "none"})
    assert one == CellConfig.model_validate("lstm")
    assert len({one, CellConfig.model_validate("lstm"), CellConfig.model_validate("gru")}) == 2


def test_experiments_cross_process_boundaries() -> None:
    experiment = parse(GOOD | {"sweep": {"model.cell": ["lstm", {"kind": "gru", "bias": False}]}})
    assert pickle.loads(pickle.dumps(experiment)) == experiment


def test_importing_the_models_does_not_import_numpy() -> None:
    code = "import sys, gradflow.experiment.config; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_option_of_every_kind_of_inputs_may_be_an_axis() -> None:
    for kind in TASKS.names():
        for name, one in options(TASKS.get(kind)).items():
            good = {**GOOD, "inputs": {"kind": kind}, "length": 200}
            made = parse({**good, "sweep": {f"inputs.{name}": [one.default]}})
            assert made.sweep == {f"inputs.{name}": (one.default,)}
