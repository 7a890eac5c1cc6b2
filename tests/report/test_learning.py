"""What is said of nets that learned: who has, after how much, and what held the others back."""

from __future__ import annotations

import re
from pathlib import Path

from gradflow.experiment.config import parse
from gradflow.experiment.run import run
from gradflow.report.read.lessons import lessons
from tests.experiment.test_training import learning


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


def test_nothing_is_said_of_nets_that_do_not_learn(tmp_path: Path) -> None:
    data = {"name": "still", "model": {"cell": "lstm", "hidden": 2}, "inputs": {"kind": "noise"}}
    assert lessons(run(parse(data | {"length": 3}), out=tmp_path).run) == []
