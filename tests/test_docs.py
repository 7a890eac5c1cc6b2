"""What the documents show runs as it is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradflow.cli import app
from gradflow.errors import ConfigError
from gradflow.experiment.config import load_config, parse, schema
from gradflow.experiment.config.describe import EXAMPLES, keys_page
from gradflow.experiment.config.text import yaml

ROOT = Path(__file__).parents[1]
README, OWN_CELLS = ROOT / "README.md", ROOT / "docs" / "own-cells.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TERMINAL = "from gradflow.cli import main; main()"


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a document in one language."""
    return [text for name, text in FENCE.findall(document.read_text("utf-8")) if name == language]


def python(*words: str, where: Path, code: int = 0, **environment: str) -> str:
    """Run Python in a folder and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=where,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def install(where: Path, source: str, points: dict[str, str]) -> str:
    """Lay out `mypackage` as if it were installed; return what PYTHONPATH must be."""
    (where / "mypackage").mkdir(parents=True)
    (where / "mypackage" / "__init__.py").touch()
    (where / "mypackage" / "cells.py").write_text(source, "utf-8")
    info = where / "mypackage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
    lines = [f"{kind} = {target}" for kind, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[gradflow.cells]", *lines, ""]))
    return str(where)


def own_cells() -> str:
    """The cells of docs/own-cells.md."""
    *cells, _ = blocks(OWN_CELLS, "python")
    return "\n".join(cells)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package of docs/own-cells.md."""
    source = own_cells()
    (project,) = map(tomllib.loads, blocks(OWN_CELLS, "toml"))
    points = project["project"]["entry-points"]["gradflow.cells"]
    return install(tmp_path_factory.mktemp("site"), source, points)


def test_the_python_example_of_the_readme(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(ROOT / "results" / "baselines", tmp_path / "results" / "baselines")
    (example,) = blocks(README, "python")
    assert "vanishes" in python("-c", example, where=tmp_path)


def test_the_experiment_of_the_readme(tmp_path: Path) -> None:
    text = next(block for block in blocks(README, "yaml") if block.startswith("name: mine"))
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    python("-c", TERMINAL, "validate", "mine.yaml", where=tmp_path)


def test_the_mistake_of_the_readme(tmp_path: Path) -> None:
    text = next(block for block in blocks(README, "yaml") if block.startswith("name: mine"))
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("cell: lstm", "cell: lstn", 1), "utf-8")
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert str(error.value).replace(str(file), "mine.yaml") in README.read_text("utf-8")


def test_every_command_that_is_named_exists() -> None:
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    for document in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        text = "\n".join([*blocks(document, "sh"), *re.findall(r"`(.*?)`", document.read_text())])
        named = set(re.findall(r"(?:^|&& )gradflow ([a-z]+)", text, re.MULTILINE))
        assert named <= known, document


def test_the_cell_of_the_docs_conforms(leaky: str, tmp_path: Path) -> None:
    python("-c", "\n".join(blocks(OWN_CELLS, "python")), where=tmp_path)


def test_what_the_docs_leave_out_is_named_by_the_suite(tmp_path: Path) -> None:
    source, mgu, _ = blocks(OWN_CELLS, "python")
    (said,) = blocks(OWN_CELLS, "text")
    without = re.sub(r"    def through_gates.*?\n\n", "", mgu, flags=re.DOTALL)
    assert without != mgu
    call = f"{source}\n{without}\nfrom gradflow import check_cell"
    call += "\ntry: check_cell(MGU)\nexcept AssertionError as error: print(error)"
    assert python("-c", call, where=tmp_path) == said


def test_a_cell_of_the_docs_is_advised_on_and_explained(leaky: str, tmp_path: Path) -> None:
    """A gate called f that lets go: chrono opens it less, advice turns its bias down."""
    (tmp_path / "own.yaml").write_text(
        "model: {cell: mgu, hidden: 8}\ninputs: {kind: noise}\nlength: 40\n"
        "record: {gates: true, paths: true}\n"
    )
    run = python("-c", TERMINAL, "run", "own.yaml", where=tmp_path, PYTHONPATH=leaky)
    assert "mean leak (1 − f)" in " ".join(run.split())
    advice = python("-c", TERMINAL, "advise", "own.yaml", where=tmp_path, PYTHONPATH=leaky)
    assert re.search(r"update bias .*init\.bias\.f=-", advice)


