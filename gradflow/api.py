"""The Python API: an experiment in a few lines, from a notebook or a script.

>>> import gradflow
>>> experiment = gradflow.configure(
...     model={"cell": "lstm", "hidden": 8},
...     inputs={"kind": "noise", "sequences": 2},
...     sweep={"length": [10, 20], "seed": 3},
... )
>>> flow = gradflow.run(experiment)
>>> flow.get("c", length=20, seed=1).values.shape        # layer, direction, sequence, step
(1, 1, 2, 21)
>>> flow.get("c", length=20).dims                        # all seeds
('point', 'layer', 'direction', 'sequence', 'step')
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradflow.core.quantity import Quantity
from gradflow.errors import GradflowError, NumericalError, UserError
from gradflow.experiment.store.runs import RESULTS, Point, Run, open_run
from gradflow.report.read.keys import news
from gradflow.report.read.rates import Summary
from gradflow.report.read.rows import Row, rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gradflow.experiment.config import Experiment
    from gradflow.gate.compare import Judgement

__all__ = ["Flow", "check", "configure", "load", "open", "run"]

# Reading a run needs nothing that measures: what does is imported where it is used.


def load(path: str | Path, *overrides: str) -> Experiment:
    """Read an experiment file, with overrides like ``"model.hidden=64"``.

    Raises
    ------
    ConfigError
        With file, line, column, what was expected and the fix.
    """
    from gradflow.experiment.config import load_config

    return load_config(path, overrides)


def configure(**sections: Any) -> Experiment:
    """Build an experiment from the sections that a file would have.

    Raises
    ------
    ConfigError
        With the key, what was expected and the fix.
    """
    from gradflow.experiment.config import parse

    return parse(sections)


def run(
    experiment: Experiment | str | Path, *, out: str | Path | None = None, jobs: int = 1
) -> Flow:
    """Measure an experiment.

    Parameters
    ----------
    experiment : Experiment or path
        From `load` or `configure`, or the file.
    out : path, optional
        Keep the results in a folder below this one, and use what it holds already, as
        ``gradflow run`` does. Without it they stay in memory.
    jobs : int
        Processes that work side by side.

    Raises
    ------
    GradflowError
        If a point fails; the first one that does.
    """
    from gradflow.experiment.measure.measurement import measure
    from gradflow.experiment.run import in_memory
    from gradflow.experiment.run import run as run_stored
    from gradflow.experiment.workers.pool import workers

    if isinstance(experiment, str | Path):
        experiment = load(experiment)
    executor = workers(jobs)(measure)
    if out is None:
        finished = in_memory(experiment, executor=executor, fail_fast=True)
    else:
        finished = run_stored(experiment, out=Path(out), executor=executor, fail_fast=True)
    _raise_first(finished.failures)
    for text in news(finished):
        warnings.warn(text, stacklevel=2)
    return Flow(finished.run)


def open(run: str | Path, out: str | Path = RESULTS) -> Flow:
    """Open a stored run by its folder, or by its name below `out`."""
    return Flow(open_run(run, Path(out)))


def check(experiment: Experiment, *, out: str | Path = RESULTS, jobs: int = 1) -> Judgement:
    """Compare an experiment with its baseline, as ``gradflow check`` does.

    The verdict's ``passed`` says whether nothing differs; its ``findings`` what does.

    Raises
    ------
    NoBaselineError
        If there is none.
    """
    from gradflow.experiment.workers.pool import workers
    from gradflow.gate.check import check as check_stored

    return check_stored(experiment, out=Path(out), workers=workers(jobs))


@dataclass(frozen=True)
class Flow:
    """The measured gradient flow of an experiment, by label.

    Parameters
    ----------
    source : Run
        Its points, and where their results are: stored, or in memory.
    """

    source: Run

    @property
    def points(self) -> tuple[Point, ...]:
        """All points that were measured, in the order of the sweep."""
        return self.source.points

    def __repr__(self) -> str:
        cells = dict.fromkeys(point.cell for point in self.points)
        return f"<Flow {self.source.name}: {len(self.points)} points of {', '.join(cells)}>"

    def _repr_html_(self) -> str:
        from gradflow.report.tables.closing import closing_sheet
        from gradflow.report.tables.layout import html

        return html(closing_sheet(self.rows(), self.source.name))

    def select(self, labels: Mapping[str, Any] | None = None, /, **more: Any) -> list[Point]:
        """Return the points with these labels.

        Parameters
        ----------
        labels : mapping
            Values of swept axes by their dotted path.
        **more
            The same, for names without a dot: ``cell`` (its label), ``length``, ``seed``.
        """
        wanted = {**(labels or {}), **more}
        return [p for p in self.points if all(_is(p, k, v) for k, v in wanted.items())]

    def get(self, name: str, labels: Mapping[str, Any] | None = None, /, **more: Any) -> Quantity:
        """Return a recorded quantity at the points with these labels.

        One point gives its quantity as it is; several, which must have the same length, are
        stacked along a first axis ``point`` in the order of the sweep.

        Parameters
        ----------
        name : str
            ``h``, ``c``, ``s``, ``x``, … as recorded.
        labels, **more
            As in `select`.

        Raises
        ------
        UserError
            If no point has these labels, or their arrays do not fit together.
        """
        wanted = {**(labels or {}), **more}
        points = self.select(wanted)
        each = [r[name] for p in points if name in (r := self.source.result(p))]
        if not each:
            raise UserError(
                f"no point has {name!r} and the labels {wanted}\n"
                "  fix: `select()` lists the points, `record.states` what is kept"
            )
        if len(each) == 1:
            return each[0]
        if len({quantity.values.shape for quantity in each}) > 1:
            raise UserError(
                f"{len(each)} points have these labels, and their arrays differ in shape\n"
                "  fix: say which `length`; of nets that learnt until updates of their own, which "
                "`seed`"
            )
        values = np.stack([quantity.values for quantity in each])
        first = each[0]
        return Quantity(name, ("point", *first.dims), values, first.coords, first.unit)

    def summary(
        self, state: str = "s", labels: Mapping[str, Any] | None = None, /, **more: Any
    ) -> list[Summary]:
        """Rates and verdicts of the rows that ``gradflow show`` prints, for these labels."""
        chosen = {p.hash for p in self.select(labels, **more)}
        part = self.source.part(p for p in self.points if p.hash in chosen)
        return [row.summary for row in rows(part, state, every=True)]

    def rows(self, state: str | None = None, *, every: bool = False) -> list[Row]:
        """Rows of the closing table."""
        return rows(self.source, state, every=every)

    def print(self) -> None:
        """Print the closing table."""
        from gradflow.report.tables.closing import closing_sheet
        from gradflow.report.tables.layout import print_sheet

        print_sheet(closing_sheet(self.rows(), self.source.name))

    def plot(self, ax: Axes, **options: Any) -> None:
        """Draw the curves of all cells onto an Axes; see `gradflow.report.figures.draw_curves`."""
        from gradflow.report.figures import draw_curves

        draw_curves(ax, self.source, **options)


def _is(point: Point, key: str, value: Any) -> bool:
    if isinstance(value, dict | list | tuple):  # as it would be written under `sweep`
        from gradflow.experiment.config.axes import labels

        value = labels("model.cell" if key == "cell" else key, [value])[0]
    known = {"cell": point.cell, "length": point.length, "seed": point.seed}
    return bool((known | dict(point.axes)).get(key) == value)


def _raise_first(failures: tuple[Any, ...]) -> None:
    for failure in failures:
        axes = ", ".join(f"{key}={value}" for key, value in failure.point.axes.items())
        wrong = failure.exit_code == UserError.exit_code
        error = NumericalError if failure.numerical else UserError if wrong else GradflowError
        raise error(f"{axes}: {failure.reason}" if axes else failure.reason)
