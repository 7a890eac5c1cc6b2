"""A run stands alone: it is read from its folder, and knows what it was made of."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.experiment.config import load_config, parse
from gradflow.experiment.data import delimited, reading
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.models import opening
from gradflow.experiment.run import run
from gradflow.experiment.store import current
from gradflow.experiment.store.current import code
from gradflow.experiment.store.manifest import read_manifest
from gradflow.experiment.store.runs import open_run
from tests.experiment.measures import an_experiment

ROOT = Path(__file__).parents[2]

OWN = """
import numpy as np
from gradflow.core.cells.rnn import RNN

class Own(RNN):
    kind = "own"
    factor = {factor}

    def step_vjp(self, p, local, ds):
        before, *others = super().step_vjp(p, local, ds)
        return tuple(part * self.factor for part in before), *others
"""


def data(path: Path, rows: int = 30) -> None:
    values = np.random.default_rng(1).standard_normal((rows, 2))
    np.savetxt(path, values, delimiter=",", header="a,b", comments="")


def command(*words: str | Path, path: Path = ROOT, cwd: Path = ROOT) -> tuple[str, str]:
    """Run the program, or with `-c` some code, in a process of its own."""
    start = [sys.executable] if words[0] == "-c" else [sys.executable, "-m", "gradflow"]
    done = subprocess.run(
        [*start, *map(str, words)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{path}"},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def everything(folder: Path, out: Path) -> dict[str, bytes]:
    """What can be seen of a run: its table, its figures, its rows."""
    table, _ = command("show", folder, "--all")
    command("plot", folder, "--out", out)
    rows, _ = command("export", folder)
    files = {file.name: file.read_bytes() for file in out.iterdir()}
    return files | {"table": table.encode(), "rows": rows.encode()}


def test_a_run_is_read_with_its_data_and_weights_gone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    data(source / "d.csv")
    weights = {"weight_ih_l0": (12, 2), "weight_hh_l0": (12, 3)}
    np.savez(source / "w.npz", **{n: np.full(shape, 0.1) for n, shape in weights.items()})
    (source / "mine.yaml").write_text(
        "model: {cell: lstm, weights: w.npz}\n"
        "inputs: {kind: file, path: d.csv}\n"
        "sweep: {length: [5, 9]}\n"
    )
    run(load_config(source / "mine.yaml"), out=tmp_path / "results")
    stored = (tmp_path / "results" / "mine" / "config.yaml").read_text()
    assert f"# {str(source / 'd.csv')!r} was written 'd.csv'" in stored
    before = everything(tmp_path / "results" / "mine", tmp_path / "before")
    shutil.rmtree(source)
    shutil.copytree(tmp_path / "results" / "mine", tmp_path / "elsewhere" / "mine")
    shutil.rmtree(tmp_path / "results")
    assert everything(tmp_path / "elsewhere" / "mine", tmp_path / "after") == before
    point = open_run(tmp_path / "elsewhere" / "mine").points[0]
    assert point.settings["inputs"]["path"] == "d.csv"
    assert point.settings["inputs"]["resolved"] == str(source / "d.csv")
    assert point.settings["model"]["weights"] == "w.npz"
    assert len(point.settings["model"]["sha256"]) == 64


def test_looking_at_a_run_executes_no_mathematics(tmp_path: Path) -> None:
    run(an_experiment(), out=tmp_path)
    told = "import sys; print('loaded', *(m for m in sys.modules if m.startswith('gradflow.core')))"
    for words in (["show", "small", "--all"], ["plot", "small"], ["ls"]):
        code = f"""