def test_the_cell_of_the_docs_in_a_config_and_in_workers(leaky: str, tmp_path: Path) -> None:
    """Nothing but the installed package says where the cell is."""
    (named,) = re.findall(r"`(model: \{cell: \{kind: leaky.*?\}\})`", OWN_CELLS.read_text())
    (tmp_path / "own.yaml").write_text(
        f"name: own\n{named}\ninputs: {{kind: noise}}\nlength: 20\n"
        "sweep: {model.hidden: [4, 8], seed: 2}\n"
    )
    words = ("-c", TERMINAL, "run", "own.yaml", "-j", "2", "--json")
    content = json.loads(python(*words, where=tmp_path, PYTHONPATH=leaky))
    assert (content["computed"], content["missing"]) == (4, 0)
    assert {row["cell"] for row in content["rows"]} == {"leaky(leak=0.95)"}
    advice = python("-c", TERMINAL, "advise", "own.yaml", where=tmp_path, PYTHONPATH=leaky)
    assert "leaky" in advice
    schema = python("-c", TERMINAL, "schema", where=tmp_path, PYTHONPATH=leaky)
    assert "leaky" in schema
    assert "leaky" not in python("-c", TERMINAL, "schema", where=tmp_path)


def test_the_cell_of_the_docs_is_verified(leaky: str, tmp_path: Path) -> None:
    table = python("-c", TERMINAL, "verify", "leaky", where=tmp_path, PYTHONPATH=leaky)
    (row,) = [line for line in table.splitlines() if line.startswith("leaky")]
    assert re.fullmatch(r"leaky( +\d\.\de-\d\d){2}( +—){2} +passes *", row)


@pytest.mark.parametrize("target", ["mypackage.cells:Leaky", "mypackage.elsewhere:Leaky"])
def test_a_wrong_cell_of_ones_own_fails(target: str, tmp_path: Path) -> None:
    source = own_cells()
    wrong = source.replace("self.leak * ds + pull", "0.999 * self.leak * ds + pull")
    assert wrong != source
    path = install(tmp_path / "site", wrong, {"leaky": target})
    table = python("-c", TERMINAL, "verify", "leaky", where=tmp_path, code=1, PYTHONPATH=path)
    (row,) = [line for line in table.splitlines() if line.startswith("leaky ")]
    assert row.rstrip().endswith("fails")
    reason = "complex step: error" if "cells" in target else "ModuleNotFoundError"
    assert reason in " ".join(table.split())


def test_no_page_or_message_names_another_project() -> None:
    """On the package index `gradflow` is somebody else's; ours is gradflow-rnn."""
    wrong = re.compile(r"pip install [^\n]*?(?<![\w/.-])'?gradflow(?!-rnn)\b|\bgradflow\[")
    kinds = ("*.py", "*.md", "*.yml", "*.yaml", "*.toml")
    listed = subprocess.run(["git", "ls-files", *kinds], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / line for line in listed.stdout.splitlines()] or [
        README,
        *ROOT.glob("docs/*.md"),
    ]
    found = [
        f"{file.name}: {match[0]}"
        for file in files
        if file != Path(__file__)
        for match in [wrong.search(file.read_text("utf-8"))]
        if match
    ]
    assert not found


def _properties(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of the schema with what it says of it; a kind names itself."""
    for name, model in [("", whole), *whole["$defs"].items()]:
        for form in [model, *model.get("anyOf", [])]:
            for key, said in form.get("properties", {}).items():
                if "const" not in said:
                    yield f"{name}.{key}", said


def test_every_key_is_described_and_the_page_is_up_to_date() -> None:
    keys = dict(_properties(schema()))
    assert len(keys) > 150
    assert [key for key, said in keys.items() if not said.get("description")] == []
    assert CONFIGURATION.read_text("utf-8") == keys_page(), (
        "gradflow schema --markdown writes it anew"
    )


@pytest.mark.parametrize("section", EXAMPLES)
def test_an_example_of_the_page_is_an_experiment(section: str) -> None:
    given = yaml.parse_yaml(EXAMPLES[section], "page").plain
    parse({"model": {"cell": "lstm"}, "inputs": {"kind": "digits"}, "length": 100} | given)
