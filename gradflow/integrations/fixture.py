"""What the fixture `gradient_flow` of pytest does, once a test calls it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gradflow import api
from gradflow.errors import GradflowError, NoBaselineError, UserError
from gradflow.experiment.config import Experiment
from gradflow.experiment.store.runs import Run
from gradflow.experiment.workers.executor import Serial
from gradflow.gate.baseline import read_baseline
from gradflow.gate.cases import cases_of
from gradflow.gate.check import accept
from gradflow.gate.compare import Judgement
from gradflow.gate.evidence import draw_failures
from gradflow.gate.formats import write_verdict
from gradflow.gate.judging import assertions_of, judge_run
from gradflow.gate.twins import conditioned, measure_early

__all__ = ["GradientFlow"]

EXACT = 1e-6
"""Decades by which a flow may move: the usual tolerance of an experiment."""

LOOSE = 1e-3
"""Decades by which a PyTorch model's may: its float32 differs from one processor to the next."""


@dataclass
class GradientFlow:
    """Check how error flows back against a baseline beside the test.

    Called with what is to be checked, it returns the gate's judgement; where that is not passed
    the test fails, with the cell, the state, the lag, both values, a figure and the command that
    accepts the change. ``pytest --gradflow-update`` writes the baseline; nothing else does.

    >>> def test_ours(gradient_flow):                                       # doctest: +SKIP
    ...     gradient_flow("experiment.yaml")

    Parameters
    ----------
    baseline : Path
        Where the golden values are.
    figures : callable
        Gives the folder for the figures of what fails; it is asked when something does.
    accept : str
        The command that writes the baseline anew.
    update : bool
        Whether that was asked for.
    beside : Path
        The folder of the test: paths are relative to it.
    on_write : callable
        Is told what was written.
    """

    baseline: Path
    figures: Callable[[], Path]
    accept: str
    update: bool
    beside: Path
    on_write: Callable[[str], None] = lambda line: None
    _names: set[str] = field(default_factory=set)

    def __call__(
        self,
        subject: Any,
        *,
        loss: Callable[[], Any] | None = None,
        tolerance: float | None = None,
        name: str = "",
    ) -> Judgement | None:
        """Check one thing.

        Parameters
        ----------
        subject : path, mapping, Experiment, Flow, Probe or torch.nn.Module
            An experiment file, relative to the test; the sections of one; what `gradflow.load` or
            `gradflow.configure` gives; what was measured already, by `gradflow.run` or by
            `gradflow.integrations.torch.watch`; or a PyTorch model.
        loss : callable, optional
            Of a model: what runs it and returns L, which is then taken back through it.
        tolerance : float, optional
            In decades. By default the experiment's own; 1e-6 of a flow, 1e-3 of a model.
        name : str
            Tells the baselines apart where one test checks several things.

        Returns
        -------
        Judgement or None
            None where the baseline was written.
        """
        __tracebackhide__ = True
        path = self._path(name)
        try:
            return self._check(subject, path, loss, tolerance)
        except NoBaselineError as error:
            text = f"{error}\n  fix: {self.accept} writes it, then commit it"
        except GradflowError as error:
            text = str(error)
        pytest.fail(text, pytrace=False)

    def _check(
        self, subject: Any, path: Path, loss: Callable[[], Any] | None, tolerance: float | None
    ) -> Judgement | None:
        __tracebackhide__ = True
        expected = None if self.update else read_baseline(path)
        experiment = self._experiment(subject)
        if experiment is not None:
            stored, usual = api.run(experiment).source, experiment.check.tolerance
        else:
            stored, usual = _measured(subject, loss)
        tolerance = usual if tolerance is None else tolerance
        if expected is None:
            self._write(path, stored, experiment, tolerance)
            return None
        if experiment is None:
            verdict = judge_run(stored, expected, tolerance)
        else:
            early, failures = measure_early(experiment, expected, Serial)
            asserts = assertions_of(experiment.check.model_dump(by_alias=True))
            verdict = judge_run(
                stored, expected, tolerance, early=early, assertions=asserts, failures=failures
            )
        if not verdict.passed:
            pytest.fail(self._report(verdict, path), pytrace=False)
        return verdict

    def _path(self, name: str) -> Path:
        if name in self._names:
            raise pytest.UsageError(
                f"gradient_flow has checked {name or 'something'!r} in this test already: "
                "name= tells several apart"
            )
        self._names.add(name)
        stem = re.sub(r"[^\w.-]+", "_", name)
        return (
            self.baseline.with_name(f"{self.baseline.stem}.{stem}.json") if name else self.baseline
        )

    def _experiment(self, subject: Any) -> Experiment | None:
        if isinstance(subject, Experiment):
            return subject
        if isinstance(subject, Mapping):
            return api.configure(**subject)
        if isinstance(subject, str | os.PathLike):
            return api.load(self.beside / subject)
        return None

    def _write(
        self, path: Path, stored: Run, experiment: Experiment | None, tolerance: float
    ) -> None:
        cases = cases_of(stored)
        if experiment is not None:
            cases = conditioned(experiment, cases, Serial, tolerance)
        was = path.exists()
        change = accept(path, cases, tolerance)
        changed = f", {len(change.findings)} changed" if was else ""
        self.on_write(f"{_near(path)}: {change.total} cases{changed}")

    def _report(self, verdict: Judgement, path: Path) -> str:
        text = write_verdict(verdict, "text", config=str(path), accept=self.accept)
        try:
            drawn = draw_failures(verdict, self.figures())
        except (OSError, GradflowError) as error:
            return f"{text}no figure: {error}\n"
        return text + "".join(f"figure: {file}\n" for file in drawn)


def _measured(subject: Any, loss: Callable[[], Any] | None) -> tuple[Run, float]:
    """Return what has been measured of something that is no experiment, and its usual tolerance."""
    if isinstance(subject, Run):
        return subject, EXACT
    if isinstance(subject, api.Flow):
        return subject.source, EXACT
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(subject, torch.nn.Module):
        if loss is None:
            raise UserError(
                f"{type(subject).__name__} by itself has no gradient: that takes a loss\n"
                "  fix: gradient_flow(model, loss=lambda: criterion(model(x), y))"
            )
        from gradflow.integrations.torch import watch

        with watch(subject) as watched:
            loss().backward()
        return watched.flow.source, LOOSE
    flow = getattr(subject, "flow", None)
    if isinstance(flow, api.Flow):
        return flow.source, LOOSE
    raise UserError(
        f"gradient_flow cannot check a {type(subject).__name__}\n"
        "  expected: an experiment (its file, its sections, or what gradflow.configure returns), a "
        "flow, a probe, or a torch.nn.Module with loss="
    )


def _near(path: Path) -> Path:
    """Write a path as seen from where pytest was started."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
