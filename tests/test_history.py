"""The experiments of the literature can be planned, their nets as large as published."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.core.analyses.rtrl import rtrl
from gradflow.core.engine.plain import unrolled
from gradflow.core.learning.feed import Feed
from gradflow.core.learning.loop import Rules, Trainer
from gradflow.core.learning.objective import Objective
from gradflow.core.learning.optimisers import SGD
from gradflow.core.learning.parameters import Layout
from gradflow.core.network.losses import Given
from gradflow.core.network.readout import Head
from gradflow.experiment.config import load_config
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.run import run

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "configs" / "history").glob("*.yaml"))
RESULTS = json.loads((ROOT / "results" / "history.json").read_text("utf-8"))
TABLE = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (ROOT / "docs" / "history.md").read_text("utf-8").splitlines()
    if line.startswith("|") and line.count("|") == 8
]
"""Rows of docs/history.md: experiment, paper, run, weights, theirs, ours, nets."""

WEIGHTS = {
    "1997-1-embedded-reber": (264, 7),
    "1997-1-embedded-reber-3x2": (276, 7),
    "1997-2a-rnn": (36, 5),
    "1997-2a-rnn-10": (144, 11),
    "1997-2c-noisy-lag": (364, 2),
    "1997-3a-two-sequence": (102, 1),
    "1997-3b-noisy-two-sequence": (102, 1),
    "1997-3c-noisy-targets": (102, 1),
    "1997-4-adding": (93, 1),
    "1997-4-adding-500": (93, 1),
    "1997-5-multiplication": (93, 1),
    "1997-6a-temporal-order": (156, 4),
    "1997-6b-temporal-order": (308, 8),
    "2000-continual-reber": (424, 7),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_of_the_literature_is_planned(file: Path) -> None:
    experiment = load_config(file)
    points = plan(experiment)
    config = points[0].config
    assert config.train is not None
    assert config.train.criterion(config.inputs.task) is not None
    assert experiment.name == file.stem
    if file.stem in WEIGHTS:
        count, outputs = WEIGHTS[file.stem]
        head = config.train.head
        described = Head(outputs, head.bias, head.shortcut, head.activation)
        net = config.model.build(config.inputs.task.features)
        assert Layout(net, described).size == count


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_of_the_literature_begins_to_learn(file: Path, tmp_path: Path) -> None:
    small = ["train.updates=3", "train.watch.every=1", "inputs.sequences=2", "sweep.seed=1"]
    done = run(load_config(file, small), out=tmp_path)
    assert (done.failures, len(done.run.points)) == ((), done.computed)
    for point in done.run.points:
        seen = done.run.result(point)
        assert np.isfinite(seen["loss"].values).all()
        assert np.isfinite(seen["update"].values).all()  # log10: −inf where nothing moves


def test_every_experiment_has_a_row() -> None:
    runs = " ".join(row[2] for row in TABLE)
    assert [file.stem for file in FILES if f"`{file.stem}`" not in runs] == []


def said(nets: dict[str, Any]) -> tuple[str, str]:
    """The sequences that nets have read until they learnt, and how many have, as the table says."""
    ends = list(zip(nets["read"], nets["why"], strict=True))
    learnt = [read for read, why in ends if why == "learnt"]
    mean, spread = "–", ""
    if learnt:
        mean = f"{round(statistics.fmean(learnt), -2):,.0f}"
        spread = f" ± {round(statistics.stdev(learnt), -2):,.0f}" if len(learnt) > 1 else ""
    others = [read for read, why in ends if why != "learnt"]
    by = f" by {max(others):,}" if others else ""
    return mean + spread, f"{len(learnt)} of {len(ends)}{by}"


@pytest.mark.parametrize("name", RESULTS)
def test_the_table_tells_what_became_of_the_nets(name: str) -> None:
    for nets in RESULTS[name]["nets"]:
        own = [row for row in TABLE if f"`{name}`" in row[2] and nets["where"] in row[2]]
        assert len(own) == 1, nets["where"]
        assert own[0][5] == said(nets)[0]
        assert own[0][6].startswith(said(nets)[1])


def test_what_has_a_figure_has_a_result() -> None:
    for row in TABLE[2:]:
        if row[6] != "not run":
            assert row[2].split("`")[1] in RESULTS


def test_full_bptt_makes_the_updates_of_rtrl() -> None:
    config = plan(load_config(ROOT / "configs/history/1997-2a-rnn-10.yaml"))[0].config
    task, net = config.inputs.task, config.model.build(config.inputs.task.features)
    objective = Objective("half_squares", Head(task.features, shortcut=True, activation="logistic"))
    layout = Layout(net, objective.head)
    theta = np.random.default_rng(0).uniform(-1, 1, (1, layout.size))
    feed = Feed(partial(task.draw, config.length), config.length, [0])
    rules = Rules(SGD(1.0), watch=(1, 2, 3))
    trainer = Trainer(net, objective, theta, replace(feed), rules)
    for update, window in enumerate(trainer.windows()):
        question = feed(update)
        weights, head = layout.views(theta)
        y = unrolled(net, weights, question.x).outputs(0, question.steps)
        _, o, do = objective.answer(head, y, question)
        loss = Given(at="all", targets=objective.head.of(head).vjp(do, o))
        forward = rtrl(net, weights, question.x, loss, len(question.x), states=())
        for place, gradient in forward.gradients.items():
            moved = layout.view(window.theta - theta, place)
            error = np.linalg.norm(moved + gradient.plain)
            assert np.linalg.norm(moved) > 0
            assert error <= 1e-12 * np.linalg.norm(moved)
        theta = window.theta
