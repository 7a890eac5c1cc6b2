"""The plugin of pytest, as a project uses it that has gradflow installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gradflow
from gradflow.integrations.fixture import GradientFlow

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {
    "model": {"cell": "rnn", "hidden": 3},
    "inputs": {"kind": "noise", "sequences": 2},
    "sweep": {"length": [6, 12]},
}

TESTS = f"""
import gradflow

class TestNets:
    def test_sections(self, gradient_flow):
        gradient_flow({SMALL})

def test_flow(gradient_flow):
    gradient_flow(gradflow.run(gradflow.configure(**{SMALL})))

def test_without():
    pass
"""

YAML = "model: {cell: gru, hidden: 3}\ninputs: {kind: noise}\nlength: 12\nrecord: {states: [h]}\n"


LEFT_OUT = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "pytest_cov")]
"""Plugins that this needs not, and that cost time or write."""


class Project:
    """A folder of tests, and gradflow installed with its entry point."""

    def __init__(self, where: Path) -> None:
        self.tests = where / "tests"
        self.tests.mkdir()
        (self.tests / "test_nets.py").write_text(TESTS)
        (self.tests / "one.gradflow.yaml").write_text(YAML)
        info = where / "site" / "gradflow_installed-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gradflow-installed\n")
        (info / "entry_points.txt").write_text(
            "[pytest11]\ngradflow=gradflow.integrations.pytest\n"
        )
        self.path = os.pathsep.join(map(str, (info.parent, ROOT)))

    def python(self, *words: str, first: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python with what is installed, and with what lies in a folder before that."""
        path = f"{first}{os.pathsep}{self.path}" if first else self.path
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.tests.parent,
            env={**os.environ, "PYTHONPATH": path, "CI": "true"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def pytest(self, *words: str, passed: int, failed: int = 0, first: Path | None = None) -> str:
        done = self.python("-m", "pytest", "-q", *LEFT_OUT, "tests", *words, first=first)
        counts = f"{failed} failed, " * bool(failed) + f"{passed} passed in "
        assert counts in done.stdout, done.stdout + done.stderr
        return done.stdout

    def files(self) -> set[str]:
        found = self.tests.rglob("*")
        return {str(p.relative_to(self.tests)) for p in found if "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


def test_from_the_first_baseline_to_a_red_test(project: Project) -> None:
    before = project.files()
    written = project.pytest("-n", "1", "--gradflow-update", passed=4)
    assert "wrote tests/one.gradflow.json: 1 cases; commit it" in written
    names = {"one.gradflow.json", "test_nets", "test_nets/TestNets.test_sections.json"}
    assert project.files() - before == names | {"test_nets/test_flow.json"}
    for file, case, lag in (
        ("test_nets/TestNets.test_sections.json", "rnn length=12 seed=0 s", 12),
        ("one.gradflow.json", "gru length=12 seed=0 h", 3),
    ):
        path = project.tests / file
        golden = json.loads(path.read_text())
        values = golden["cases"][case]
        values["log10"][values["lags"].index(lag)] -= 0.25
        path.write_text(json.dumps(golden))
    red = project.pytest("--gradflow-figures", "drawn", passed=2, failed=2)
    for cell, lag, state, command, figure in (
        ("rnn", 12, "s", "tests/test_nets.py::TestNets::test_sections", "TestNets.test_sections"),
        ("gru", 3, "h", "tests/one.gradflow.yaml::check", "one.gradflow"),
    ):
        assert re.search(
            rf" exploding  {cell} length=12 seed=0 {state}\n +at lag {lag}: -[\d.]+ in the "
            rf"baseline, -[\d.]+ now \(\+0.25 decades\)\n(.*\n)+?  pytest {command} "
            rf"--gradflow-update\nfigure: drawn/{figure}/curves-{state}-vs-now.png\n",
            red,
        )
        assert (project.tests.parent / f"drawn/{figure}/curves-{state}-vs-now.png").exists()
    assert "Traceback" not in red


@pytest.mark.extras
def test_the_oldest_pytest_that_is_supported(tmp_path: Path) -> None:
    old = ("pytest==8.2.0", "pluggy==1.5.0")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, str(tmp_path / "old"), *old], check=True)
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    told = project.python("-c", "import pytest; print(pytest.__version__)", first=tmp_path / "old")
    assert told.stdout == "8.2.0\n"
    project.pytest("-n", "1", "--gradflow-update", passed=4, first=tmp_path / "old")
    project.pytest(passed=4, first=tmp_path / "old")


