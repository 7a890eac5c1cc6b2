"""The chapter's commands print what it says they print; every recorded quantity is described."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gradflow.cli import EXAMPLES, app
from gradflow.experiment.config import load_config
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle, PlannedPoint, plan
from tests.experiment.pickled import checkpoint

ROOT = Path(__file__).parent.parent
CHAPTER = ROOT / "docs" / "why-lstm.md"
TEAMS = ROOT / "docs" / "teams.md"
README = ROOT / "README.md"
QUANTITIES = ROOT / "docs" / "quantities.md"

BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"~?([−-]?)(\d[\d,]*)(?:\.(\d+))?(?:e(-?\d+))?$")
CUT = "…"
SMALL = """
model: {cell: lstm, hidden: 3}
inputs: {kind: noise, sequences: 2}
sweep: {model.cell: [rnn, lstm, gru], length: [4, 6]}
"""
RULE = "─"


def run(source: str) -> str:
    """What the commands of a block print to stdout."""
    printed = ""
    source = re.sub(r" +&& +", "\n", source)
    for line in source.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line, comments=True)
        assert program == "gradflow", line
        done = CliRunner().invoke(app, words, prog_name="gradflow")
        assert done.exit_code == 0, f"{line}\n{done.stderr}"
        printed += done.stdout
    return printed


def close(told: str, found: str) -> bool:
    """Whether a word is the same: of a number, to its last digit, or half a per cent."""
    if told == found:
        return True
    a, b = NUMBER.match(told), NUMBER.match(found)
    if not a or not b:
        return False
    x, y = value(a), value(b)
    digit = 10.0 ** (int(a[4] or 0) - len(a[3] or ""))
    return abs(x - y) <= max(1.001 * digit, 0.005 * abs(x))


def value(number: re.Match[str]) -> float:
    sign, whole, part, exponent = number.groups()
    size = float(f"{whole.replace(',', '')}.{part or 0}e{exponent or 0}")
    return -size if sign else size


def same(told: str, found: str) -> bool:
    a, b = told.split(), found.split()
    if a[-1] == CUT:
        a, b = a[:-1], b[: len(a) - 1]
    return len(a) == len(b) and all(map(close, a, b))


def missing(told: str, found: str) -> list[str]:
    """Lines that are not found where they should be: below the one before, unless cut."""
    lines = [x for x in found.splitlines() if x.strip() and not x.startswith(RULE)]
    lost, at, free = [], 0, True
    for line in told.splitlines():
        if line.strip() == CUT:
            free = True
            continue
        reach = len(lines) if free else at + 1
        hits = [i for i in range(at, min(reach, len(lines))) if same(line, lines[i])]
        free = not hits
        if hits:
            at = hits[0] + 1
        else:
            lost.append(line)
    return lost


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the shipped experiments."""
    (tmp_path / "configs").symlink_to(ROOT / "configs", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unprinted(document: Path) -> list[str]:
    """Run a page's commands in their order; return what they do not print, block by block."""
    problems = []
    for source, told in BLOCK.findall(document.read_text(encoding="utf-8")):
        if "pip install" in source:
            continue
        found = run(source)
        lost = missing(told, found)
        if lost:
            problems.append("\n".join([source, *(f"  not printed: {x}" for x in lost), found]))
    return problems


@pytest.mark.extras
def test_every_command_prints_what_the_chapter_says(checkout: Path) -> None:
    assert len(BLOCK.findall(CHAPTER.read_text(encoding="utf-8"))) > 10
    problems = unprinted(CHAPTER)
    assert not problems, "\n\n".join(problems)


@pytest.mark.extras
def test_every_command_prints_what_the_page_for_teams_says(checkout: Path) -> None:
    shutil.copytree(ROOT / "results" / "baselines", checkout / "results" / "baselines")
    problems = unprinted(TEAMS)
    assert not problems, "\n\n".join(problems)
    assert {path.name for path in (checkout / "results").iterdir()} == {
        "baselines", "quickstart", "regression"
    }  # fmt: skip


@pytest.mark.extras
def test_the_first_ten_minutes(checkout: Path) -> None:
    """The README's commands, in its order; two runs that it compares are given their names."""
    shutil.copytree(ROOT / "results" / "baselines", checkout / "results" / "baselines")
    tour, *others = [source for source, _ in BLOCK.findall(README.read_text("utf-8"))][1:]
    assert tour.startswith("gradflow run configs/quickstart.yaml")
    run(tour)
    run("gradflow mv wide before\ngradflow run mine.yaml name=after")
    for source in others:
        commands = [line for line in source.splitlines() if line.startswith("gradflow")]
        run("\n".join(line for line in commands if not line.startswith("gradflow verify")))
    for made in ("plots/length-s.svg", "plots/curves-s.png", "report.html"):
        assert (checkout / "results" / "quickstart" / made).exists(), made
    assert (checkout / "flow.csv").exists()


def test_the_example_of_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    names = {command.__name__: example for command, example in EXAMPLES.items()}
    for name, example in names.items():
        shown = " ".join(CliRunner().invoke(app, [name, "--help"]).stdout.split())
        assert shown.endswith(f"Example: gradflow {example}")
        assert not re.search(r"\[\[|\{[a-z]|\]\.\.\.\]", shown), (
            "arguments are written once, in capitals"
        )
        assert example.split()[0] == name
    run(f"gradflow {names.pop('init')}\ngradflow {names.pop('validate')}")
    net = {f"weight_{kind}h_l0": np.ones((8, 2), np.float32) for kind in "ih"}
    checkpoint(tmp_path / "model.pt", net)
    (tmp_path / "mine.yaml").unlink()
    run(f"gradflow {names.pop('inspect')}")
    (tmp_path / "mine.yaml").write_text(SMALL)
    assert '"properties"' in run(f"gradflow {names.pop('schema')}".partition(" >")[0])
    names.pop("report")  # tests/report/test_page.py writes pages, which takes seconds
    last = [names.pop(name) for name in ("mv", "rm")]
    for example in [*names.values(), *last]:
        run(f"gradflow {example}")
    made = {"length.pdf", "mine.csv", "advice.png", "results"}
    assert made <= {path.name for path in tmp_path.iterdir()}


def test_the_comparison_notices() -> None:
    found = "a  1.50  2\n────\nb  −0.136  ~430 ∞\nc  3"
    assert not missing("a  1.50  2\nb  −0.137  ~431 ∞\n", found)
    assert not missing("a  1.50  …\n…\nc  3", found)
    assert missing("a  1.50  2\nc  3", found) == ["c  3"]
    assert missing("b  −0.140  ~430 ∞", found)
    assert missing("b  0.136  ~430 ∞", found)
    assert missing("b  −0.136  ~430", found)
    assert missing("c  3\na  1.50  2", found) == ["a  1.50  2"]


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_pictures_and_links_are_there(document: Path) -> None:
    whole = document.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", whole, flags=re.MULTILINE | re.DOTALL)  # code has no links
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("http") or (document.parent / target).exists(), target


def small(point: PlannedPoint) -> PlannedPoint:
    config, train = point.config, point.config.train
    if config.inputs.kind == "file":
        return point
    few = None if train is None else train.model_copy(update={"updates": 2, "until": "never"})
    changes = {
        "train": few,
        "length": 131,
        "model": config.model.model_copy(update={"hidden": 3}),
        "inputs": config.inputs.model_copy(update={"sequences": 1}),
    }
    return PlannedPoint(config.model_copy(update=changes))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.extras if path.stem == "truncation" else ())
        for path in sorted((ROOT / "configs").glob("*.yaml"))
    ],
    ids=lambda path: path.stem,
)
def test_every_quantity_of_the_shipped_experiments_is_described(path: Path) -> None:
    described = set(re.findall(r"`([\w.]+)`", QUANTITIES.read_text(encoding="utf-8")))
    firsts = {point.config.model.cell_label: point for point in reversed(plan(load_config(path)))}
    for label, point in firsts.items():
        (result,) = measure(Bundle((small(point),)))
        assert set(result) <= described, label
