"""What is said of nets that learned: who has, after how much, and what held the others back."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from gradflow.core.quantity import Result
from gradflow.errors import UserError
from gradflow.experiment.config import parse
from gradflow.experiment.run import run
from gradflow.experiment.store.runs import Point, Run
from gradflow.report.figures import KINDS, plot
from gradflow.report.figures.canvas import Setup
from gradflow.report.figures.output import private_style
from gradflow.report.figures.style import GREY
from gradflow.report.read.digest import digest
from gradflow.report.read.lessons import far_end, lessons
from tests.experiment.test_training import learning
from tests.report.test_plots import axes_of, overlaps, texts


def said(tmp_path: Path, **changes: object) -> str:
    (lesson,) = lessons(run(learning(**changes), out=tmp_path).run)
    assert lesson.cell == "lstm"
    return lesson.sentence


def test_nets_that_have_learnt_and_after_how_many_sequences(tmp_path: Path) -> None:
    found = said(tmp_path, train={"until": {"within": 5.0, "window": 10}})
    assert found.startswith("3 of 3 nets have learnt, after 10 sequences on average")


def test_nets_that_stall(tmp_path: Path) -> None:
    optimiser = {"kind": "sgd", "rate": 0.0}
    found = said(tmp_path, train={"optimiser": optimiser})
    assert "3 of 3 read 120 sequences" in found
    assert re.search(r"stalled, the far end of its gradient at 10\^−\d", found)
    assert "oscillates" not in found


def test_nets_that_oscillate(tmp_path: Path) -> None:
    optimiser = {"kind": "sgd", "rate": {"U": 0.0, "W": 0.0, "b": 0.0, "V": 2.0}}
    found = said(tmp_path, train={"optimiser": optimiser, "batch": 16, "clip": {"norm": 1.0}})
    assert re.search(r"it oscillates: \d+ % of the components of V change sign", found)


def told(run_of: Run, gain: list[float], agreement: float = 1.0) -> str:
    """What is said where nets gained and agreed like that; all else is as it was measured."""

    class Told:
        points = run_of.points

        def result(self, point: Point) -> Result:
            result = run_of.result(point)
            conflict = result["conflict_U.learning"]
            update = np.arange(1, len(gain) + 1)
            return result | {
                "gain": replace(result["gain"], values=np.array(gain), coords={"update": update}),
                "conflict_U.learning": replace(conflict, values=conflict.values * 0 + agreement),
            }

    (lesson,) = lessons(cast(Run, Told()))
    return lesson.sentence


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Run:
    train = {"head": {}, "updates": 4, "watch": {"every": 1}}
    record = {"states": ["s"], "contributions": True}
    one = learning("short", train=train, loss={"kind": "mse"}, record=record, sweep={}, length=9)
    return run(one, out=tmp_path_factory.mktemp("short")).run


@pytest.mark.parametrize(
    ("gain", "agreement", "words", "not_words"),
    [
        ([0.1, 0.2, 0.21, 0.22], 1.0, "22 % of what the trivial answer loses, 2 % in", "conflict"),
        ([0.1, 0.2, 0.21, 0.22], 1.0, "latter half of its updates: stalled, the far end", "osci"),
        ([0.1, 0.2, 0.3, 0.4], 1.0, "gained 40 %", "stalled"),
        ([0.9, 0.97, 0.97, 0.97], 1.0, "gained 97 %", "stalled"),
        ([0.1, 0.2, 0.3, 0.4], 0.32, "; its steps conflict: 32 % of their parts", "stalled"),
        ([0.1, 0.2, 0.3, 0.4], 0.34, "gained 40 %", "conflict"),
    ],
)
def test_what_holds_a_net_back_is_said_by_its_figures(
    short: Run, gain: list[float], agreement: float, words: str, not_words: str
) -> None:
    sentence = told(short, gain, agreement)
    assert words in sentence
    assert not_words not in sentence


def test_nothing_is_said_of_nets_that_do_not_learn(tmp_path: Path) -> None:
    data = {"name": "still", "model": {"cell": "lstm", "hidden": 2}, "inputs": {"kind": "noise"}}
    assert lessons(run(parse(data | {"length": 3}), out=tmp_path).run) == []


CELLS = ("rnn", "lstm")
KINDS_OF_LEARNING = {"training": "h", "learning": "loss", "symptoms": None, "success": None}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nets of two cells and lengths; those of the first length stop soon, by a loose criterion."""
    sweep = {"model.cell": ["rnn", "lstm"], "length": [4, 6], "seed": 2}
    train = {"until": {"within": 0.8, "window": 20}, "watch": {"every": 15}, "batch": 4}
    experiment = learning("figures", train=train, sweep=sweep)
    return run(experiment, out=tmp_path_factory.mktemp("taught")).run


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.extras if kind == "training" else ())
        for kind in KINDS_OF_LEARNING
    ],
)
def test_figures_are_the_same_bytes_and_their_texts_apart(
    taught: Run, tmp_path: Path, kind: str
) -> None:
    forms = ("svg", "gif") if kind == "training" else ("svg",)
    state = KINDS_OF_LEARNING[kind]
    made = [plot(taught, kind, state=state, formats=forms, out=tmp_path / one) for one in "ab"]
    assert [path.suffix[1:] for path in made[0]] == list(forms)
    for a, b in zip(*made, strict=True):
        assert a.read_bytes() == b.read_bytes()
    with private_style():
        for name, found in KINDS[kind].gather(taught, state).items():
            assert overlaps(KINDS[kind].draw(found, name, Setup())) == ([], [])


