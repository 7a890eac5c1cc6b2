"""Nets that learn: from the experiment file to stored results, stopped, resumed, gone wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.errors import ConfigError
from gradflow.experiment.config import Experiment, parse
from gradflow.experiment.config.train import watched
from gradflow.experiment.measure import seen, training
from gradflow.experiment.run import run
from gradflow.experiment.store.folder import Folder
from gradflow.experiment.workers.pool import Pool


def learning(name: str = "learning", **changes: Any) -> Experiment:
    train = {
        "loss": "mse",
        "optimiser": {"kind": "adam", "rate": 0.02},
        "clip": {"norm": 1.0},
        "head": {"bias": True},
        "batch": 2,
        "updates": 60,
        "watch": {"every": 20},
    }
    data: dict[str, Any] = {
        "name": name,
        "model": {"cell": "lstm", "hidden": 4},
        "inputs": {"kind": "adding", "sequences": 3},
        "train": train | changes.pop("train", {}),
        "length": 6,
        "sweep": {"seed": 3},
    }
    return parse(data | changes)


def files(out: Path) -> dict[str, bytes]:
    every = (*out.glob("*/points/*.npz"), *out.glob("*/weights/*.npz"))
    return {path.name: path.read_bytes() for path in every}


def test_what_was_seen_is_stored(tmp_path: Path) -> None:
    done = run(learning(), out=tmp_path)
    assert (done.computed, done.failures) == (3, ())
    result = done.run.result(done.run.points[1])
    assert list(result["loss"].coords["update"]) == [20, 40, 60]
    assert result["turns"].dims == ("kind", "update")
    assert list(result["turns"].coords["kind"]) == ["U", "W", "b", "V"]
    assert result["h.learning"].dims == ("update", "layer", "direction", "step")
    assert list(result["radius"].coords["gate"]) == ["o", "f", "i", "g"]
    read, learnt, trivial = result["training"].values
    assert (read, trivial) == (120, pytest.approx(1 / 6))
    assert np.isnan(learnt)
    np.testing.assert_allclose(result["gain"].values, 1 - 6 * result["loss"].values)
    # What is measured afterwards is measured on what was learnt: the last window's curve.
    last = result["h.learning"].values[-1, 0, 0]
    np.testing.assert_allclose(result["h"].values[0, 0].mean(axis=0), last, rtol=1e-12)
    assert not (tmp_path / "learning" / "unfinished").exists()


def test_nets_learn_at_the_end_of_each_direction(tmp_path: Path) -> None:
    """And are measured there: the backward direction's error goes back from its own last state."""
    ends = {"model": BOTH, "loss": {"kind": "mse", "at": "ends"}, "train": {"updates": 200}}
    done = run(learning(**ends), out=tmp_path)
    result = done.run.result(done.run.points[0])
    assert result["gain"].values[-1] > 0.5
    assert np.isfinite(result["h"].values[0, :, 0, 1:]).all()


def test_conflict_and_gates_are_watched_where_they_are_recorded(tmp_path: Path) -> None:
    record = {"states": ["h"], "contributions": True, "gates": True}
    task = {"loss": {"kind": "mse"}, "record": record}
    done = run(learning(train={"head": {}, "updates": 20}, sweep={}, **task), out=tmp_path)
    result = done.run.result(done.run.points[0])
    for name, pooled in (("conflict_U", -1), ("gate_saturated", (-2, -1)), ("conflict_V", -1)):
        seen, after = result[f"{name}.learning"], result[name]
        assert seen.dims[0] == "update"
        assert not {"sequence", "step"} & {*seen.dims, *seen.coords}
        np.testing.assert_allclose(seen.values[-1], after.values.mean(axis=pooled), rtol=1e-12)
    assert "contribution_U.learning" not in result


