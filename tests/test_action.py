"""The Action's steps as one script, and the hooks that other repositories ask of pre-commit."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gradflow.cli import app

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))

CONFIG = """\
name: small
model: {cell: rnn, hidden: 4}
inputs: {kind: noise, sequences: 2}
sweep: {model.cell: [rnn, cec], length: [3, 12]}
"""

PYTHON = f"""\
#!/bin/sh
if [ "$2" = pip ]; then echo "$@" >> pip.log; exit 0; fi
exec {shlex.quote(sys.executable)} "$@"
"""


def script(**inputs: str) -> str:
    """All steps of the Action that are commands, with the inputs that a workflow gives."""
    known = {
        f"inputs.{name}": str(one.get("default", "")) for name, one in ACTION["inputs"].items()
    }
    known |= {f"inputs.{name}": value for name, value in inputs.items()}
    known |= {"github.action_path": str(ROOT), "runner.temp": "temp"}
    lines = []
    for step in ACTION["runs"]["steps"]:
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"]  # what a user writes reaches a script by name alone
            for name, text in step.get("env", {}).items():
                value = re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known[found[1]], text)
                lines.append(f"export {name}={shlex.quote(value)}")
            lines.append(step["run"])
    return "\n".join(lines)


class Job:
    """A checkout with an experiment and its baseline, on a machine of GitHub's."""

    def __init__(self, where: Path) -> None:
        self.where = where
        (where / "small.yaml").write_text(CONFIG)
        (where / "temp").mkdir()
        (where / "bin").mkdir()
        (where / "bin" / "python").write_text(PYTHON)
        (where / "bin" / "python").chmod(0o755)

    def run(self, *, code: int, **inputs: str) -> tuple[str, str]:
        """Run the steps; return what they print, and what they add to the job's page."""
        page = self.where / "page.md"
        page.write_text("before\n")
        environment = {
            **os.environ,
            "PATH": f"{self.where / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CI": "true",
            "GITHUB_STEP_SUMMARY": str(page),
            "GITHUB_OUTPUT": str(self.where / "output"),
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script(**inputs)],
            cwd=self.where, env=environment, capture_output=True, text=True, timeout=99, check=False
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert (self.where / "output").read_text().splitlines()[-1] == f"exit-code={code}"
        text = page.read_text("utf-8")
        assert text.startswith("before\n")
        return done.stdout, text.removeprefix("before\n")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    made = Job(tmp_path_factory.mktemp("job"))
    words = ["baseline", "small.yaml", "--results", "kept", "--force", "-q"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.where)
        assert CliRunner().invoke(app, words).exit_code == 0
    return made


def test_what_passes_is_shown_with_a_picture(job: Job) -> None:
    said, page = job.run(code=0, config="small.yaml", results="kept")
    assert (job.where / "pip.log").read_text().split()[-1] == str(ROOT)
    assert said.startswith("::notice title=gradflow::small: passed, 8 cases compared")
    assert "### ✅ Gradient flow: small: passed" in page
    assert re.search(r"```mermaid\n.*\nxychart-beta horizontal\n(  .*\n)+```", page)
    assert re.search(r"\| cec \| 0\.0 \| 0\.0 \| 0 \|.*\| steady \|", page)
    assert not list((job.where / "temp" / "gradient-flow").iterdir())


def test_what_fails_is_a_table_a_picture_and_a_file(job: Job) -> None:
    said, page = job.run(
        code=1, config="small.yaml", results="kept", arguments="init.recurrent_gain=1.2 -k rnn"
    )
    found = re.findall(
        r"^::error file=small.yaml,title=gradflow small%3A (\w+)::(.*)$", said, re.MULTILINE
    )
    assert len(found) == 4
    kind, worst = found[0][0], found[0][1].split("%0A")[0]
    assert kind == "exploding"
    assert worst.startswith("rnn length=12 seed=0 ")
    assert re.search(
        rf"\| rnn \| 4 of 4 \| {worst} \| \*\*more error arrives\*\* \| 12 \| 10\^-[\d.]+ \|", page
    )
    (drawn,) = re.findall(r"```mermaid\n.*\nxychart-beta\n((?:  .*\n)+)```", page)
    lines = [json.loads(one) for one in re.findall(r"line (\[.*\])", drawn)]
    lags = json.loads(re.findall(r"x-axis .* (\[.*\])", drawn)[0])
    assert [len(one) for one in lines] == [len(lags)] * 2
    assert lines[1][-1] > lines[0][-1]
    assert f'title "{worst}"' in drawn
    assert "gradflow baseline small.yaml init.recurrent_gain=1.2 --results kept" in page
    (figure,) = (job.where / "temp" / "gradient-flow").iterdir()
    assert f"Figure: `{figure.name}`" in page
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_says_why(job: Job) -> None:
    said, page = job.run(code=4, config="small.yaml", results="elsewhere")
    assert "::error file=small.yaml,title=gradflow::gradflow: there is no baseline else" in said
    assert "%0A  fix: gradflow baseline small.yaml --results elsewhere" in said
    assert "there is no baseline elsewhere/baselines/small.json\n  fix: " in page


def test_the_hooks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hooks: list[Any] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    for name, text in (("a", CONFIG), ("b", CONFIG), ("c", CONFIG.replace("rnn", "rnm", 1))):
        Path(f"{name}.gradflow.yaml").write_text(text)
    assert CliRunner().invoke(app, ["baseline", "a.gradflow.yaml"]).exit_code == 0

    def call(hook: dict[str, Any], *words: str) -> Any:
        program, *command = shlex.split(hook["entry"])
        assert program == "gradflow"
        return CliRunner().invoke(app, [*command, *words])

    gate, files = hooks
    assert not gate["pass_filenames"]
    assert call(gate, "a.gradflow.yaml").output == ""
    assert call(gate, "a.gradflow.yaml", "model.hidden=5").exit_code == 1
    names = sorted(str(path) for path in Path().iterdir() if re.search(files["files"], str(path)))
    assert names == ["a.gradflow.yaml", "b.gradflow.yaml", "c.gradflow.yaml"]
    assert call(files, *names[:2]).output == ""
    wrong = call(files, *names)
    assert wrong.exit_code == 2
    assert "c.gradflow.yaml:2:15: model.cell: unknown cell 'rnm'" in wrong.output