def test_where_no_net_has_learnt_stands_above_all_numbers(tmp_path: Path) -> None:
    train = {"optimiser": {"kind": "sgd", "rate": 0.0}}
    stalled = run(learning("stalled", train=train, sweep={"length": [4, 6]}), out=tmp_path).run
    with private_style():
        found = KINDS["success"].gather(stalled)["success"]
        (ax,) = KINDS["success"].draw(found, "success", Setup()).axes
    (border,) = (line.get_ydata()[0] for line in ax.lines if line.get_color() == GREY)
    (none,) = (line.get_ydata() for line in ax.lines if line.get_marker() == "x")
    assert len(none) == 2
    assert max(ax.get_yticks()) <= border < min(none) < ax.get_ylim()[1]
    # A net that reads 2 sequences at each of 60 updates has read 40 to 120 sequences.
    assert 0.5 <= ax.get_ylim()[0] < np.log10(40)
    assert "wrong" not in KINDS["learning"].gather(stalled)
    assert "none" in [text.get_text() for text in ax.texts]


def test_a_net_that_has_stopped_keeps_its_last_number(taught: Run) -> None:
    site = KINDS["learning"].gather(taught, "loss")["loss"][0]
    for point, row, learnt in zip(taught.points[:2], site.of["loss"], site.learnt, strict=True):
        result = taught.result(point)
        own = np.asarray(result["loss"].coords["update"])
        assert learnt * 4 == result["training"].values[1]
        assert learnt == own[-1]
        before = site.update <= own[-1]
        np.testing.assert_array_equal(row[before], result["loss"].values[: before.sum()])
        assert (row[~before] == result["loss"].values[-1]).all()
    assert (np.diff(site.update)[:-1] == 15).all()


def test_a_table_holds_nets_that_stopped_at_updates_of_their_own(taught: Run) -> None:
    groups = [[p for p in taught.points if p.cell == cell and p.length == 6] for cell in CELLS]
    for name in ("loss", "turns", "s.learning"):
        lines = digest(taught, name).lines
        for cell, points in zip(CELLS, groups, strict=True):
            each = [taught.result(point)[name] for point in points]
            ends = {int(one.coords["update"][-1]) for one in each}
            assert name != "loss" or len(ends) == 2
            row = next(line for line in reversed(lines) if line.labels["cell"] == cell)
            last = [np.moveaxis(one.values, one.dims.index("update"), -1)[..., -1] for one in each]
            assert np.isclose([*row.values.values()][-1], np.median(last, axis=0)).any()


def test_the_far_end_is_that_of_the_last_loss(tmp_path: Path) -> None:
    loss, inputs = {"kind": "cross_entropy", "at": (22,)}, {"kind": "copy", "sequences": 2}
    train = {"loss": None, "head": {}, "updates": 2, "batch": 1, "watch": {"every": 1}}
    asked = learning("early", train=train, loss=loss, inputs=inputs, length=30, sweep={})
    early = run(asked, out=tmp_path).run
    result = early.result(early.points[0])
    curve = result["s.learning"].values[-1, 0, 0]
    assert far_end(result)[-1] == curve[0] - curve[22]
    assert np.isneginf(curve[23:]).all()


def test_the_map_is_the_median_over_seeds(taught: Run) -> None:
    site = KINDS["training"].gather(taught, "h")["h"][-1]
    curves = [taught.result(point)["h.learning"].values[-1, 0, 0] for point in taught.points[-2:]]
    np.testing.assert_allclose(site.norms[-1][::-1], np.median(curves, axis=0), rtol=1e-12)
    with private_style():
        drawn = KINDS["training"].draw([site], "h", Setup())
        film = KINDS["training"].film([site], "h", Setup())
    assert [ax.get_ylabel() for ax in axes_of(drawn)] == ["loss $L$", "lag"]
    film.turn(film.frames - 1)
    moving = axes_of(film.figure)[0].lines[1]
    np.testing.assert_array_equal(moving.get_ydata(), site.norms[-1])
    assert f"update {site.course.update[-1]}" in texts(film.figure)


def test_bars_of_conflict_are_of_the_nets_as_they_are(tmp_path: Path) -> None:
    """Not of what was seen while they learnt, whose lengths differ from seed to seed."""
    train = {"until": {"within": 0.8, "window": 20}, "watch": {"every": 3}, "batch": 4}
    record = {"states": ["h"], "contributions": True}
    stored = run(learning("bars", train=train, record=record), out=tmp_path).run
    watched = {stored.result(p)["conflict_U.learning"].values.shape for p in stored.points}
    assert len(watched) > 1
    (bars,) = KINDS["contributions"].gather(stored, "conflict")["conflict"]
    assert {name for name, _ in bars.of} == {"conflict_U", "conflict_W"}


def test_kinds_that_stand_still_and_runs_that_did_not_learn(taught: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="what moves, and can be a gif, is training"):
        plot(taught, "learning", formats=("gif",))
    still = {"name": "still", "model": {"cell": "rnn", "hidden": 2}, "inputs": {"kind": "noise"}}
    done = run(parse(still | {"length": 3}), out=tmp_path).run
    for kind in KINDS_OF_LEARNING:
        with pytest.raises(UserError, match="section  train:"):
            plot(done, kind)
    with pytest.raises(UserError, match="kind success needs more than one length"):
        plot(taught.part(taught.points[:2]), "success")