def test_what_the_page_for_teams_shows(tmp_path: Path) -> None:
    """Its test, written, moved and red: the message that the page prints."""
    page = (ROOT / "docs" / "teams.md").read_text("utf-8")
    (source,) = re.findall(r"^```python test_flow\.py\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (told,) = re.findall(r"^```text\n(experiment: FAILED.*?)^```$", page, re.DOTALL | re.MULTILINE)
    space: dict[str, Any] = {}
    exec(source, space)
    sizes = {}
    for name, test in space.items():
        if name.startswith("test_"):
            command = f"pytest test_flow.py::{name} --gradflow-update"
            own = tmp_path / "test_flow" / f"{name}.json"
            own.parent.mkdir(exist_ok=True)
            test(GradientFlow(own, lambda: tmp_path, command, True, tmp_path))
            test(GradientFlow(own, lambda: tmp_path, command, False, tmp_path))
            sizes[name] = len(list(own.parent.glob(f"{name}*")))
    assert sizes == {"test_our_initialisation": 1, "test_two_at_once": 2}
    moved = source.replace('"forget_bias": 1.0', '"forget_bias": 0.0')
    assert moved != source
    exec(moved, space)
    name = "test_our_initialisation"
    command = f"pytest test_flow.py::{name} --gradflow-update"
    own = tmp_path / "test_flow" / f"{name}.json"
    with pytest.raises(pytest.fail.Exception) as red:
        space[name](GradientFlow(own, lambda: tmp_path, command, False, tmp_path))
    pattern = ".*".join(re.escape(part) for part in told.replace("\n…\n", "…").split("…"))
    assert re.fullmatch(pattern, str(red.value), re.DOTALL), str(red.value)


def test_the_plugin_costs_pytest_nothing() -> None:
    """A project that does not use it pays for no NumPy, and coverage still sees the rest."""
    code = (
        "import sys, gradflow.integrations.pytest\n"
        "ours = {name for name in sys.modules if name.startswith('gradflow')}\n"
        "print(*sorted(ours), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    light = "gradflow gradflow._version gradflow.integrations gradflow.integrations.pytest False"
    assert done.stdout.split() == light.split()


@pytest.fixture
def checker(tmp_path: Path) -> Any:
    def make(*, update: bool = False) -> GradientFlow:
        return GradientFlow(tmp_path / "own.json", lambda: tmp_path, "accept", update, tmp_path)

    return make


def test_without_a_baseline_nothing_passes_and_nothing_is_written(
    checker: Any, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match="fix: accept writes it, then commit it"):
        checker()(SMALL)
    assert not list(tmp_path.iterdir())


def test_what_can_be_checked(checker: Any, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    checker(update=True)("small.yaml")
    experiment = gradflow.configure(**SMALL)
    flow = gradflow.run(experiment)
    for subject in (tmp_path / "small.yaml", SMALL, experiment, flow, flow.source):
        verdict = checker()(subject)
        assert (verdict.passed, len(verdict.compared), verdict.tolerance) == (True, 4, 1e-6)
    with pytest.raises(pytest.fail.Exception, match="FAILED in 4 cases"):
        checker()({**SMALL, "model": {"cell": "rnn", "hidden": 4}})
    assert checker()({**SMALL, "model": {"cell": "rnn", "hidden": 4}}, tolerance=50.0).passed


def test_several_of_one_test_have_baselines_of_their_own(checker: Any, tmp_path: Path) -> None:
    writer = checker(update=True)
    writer(SMALL)
    writer(SMALL, name="an other")
    assert {path.name for path in tmp_path.glob("*.json")} == {"own.json", "own.an_other.json"}
    with pytest.raises(pytest.UsageError, match="name= tells several apart"):
        writer(SMALL)


def test_assertions_of_an_experiment_hold_here_too(checker: Any) -> None:
    steep = {**SMALL, "check": {"assert": [{"state": "h", "slope": [1.0, 2.0]}]}}
    checker(update=True)(steep)
    with pytest.raises(pytest.fail.Exception, match="a slope from 1 to 2 was asserted"):
        checker()(steep)


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ({"model": {"cell": "lstn"}, "inputs": {"kind": "noise"}}, "did you mean lstm"),
        ("nowhere.yaml", "nowhere.yaml"),
        (3, "gradient_flow cannot check a int"),
    ],
)
def test_a_wrong_subject_is_one_message(checker: Any, subject: Any, said: str) -> None:
    checker(update=True)(SMALL)
    with pytest.raises(pytest.fail.Exception, match=said) as raised:
        checker()(subject)
    assert raised.value.pytrace is False
