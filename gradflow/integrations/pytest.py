"""The plugin of pytest: the fixture `gradient_flow`, and ``*.gradflow.yaml`` collected as tests.

pytest imports this module whenever it starts, in projects that have nothing to do with gradflow,
too: what measures is imported by the first test that asks for it.
"""

from __future__ import annotations

import functools
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradflow.integrations.fixture import GradientFlow

__all__ = ["ExperimentFile", "ExperimentItem", "gradient_flow"]

SUFFIX = ".gradflow.yaml"

WRITTEN = "gradflow_baseline"
"""What a test's properties call a baseline that it wrote."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("gradflow", "gradient flow")
    group.addoption(
        "--gradflow-update",
        action="store_true",
        help="write the baselines of the tests that are run, in place of checking them",
    )
    group.addoption(
        "--gradflow-figures",
        metavar="DIR",
        default=None,
        help="where the figures of what fails are drawn (default: pytest's temporary folder)",
    )


@pytest.fixture
def gradient_flow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> GradientFlow:
    """Check how error flows back against a baseline beside the test; see `GradientFlow`."""
    item = request.node
    return _checker(item, _own_path(item), lambda: tmp_path_factory.mktemp("gradient_flow"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect an experiment as a test."""
    if file_path.name.endswith(SUFFIX):
        collected: pytest.Collector = ExperimentFile.from_parent(parent, path=file_path)
        return collected
    return None


class ExperimentFile(pytest.File):
    """An experiment file; its baseline lies beside it, under its name with ``.json``."""

    def collect(self) -> Iterator[ExperimentItem]:
        """Yield its only test."""
        yield ExperimentItem.from_parent(self, name="check")


class ExperimentItem(pytest.Item):
    """The check of an experiment file."""

    def runtest(self) -> None:
        """Measure it and compare."""
        figures = functools.partial(tempfile.mkdtemp, prefix="gradient_flow-")
        _checker(self, self.path.with_suffix(".json"), figures)(self.path)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the test is."""
        return self.path, 0, f"gradient flow of {self.path.name}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the baselines that were written; with xdist, too, they come with the reports."""
    written = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == WRITTEN and report.when == "call"
    ]
    if written:
        terminalreporter.section("gradflow")
        for line in written:
            terminalreporter.write_line(f"wrote {line}; commit it")


def _own_path(item: pytest.Item) -> Path:
    """Return where a test's baseline lies: ``test_file/test_name.json``, as data files do."""
    name = item.nodeid.partition("::")[2].replace("::", ".")
    stem = re.sub(r"[^\w.\[\]-]+", "_", name).strip("_")
    return item.path.with_suffix("") / f"{stem}.json"


def _checker(
    item: pytest.Item, baseline: Path, temporary: Callable[[], str | Path]
) -> GradientFlow:
    from gradflow.integrations.fixture import GradientFlow

    chosen = item.config.getoption("--gradflow-figures")

    def figures() -> Path:
        folder = Path(temporary() if chosen is None else chosen, baseline.stem)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return GradientFlow(
        baseline=baseline,
        figures=figures,
        accept=shlex.join(["pytest", item.nodeid, "--gradflow-update"]),
        update=item.config.getoption("--gradflow-update"),
        beside=item.path.parent,
        on_write=lambda line: item.user_properties.append((WRITTEN, line)),
    )