def test_a_run_that_is_stopped_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(learning(), out=tmp_path / "whole")
    monkeypatch.setattr(training, "PAUSE", 0.0)
    windows = 0
    add = training.Seen.add

    def stopping(self: Any, window: Any) -> None:
        nonlocal windows
        windows += 1
        if windows == 2:
            raise KeyboardInterrupt
        add(self, window)

    monkeypatch.setattr(training.Seen, "add", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(learning(), out=tmp_path / "stopped")
    assert len(list((tmp_path / "stopped" / "learning" / "unfinished").iterdir())) == 1
    updates: list[int] = []
    step = training.Trainer._step
    monkeypatch.setattr(training.Seen, "add", add)
    monkeypatch.setattr(
        training.Trainer, "_step", lambda self: (updates.append(self.update), step(self))[1]
    )
    run(learning(), out=tmp_path / "stopped")
    assert min(updates) >= 20
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")
    assert not (tmp_path / "stopped" / "learning" / "unfinished").exists()


def test_a_stop_just_before_the_state_is_let_go_leaves_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PAUSE", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "put", _stopping(Folder.put))
        with pytest.raises(KeyboardInterrupt):
            run(learning(), out=tmp_path)
    unfinished = tmp_path / "learning" / "unfinished"
    assert unfinished.exists()
    (unfinished / f"{16 * '0'}.npz").touch()  # of nets that learnt with others before a stop
    assert run(learning(), out=tmp_path).computed == 0
    assert not unfinished.exists()


def _stopping(put: Any) -> Any:
    def stopped(*args: Any, **options: Any) -> None:
        put(*args, **options)
        raise KeyboardInterrupt

    return stopped


BOTH = {"cell": "lstm", "hidden": 4, "bidirectional": True}
STACK = [{"cell": "lstm", "hidden": 3}, {"cell": "gru", "hidden": 2, "bidirectional": True}]


@pytest.mark.parametrize(
    "model",
    [
        {"cell": "lstm", "hidden": 4, "layers": 2, "bidirectional": True},
        {"cell": {"kind": "gru", "reset": "after"}, "hidden": 4},
        {"cell": {"kind": "block", "size": 2, "feedback": "all"}, "hidden": 2},
        {"layers": STACK},
    ],
    ids=["lstm", "gru", "block", "stack"],
)
def test_nets_go_on_from_the_file_that_holds_them(tmp_path: Path, model: Any) -> None:
    task = {"loss": {"kind": "mse"}, "model": model, "sweep": {"seed": 2}}
    watch = {"every": 2, "weights": True}
    train = {"updates": 4, "watch": watch}
    done = run(learning(train=train, **task), out=tmp_path).run
    file = tmp_path / "learning" / "weights" / "seed-1.npz"
    with np.load(file) as kept:
        assert {name.partition(".")[0] for name in kept} == {
            "0-updates", "2-updates", "4-updates", "end",
        }  # fmt: skip
        assert ("end.weight_hh_l0" in kept) == ("hidden" in model and "size" not in str(model))
    data = {"inputs": {"kind": "adding", "sequences": 3}, "length": 6}
    for at, same in (("end", True), ("0-updates", False)):
        loss = {"kind": "mse", "head": f"{at}.head"}
        whole = data | {"name": at, "model": {"weights": f"{file}#{at}"}, "loss": loss}
        (point,) = (again := run(parse(whole), out=tmp_path).run).points
        before, after = done.result(done.points[1])["h"], again.result(point)["h"]
        assert np.array_equal(before.values, after.values, equal_nan=True) == same


def test_where_nets_are_is_told_while_they_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, tell = [], seen.Seen.tell

    def telling(self: seen.Seen, scratch: Path) -> None:
        tell(self, scratch)
        told.append(seen.pulses(scratch.parent))

    monkeypatch.setattr(seen, "BEAT", 0.0)
    monkeypatch.setattr(seen.Seen, "tell", telling)
    done = run(learning(), out=tmp_path)
    first, *between, (last,) = told
    assert (first, len(between)) == ([], 1)
    assert (last.update, last.updates, last.learning, last.nets) == (60, 60, 3, 3)
    assert (last.cell, last.length, last.left) == ("lstm", 6, 0)
    result = [done.run.result(point) for point in done.run.points]
    assert last.loss == np.median([one["loss"].values[-1] for one in result])
    curves = [one["s.learning"].values[-1, 0, 0] for one in result]
    assert last.far == pytest.approx(np.median([c[0] - c[-1] for c in curves]), rel=1e-12)
    assert not (tmp_path / "learning" / "unfinished").exists()


def test_workers_change_nothing(tmp_path: Path) -> None:
    run(learning(), out=tmp_path / "one")
    run(learning(), out=tmp_path / "two", executor=Pool(2))
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_net_that_diverges_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    wild = {"optimiser": {"kind": "sgd", "rate": 3.0}, "clip": {}, "updates": 200}
    changes = {"model": {"cell": {"kind": "rnn", "activation": "relu"}, "hidden": 4}}
    done = run(learning(train=wild, sweep={"seed": 8}, **changes), out=tmp_path)
    assert 0 < len(done.failures) < 8
    assert done.computed == 8 - len(done.failures)
    for failure in done.failures:
        assert failure.numerical
        assert failure.exit_code == 3
        for word in ("rnn(activation=relu) (layer 0)", "step", "at update"):
            assert word in failure.reason


def test_lengths_of_their_own_and_the_tasks_criterion(tmp_path: Path) -> None:
    train = {"lengths": [26, 30], "until": "task", "updates": 20}
    inputs = {"kind": "adding", "form": "hochreiter"}
    done = run(learning(train=train, inputs=inputs, length=30), out=tmp_path)
    assert done.computed == 3


@pytest.mark.parametrize("gradient", ["carrousel", {"k1": 2, "k2": 4}], ids=str)
def test_gradients_that_are_cut_learn_something_else(tmp_path: Path, gradient: Any) -> None:
    exact = run(learning(), out=tmp_path)
    other = run(learning("other", train={"gradient": gradient}), out=tmp_path)
    losses = [done.run.result(done.run.points[0])["loss"].values for done in (exact, other)]
    assert not np.allclose(*losses)


def test_classes_of_a_real_string_are_learnt_from_a_pool(tmp_path: Path) -> None:
    train = {"loss": "cross_entropy", "pool": 5, "lengths": None}
    done = run(
        learning(
            train=train,
            inputs={"kind": "reber", "strings": "single"},
            length=20,
            loss={"at": "all"},
        ),
        out=tmp_path,
    )
    assert done.computed == 3


@pytest.mark.parametrize(
    ("train", "changes", "words"),
    [
        ({"loss": None}, {}, "probe has no value to be learnt"),
        ({"optimiser": {"kind": "sgd", "beta1": 0.9}}, {}, "'beta1' is an option of adam"),
        ({"until": "task"}, {}, "no criterion was published for adding"),
        ({"until": {"within": -1}}, {}, "within"),
        ({"lengths": [3, 9]}, {}, "longer than the length 6"),
        ({"lengths": [1, 6]}, {}, "are no length of adding"),
        ({"gradient": "exakt"}, {}, "no gradient to learn by"),
        ({"gradient": "carrousel"}, {"sweep": {"model.cell": ["lstm", "rnn"]}}, "rnn has no carr"),
        ({"optimiser": {"rate": {"U": 0.1, "W": 0.1, "b": 0.1}}}, {}, "the net's V have no rate"),
        ({"gradient": {"k1": 2, "k2": 4}}, {"model": BOTH}, "follows a stream forward"),
        ({}, {"loss": {"kind": "mse", "at": "ends", "of": "c"}}, "this loss looks of: c"),
        ({"until": {"window": 100}}, {}, "asks for numbers, of which none is right"),
        ({"until": {"within": 0.1, "window": 9, "misses": 9}}, {}, "every net has learnt"),
        ({"until": {"within": 0.1, "every": 9}}, {}, "without a test set nothing is tested"),
        ({"gradient": {"k1": 4, "k2": 2}}, {}, "k2 = 2 is less than k1 = 4"),
        ({"rate": 0.1}, {}, "unknown key 'rate'"),
        ({}, {"inputs": {"kind": "noise"}}, "noise has no targets"),
        ({}, {"method": "rtrl"}, "measured by bptt"),
        ({"head": {"shortcut": True}}, {"loss": {"kind": "mse"}}, "the head has more"),
    ],
)
def test_mistakes(train: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        learning(train=train, **changes)


def test_an_error_that_overflows_only_in_the_loss_is_said_of_the_loss(tmp_path: Path) -> None:
    wild = {"optimiser": {"kind": "sgd", "rate": 1e3}, "clip": {}, "watch": {"every": 1}}
    done = run(learning(train=wild, sweep={}, model={"cell": "cec", "hidden": 4}), out=tmp_path)
    (failure,) = done.failures
    assert "the loss on what is read from cec (layer 0) overflows at step 6 at" in failure.reason


@pytest.mark.parametrize(
    ("train", "sweep", "told"),
    [
        ({"optimiser": {"rate": dict.fromkeys("UWbPV", 0.1)}}, ["lstm"], ["rate.P has no effect"]),
        ({"optimiser": {"rate": dict.fromkeys("UWbV", 0.1)}}, ["cec", "lstm"], []),
        ({"gradient": {"k1": 3, "k2": 6}}, ["lstm"], ["train.gradient has no effect"]),
        ({"gradient": {"k1": 3, "k2": 5}}, ["lstm"], []),
        ({"gradient": "carrousel"}, ["cec"], ["train.gradient has no effect on cec"]),
        ({"gradient": "carrousel"}, ["cec", "lstm"], []),
        ({"watch": {"sequences": 9}}, ["lstm"], ["all its 3 sequences are looked at"]),
    ],
)
def test_what_changes_nothing_is_told(
    train: dict[str, Any], sweep: list[str], told: list[str]
) -> None:
    notes = learning(train=train, sweep={"model.cell": sweep}).notes
    assert [words in note for words, note in zip(told, notes, strict=True)] == [True] * len(told)


def test_an_axis_along_which_every_gradient_is_exact_is_refused() -> None:
    axis = {"train.gradient": ["exact", {"k1": 2, "k2": 6}]}
    with pytest.raises(ConfigError, match=r"train\.gradient has no effect on lstm at length 6"):
        learning(sweep=axis)
    (note,) = learning(sweep={**axis, "length": [6, 7]}).notes
    assert "no effect on lstm at length 6: it is the exact one; there, rows" in note


def test_answers_are_wrong_only_where_something_says_so(tmp_path: Path) -> None:
    until = {"within": 1e-9}
    for name, train in {"never": {}, "within": {"until": until}}.items():
        done = run(learning(name, train={"updates": 20, **train}, sweep={}), out=tmp_path)
        shares = done.run.result(done.run.points[0])["wrong"].values
        np.testing.assert_array_equal(shares, np.nan if name == "never" else 1.0)


@pytest.mark.parametrize(
    ("kind", "loss", "at", "trivial"),
    [
        ("adding", "half_squares", "last", 1 / 12),
        ("temporal-order", "mse", "last", 3 / 16),  # one of four, one-hot: ¼ · ¾
        ("temporal-order", "cross_entropy", "last", np.log(4)),
        ("copy", "cross_entropy", "last", np.log(8)),
        ("copy", "cross_entropy", "all", 10 * np.log(8)),
        ("noise-free-lag", "cross_entropy", "last", np.log(2)),
    ],
)
def test_the_trivial_answer_is_that_to_what_is_learnt(
    tmp_path: Path, kind: str, loss: str, at: str, trivial: float
) -> None:
    """Two sequences are measured, and all steps of copy have a target: neither has a say."""
    still = {"optimiser": {"kind": "sgd", "rate": 0.0}, "loss": loss, "updates": 1}
    inputs, asked = {"kind": kind, "sequences": 2}, {"kind": "probe", "at": at}
    done = run(learning(train=still, inputs=inputs, loss=asked, length=30, sweep={}), out=tmp_path)
    found = done.run.result(done.run.points[0])["training"].values[2]
    assert found == pytest.approx(trivial, rel=0.02)


def test_an_axis_of_a_section_is_called_by_what_was_given() -> None:
    axis = [{"norm": 1.0}, {"adjoint": 2.0}]
    flow = gradflow.run(learning(sweep={"train.clip": axis, "seed": 2}))
    assert {point.axes["train.clip"] for point in flow.points} == {"norm=1.0", "adjoint=2.0"}
    (point,) = flow.select({"train.clip": {"adjoint": 2.0}}, seed=1)
    np.testing.assert_array_equal(
        flow.get("loss", {"train.clip": {"adjoint": 2.0}}, seed=1).values,
        flow.source.result(point)["loss"].values,
    )


def test_an_axis_may_vary_how_nets_learn(tmp_path: Path) -> None:
    sweep = {"train.optimiser.rate": [0.01, 0.02], "train.batch": [1, 2]}
    done = run(learning(sweep=sweep), out=tmp_path)
    assert done.computed == 4
    assert len(list(tmp_path.glob("*/points/*.npz"))) == 4


def test_windows_close_about_evenly_on_a_log_scale() -> None:
    assert watched(25, 10) == (10, 20, 25)
    found = watched(20_000, "log")
    assert found[-1] == 20_000
    assert len(found) == 68
    assert list(found) == sorted(set(found))
