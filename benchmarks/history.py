"""`python -m benchmarks.history COMMIT RUN …`: what became of the nets, into results/history.json.

The runs are those of configs/history, finished or stopped, measured by the code of COMMIT.
docs/history.md is written from the file, and a test holds the two together.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import HERE
from gradflow.core.learning.loop import REASONS
from gradflow.experiment.measure.seen import PULSE
from gradflow.experiment.store.manifest import UNFINISHED
from gradflow.experiment.store.runs import Point, Run, open_run
from gradflow.experiment.store.whole import unsealed

FILE = HERE.parent / "results" / "history.json"

Net = tuple[Point, int, str, float]
"""A net, the sequences that it has read, why it stopped (running: was made to), its last loss."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("run", nargs="+", type=Path)
    options = parser.parse_args()
    found = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    for path in options.run:
        run = open_run(path)
        version = next((one["gradflow"] for one in run.environments), "0.1.0")
        found[run.name] = {"version": version, "commit": options.commit, "nets": rows(run)}
    FILE.write_text(text(dict(sorted(found.items()))), "utf-8")


def rows(run: Run) -> list[dict[str, Any]]:
    """A row for each group of nets that differ in nothing but their seed."""
    groups: dict[str, list[Net]] = {}
    for net in (*_finished(run), *_unfinished(run)):
        point = net[0]
        axes = [f"{key}={value}" for key, value in point.axes.items() if key != "seed"]
        groups.setdefault(", ".join(axes), []).append(net)
    return [
        {
            "where": where,
            "seeds": [point.seed for point, *_ in nets],
            "read": [read for _, read, _, _ in nets],
            "why": [why for _, _, why, _ in nets],
            "loss": [float(f"{loss:.3g}") for *_, loss in nets],
        }
        for where, nets in groups.items()
    ]


def _finished(run: Run) -> Iterator[Net]:
    for point in run.points:
        seen = run.result(point)
        read, learnt, _ = seen["training"].values
        why = "updates" if np.isnan(learnt) else "learnt"
        yield point, int(read), why, float(seen["loss"].values[-1])


def _unfinished(run: Run) -> Iterator[Net]:
    """The nets of runs that were stopped, from what they would go on from."""
    for file in sorted((run.path / UNFINISHED).glob("*.npz")):
        pulse = json.loads(file.with_suffix(PULSE).read_text("utf-8"))
        with np.load(io.BytesIO(unsealed(file.read_bytes()))) as state:
            update, stopped, why = int(state["update"]), state["stopped"], state["why"]
            losses = state["window.loss"]
        points = [p for p in run.missing if (p.cell, p.length) == (pulse["cell"], pulse["length"])]
        for net, point in enumerate(points):
            batch = point.settings["train"]["batch"]
            ended = int(stopped[net]) if why[net] else update
            mine = losses[:, net][~np.isnan(losses[:, net])]
            yield point, ended * batch, REASONS[why[net]] or "running", float(mine[-1])


def text(found: dict[str, Any]) -> str:
    """JSON with a line for each list, which shows in a diff what has changed."""
    runs = []
    for name, run in found.items():
        rows = [
            ",\n    ".join(f'"{key}": {json.dumps(value)}' for key, value in row.items())
            for row in run["nets"]
        ]
        head = f'"version": "{run["version"]}", "commit": "{run["commit"]}"'
        nets = "},\n   {".join(rows)
        runs.append(f' "{name}": {{{head}, "nets": [\n   {{{nets}}}]}}')
    return "{\n" + ",\n".join(runs) + "\n}\n"


if __name__ == "__main__":
    main()
