"""Points, their hashes, and the bundles that run together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.experiment.config import parse
from gradflow.experiment.measure.plan import PlannedPoint, bundle, plan
from tests.work import calls

GOOD: dict[str, Any] = {"model": {"cell": "lstm"}, "inputs": {"kind": "noise"}, "length": 20}


def points(**more: Any) -> tuple[PlannedPoint, ...]:
    return plan(parse(GOOD | more))


def hashes(**more: Any) -> list[str]:
    return [point.hash for point in points(**more)]


def test_the_last_axis_runs_fastest_and_axes_carry_labels() -> None:
    sweep = {
        "model.cell": ["rnn", {"kind": "lstm", "coupled": True}],
        "init.forget_bias": [1, {"chrono": 10}],
        "loss.at": ["last", [1, 5]],
    }
    axes = [dict(point.axes) for point in points(sweep=sweep)]
    assert axes[0] == {"model.cell": "rnn", "init.forget_bias": 1.0, "loss.at": "last"}
    assert axes[1] == {"model.cell": "rnn", "init.forget_bias": 1.0, "loss.at": "1+5"}
    assert axes[2]["init.forget_bias"] == "chrono(10)"
    assert axes[-1]["model.cell"] == "lstm(coupled)"
    assert len(axes) == 8


def test_biases_by_gate_have_labels() -> None:
    sweep = {"init.bias": [{}, {"f": 1, "i": -1}]}
    assert [p.axes["init.bias"] for p in points(sweep=sweep)] == ["none", "f=1.0,i=-1.0"]
    assert [p.axes["init.bias.f"] for p in points(sweep={"init.bias.f": [1, 2]})] == [1.0, 2.0]


def test_options_of_a_cell_may_be_an_axis() -> None:
    found = points(sweep={"model.cell.peephole": ["none", "full"]})
    assert [p.config.model.cell_label for p in found] == ["lstm", "lstm(peephole=full)"]


def test_an_axis_may_complete_what_the_file_leaves_open() -> None:
    sweep = {"model.cell": ["rnn", "gru"], "inputs.kind": ["noise", "adding"]}
    found = points(model={"hidden": 3}, inputs={"sequences": 2}, sweep=sweep)
    assert {(p.config.model.cell.kind, p.config.inputs.kind) for p in found} == {
        (cell, kind) for cell in ("rnn", "gru") for kind in ("noise", "adding")
    }


def test_the_hash_is_the_points_own() -> None:
    (alone,) = hashes(length=16, seed=1)
    assert alone == "d1e0ccc4c01c4260"  # what was stored under it is found again
    swept = points(sweep={"length": [8, 16], "seed": 3})
    assert [p.hash for p in swept if (p.config.length, p.config.seed) == (16, 1)] == [alone]
    assert len({p.hash for p in swept}) == 6


@pytest.mark.parametrize(
    "more",
    [
        {"name": "other"},
        {"memory": "1GiB"},
        {"check": {"tolerance": 1}},
        {"model": {"cell": {"kind": "lstm", "peephole": "none"}, "hidden": 32}},
        {"init": {"recurrent_gain": 1}},
        {"record": {"states": ["s", "h", "c"]}},
    ],
)
def test_the_hash_leaves_out_what_changes_no_number(more: dict[str, Any]) -> None:
    assert hashes(**more) == hashes()


@pytest.mark.parametrize(
    "more",
    [
        {"length": 21},
        {"seed": 1},
        {"dtype": "float32"},
        {"model": {"cell": "gru"}},
        {"model": {"cell": "lstm", "bidirectional": True}},
        {"inputs": {"kind": "noise", "seed": 1}},
        {"init": {"forget_bias": None}},
        {"loss": {"at": "all"}},
        {"record": {"every": "log"}},
    ],
)
def test_the_hash_covers_what_changes_numbers(more: dict[str, Any]) -> None:
    assert hashes(**more) != hashes()


def test_the_hash_covers_the_content_of_files_and_not_their_place(tmp_path: Path) -> None:
    found = []
    for name, value in [("a", 0.0), ("b", 0.0), ("c", 1.0)]:
        np.save(tmp_path / f"{name}.npy", np.full((1, 9, 1), value))
        found += hashes(inputs={"kind": "file", "path": tmp_path / f"{name}.npy"}, length=9)
    assert found[0] == found[1] != found[2]


def test_a_file_that_has_gone_is_a_users_mistake(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 9, 1)))
    experiment = parse(GOOD | {"inputs": {"kind": "file", "path": tmp_path / "x.npy"}, "length": 5})
    (tmp_path / "x.npy").unlink()
    with pytest.raises(UserError, match=r"x\.npy"):
        plan(experiment)


def test_seeds_and_lengths_run_together() -> None:
    sweep = {"model.cell": ["rnn", "gru"], "length": [16, 8], "seed": [4, 2]}
    both = bundle(points(sweep=sweep))
    assert [one.points[0].config.model.cell.kind for one in both] == ["rnn", "gru"]
    for one in both:
        assert one.seeds == (2, 4)
        assert one.lengths == (8, 16)
        assert len(one.points) == 4


@pytest.mark.parametrize(
    "more",
    [
        {"inputs": {"kind": "adding"}},
        {"model": {"cell": "rnn", "bidirectional": True}},
    ],
)
def test_lengths_that_share_no_forward_pass_run_apart(more: dict[str, Any]) -> None:
    parts = bundle(points(sweep={"length": [8, 16], "seed": 2}, **more))
    assert [(one.lengths, one.seeds) for one in parts] == [((8,), (0, 1)), ((16,), (0, 1))]


@pytest.mark.parametrize("axis", ["dtype", "memory", "loss.at", "inputs.seed", "record.every"])
def test_nothing_else_runs_together(axis: str) -> None:
    values = {
        "dtype": ["float64", "float32"],
        "memory": ["1GiB", "2GiB"],
        "loss.at": ["last", "all"],
        "inputs.seed": [0, 1],
    }
    if axis in values:
        assert len(bundle(points(sweep={axis: values[axis], "length": [8, 16]}))) == 2
    else:
        every = [points(record={"every": n}) for n in (1, 2)]
        assert len(bundle([*every[0], *every[1]])) == 2


def test_what_is_left_of_a_grid_is_cut_into_full_ones() -> None:
    whole = points(sweep={"length": [8, 16, 32], "seed": 4})
    done = {(8, 0), (8, 1), (16, 3), (32, 3)}
    left = [p for p in whole if (p.config.length, p.config.seed) not in done]
    parts = bundle(left)
    assert [(one.lengths, one.seeds) for one in parts] == [
        ((8, 16, 32), (2,)),
        ((8,), (3,)),
        ((16, 32), (0, 1)),
    ]
    assert sorted(p.hash for one in parts for p in one.points) == sorted(p.hash for p in left)
    for one in parts:
        assert len(one.points) == len(one.lengths) * len(one.seeds)


def test_a_point_that_stands_twice_is_measured_once() -> None:
    whole = points(sweep={"seed": 2})
    (one,) = bundle([*whole, *whole])
    assert one.points == whole


def test_nothing_makes_no_bundle() -> None:
    assert bundle([]) == ()


def test_a_large_sweep_is_planned_in_few_calls_a_point() -> None:
    found: list[PlannedPoint] = []
    sweep = {"init.recurrent_gain": [k / 64 for k in range(20)], "seed": 50}
    assert calls(lambda: found.extend(points(sweep=sweep))) < 120 * 1_000
    assert len({p.hash for p in found}) == 1_000
    assert len(bundle(found)) == 20
    distinct = {"init.recurrent_gain": [k / 64 for k in range(20)], "inputs.scale": [*range(1, 51)]}
    assert calls(lambda: points(sweep=distinct)) < 600 * 1_000
