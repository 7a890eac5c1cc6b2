"""The experiments of the literature can be planned, their nets as large as published."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradflow.core.learning.parameters import Layout
from gradflow.core.network.readout import Head
from gradflow.experiment.config import load_config
from gradflow.experiment.measure.plan import plan

FILES = sorted((Path(__file__).parent.parent / "configs" / "history").glob("*.yaml"))

WEIGHTS = {
    "1997-1-embedded-reber": (264, 7),
    "1997-1-embedded-reber-3x2": (276, 7),
    "1997-2c-noisy-lag": (364, 2),
    "1997-3a-two-sequence": (102, 1),
    "1997-4-adding": (93, 1),
    "1997-5-multiplication": (93, 1),
    "1997-6a-temporal-order": (156, 4),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_of_the_literature_is_planned(file: Path) -> None:
    experiment = load_config(file)
    points = plan(experiment)
    assert len(points) == 10
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