import sys
from gradflow.cli import main
sys.argv = ["gradflow", *{words}, "--results", {str(tmp_path)!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
{told}
"""
        loaded = command("-c", code)[0].splitlines()[-1].split()
        assert set(loaded[1:]) <= {
            "gradflow.core",
            "gradflow.core.quantity",
            "gradflow.core.typing",
        }


def test_no_data_are_parsed_and_no_file_is_hashed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data(tmp_path / "d.csv")
    parsed: list[Path] = []

    def count(path: Path, columns: Any) -> Any:
        parsed.append(path)
        return delimited.read_csv(path, columns)

    monkeypatch.setattr("gradflow.experiment.data.reader.read_csv", count)
    read = open_count(monkeypatch, tmp_path / "d.csv")
    experiment = parse(
        {
            "model": {"cell": "rnn", "hidden": 3},
            "inputs": {"kind": "file", "path": str(tmp_path / "d.csv")},
            "sweep": {"length": [5, 9], "seed": 3, "model.cell": ["rnn", "gru"]},
        }
    )
    run(experiment, out=tmp_path / "results")
    assert len(parsed) == 1
    assert len(read) == 1
    assert plan(experiment) is plan(experiment)
    assert plan(experiment.model_copy(update={"method": "rtrl"}))[0].config.method == "rtrl"


def open_count(monkeypatch: pytest.MonkeyPatch, path: Path) -> list[Path]:
    """Collect the files that are hashed whole."""
    hashed: list[Path] = []
    right = reading.hashlib.file_digest

    def digest(file: Any, name: Any) -> Any:
        hashed.append(path)
        return right(file, name)

    monkeypatch.setattr("hashlib.file_digest", digest)
    return hashed


def test_edited_data_are_measured_again_and_named(tmp_path: Path) -> None:
    data(tmp_path / "d.csv")

    def once_more() -> Any:
        given = {"kind": "file", "path": str(tmp_path / "d.csv")}
        experiment = parse({"model": {"cell": "rnn"}, "inputs": given, "length": 9})
        return run(experiment, out=tmp_path / "results")

    assert once_more().computed == 1
    assert once_more().computed == 0
    data(tmp_path / "d.csv", rows=31)
    again = once_more()
    assert (again.computed, again.changed) == (1, (str(tmp_path / "d.csv"),))
    assert once_more().changed == ()
    assert len(open_run("experiment", tmp_path / "results").points) == 1


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_weights_are_read_once_and_edited_ones_are_measured_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "w.npz"
    rows = {"lstm": 12, "gru": 9}[kind]
    opened: list[Path] = []

    def count(path: Path, names: Any = None) -> Any:
        opened.append(path)
        return opening.open_checkpoint(path, names)

    def write(value: float) -> None:
        shapes = {"weight_ih_l0": (rows, 1), "weight_hh_l0": (rows, 3)}
        if kind == "gru":
            shapes |= {"bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
        np.savez(file, **{name: np.full(shape, value) for name, shape in shapes.items()})

    def once_more() -> Any:
        model = {"cell": kind, "weights": str(file)}
        sweep = {"length": [5, 9], "loss.at": ["last", "all"], "dtype": ["float64", "float32"]}
        experiment = parse({"model": model, "inputs": {"kind": "noise"}, "sweep": sweep})
        return run(experiment, out=tmp_path / "results")

    monkeypatch.setattr("gradflow.experiment.models.weights.open_checkpoint", count)
    write(0.1)
    assert once_more().computed == 8
    assert len(opened) == 1
    assert once_more().computed == 0
    write(0.2)
    again = once_more()
    assert (again.computed, again.changed) == (8, (str(file),))
    assert len(opened) == 2


def own(folder: Path, factor: float) -> None:
    """Write a package that registers a cell, as if it were installed."""
    (folder / "owncells").mkdir(parents=True, exist_ok=True)
    (folder / "owncells" / "__init__.py").write_text(OWN.format(factor=factor))
    about = folder / "owncells-1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: owncells\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[gradflow.cells]\nown = owncells:Own\n")


def test_an_edited_cell_is_measured_again_and_needed_only_then(tmp_path: Path) -> None:
    package = tmp_path / "site"
    own(package, 0.5)
    file = tmp_path / "mine.yaml"
    file.write_text("{model: {cell: own, hidden: 3}, inputs: {kind: noise}, length: 9}")
    words = ("run", file, "--results", tmp_path / "results", "--json")
    assert '"computed": 1' in command(*words, path=package)[0]
    assert '"computed": 0' in command(*words, path=package)[0]
    own(package, 0.25)
    found, _ = command(*words, path=package)
    assert '"computed": 1' in found
    assert "the code of cell own" in found
    assert "own" in command("show", tmp_path / "results" / "mine")[0]
    assert gradflow.open(tmp_path / "results" / "mine").points[0].cell == "own"


def test_two_processes_have_the_same_digests_wherever_they_stand(tmp_path: Path) -> None:
    code = (
        "from gradflow.experiment.measure.plan import plan; "
        "from tests.experiment.measures import an_experiment; "
        "print([(one.hash, one.point.code) for one in plan(an_experiment())])"
    )
    assert command("-c", code)[0] == command("-c", code, cwd=tmp_path)[0]


def test_a_run_that_has_nothing_to_do_changes_no_point(tmp_path: Path) -> None:
    run(an_experiment(), out=tmp_path)
    before = read_manifest(tmp_path / "small").model_dump(exclude={"updated"})
    run(an_experiment(), out=tmp_path)
    assert read_manifest(tmp_path / "small").model_dump(exclude={"updated"}) == before


TYPED = """
class Own:
    factor = 2.0

    def step(self, x, times=3):
        return [float(y) * times for y in x]

    @property
    def gate(self):
        return self.factor + 1

    @staticmethod
    def slope(y):
        return 1 - y
"""


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("factor = 2.0", "factor = 2.5", True),
        ("times=3", "times=4", True),
        ("float(y) * times", "float(y) - times", True),
        ("float(y)", "int(y)", True),
        ("+ 1", "+ 2", True),
        ("1 - y", "2 - y", True),
        ("class Own", "# a word\n\nclass Own", False),
    ],
)
def test_what_is_typed_into_an_interpreter_goes_by_what_it_does(
    old: str, new: str, counts: bool
) -> None:
    def digest(text: str) -> str:
        names: dict[str, Any] = {"__name__": "typed"}
        exec(compile(text, "<stdin>", "exec"), names)
        return code({"own": names["Own"]})["own"]

    assert digest(TYPED) == digest(TYPED)
    assert (digest(TYPED.replace(old, new)) != digest(TYPED)) is counts


def test_a_module_and_a_package_go_by_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a package's own, and of nothing beside it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_alone.py").write_text("class Own: ...\n")
    (tmp_path / "mine").mkdir()
    for file in ("__init__.py", "rule.py", "helper.py"):
        (tmp_path / "mine" / file).write_text("class Own: ...\n")
    places = {"mine_alone": "mine_alone.py", "mine.rule": "mine/helper.py"}
    for module, file in places.items():
        own = importlib.import_module(module).Own
        before = code({"own": own})["own"]
        (tmp_path / file).write_text("class Own: pass\n")
        current._source.cache_clear()
        assert code({"own": own})["own"] != before
