"""Ways to measure that fail in known ways; importable, so that spawned workers find them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.quantity import Quantity, Result
from gradflow.errors import NumericalError
from gradflow.experiment.config import parse
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle, PlannedPoint, bundle, plan
from gradflow.experiment.store.runs import Point


def an_experiment(*overrides: str, **sections: Any) -> Any:
    """Two cells, two lengths, three seeds, and quick."""
    return parse(
        {
            "name": "small",
            "model": {"cell": "rnn", "hidden": 4},
            "inputs": {"kind": "noise", "sequences": 2},
            "sweep": {"model.cell": ["rnn", "lstm"], "length": [3, 5], "seed": 3},
        }
        | sections,
        overrides,
    )


def bundles(*overrides: str) -> tuple[Bundle, ...]:
    return bundle(plan(an_experiment(*overrides)))


def label(point: Point | PlannedPoint) -> str:
    one = point.point if isinstance(point, PlannedPoint) else point
    return f"{one.cell} {one.length} {one.seed}"


def process(bundle: Bundle) -> list[Result]:
    """Record which process it was."""
    time.sleep(0.2)
    result = {"pid": Quantity("pid", (), np.array(os.getpid()))}
    return [result for _ in bundle.points]


def bad_seed(bundle: Bundle) -> list[Result]:
    """Fail for seed 1 of the RNN at length 5."""
    if any(label(point) == "rnn 5 1" for point in bundle.points):
        raise NumericalError("rnn: NaN at step 3")
    return measure(bundle)


def broken(bundle: Bundle) -> list[Result]:
    raise ZeroDivisionError("not ours")


def dies(bundle: Bundle, marker: Path, how: str = "kill") -> list[Result]:
    """Take the process along at the LSTM, as long as `marker` does not exist."""
    if bundle.points[0].config.model.cell_label == "lstm" and not marker.exists():
        if how == "once":
            marker.touch()
        if how == "exit":
            os._exit(5)
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(bundle)


def slow(bundle: Bundle, marker: Path) -> list[Result]:
    """Say which process has begun with the LSTM, and never end it."""
    if bundle.points[0].config.model.cell_label == "lstm":
        marker.write_text(str(os.getpid()))
        time.sleep(600)
    return measure(bundle)
