"""Two runs side by side: what is named first, what belongs together, what is drawn."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gradflow
from gradflow.cli import app
from gradflow.gate.sides import condensed
from gradflow.report.read.pairs import Side, compare_runs, overlaid
from gradflow.report.tables.differences import differences_sheets, in_short
from gradflow.report.tables.layout import markdown
from tests.report.fakes import Run as Fake
from tests.report.fakes import line

FILE: dict[str, Any] = {
    "name": "small",
    "model": {"cell": "lstm", "hidden": 4},
    "inputs": {"kind": "noise", "sequences": 2},
    "sweep": {"init.recurrent_gain": [0.5, 1.0], "length": [6, 12], "seed": 2},
}


def run(**sections: Any) -> Any:
    return gradflow.run(gradflow.configure(**{**FILE, **sections})).source


@pytest.fixture(scope="module")
def small() -> Any:
    return run()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stored runs, and the baseline of the first."""
    out = tmp_path_factory.mktemp("results")
    for name, cell in (("small", "lstm"), ("other", "gru")):
        file = out / f"{name}.yaml"
        file.write_text(json.dumps({**FILE, "name": name, "model": {"cell": cell, "hidden": 4}}))
        assert call(out, "run", str(file), "-q").exit_code == 0
    assert call(out, "baseline", str(out / "small.yaml"), "--force", "-q").exit_code == 0
    return out


def call(results: Path, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--results", str(results)], prog_name="gradflow")


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("model.hidden", {"model": {"cell": "lstm", "hidden": 5}}),
        ("model.cell", {"model": {"cell": {"kind": "lstm", "coupled": True}, "hidden": 4}}),
        ("inputs.kind", {"inputs": {"kind": "adding", "sequences": 2}}),
        ("inputs.scale", {"inputs": {"kind": "noise", "sequences": 2, "scale": 2.0}}),
        ("init.recurrent_gain", {"sweep": {**FILE["sweep"], "init.recurrent_gain": [0.5, 1.1]}}),
        ("loss.at", {"loss": {"kind": "probe", "at": "all"}}),
        ("length", {"sweep": {**FILE["sweep"], "length": [6, 13]}}),
        ("seed", {"sweep": {**FILE["sweep"], "seed": 3}}),
        ("dtype", {"dtype": "float32"}),
    ],
)
def test_the_key_that_differs_is_named_first(small: Any, key: str, change: Any) -> None:
    found = compare_runs(Side("a", small), Side("b", run(**change)))
    assert found.keys is not None
    assert [one.key for one in found.keys][:1] == [key]
    first = markdown(differences_sheets(found)[0]).splitlines()[2]
    assert first.replace("\\", "").startswith(f"| {key} |")


def test_keys_come_in_the_order_of_the_file(small: Any) -> None:
    other = run(loss={"kind": "sum", "at": "all"}, model={"cell": "lstm", "hidden": 5})
    found = compare_runs(Side("a", small), Side("b", other))
    assert [one.key for one in found.keys or ()] == ["model.hidden", "loss.kind", "loss.at"]


def test_a_run_beside_itself_differs_in_nothing(small: Any) -> None:
    found = compare_runs(Side("a", small), Side("b", small))
    assert found.keys == ()
    assert {pair.change for pair in found.pairs} == {0.0}
    assert in_short(found) == "0 of 2 verdicts changed; the same configuration"


def test_other_code_is_told_beside_the_same_configuration(small: Any) -> None:
    points = [replace(point, code={**point.code, "gradflow": "0"}) for point in small.points]
    other = replace(small, points=tuple(points), load=lambda p: small.result(small.points[0]))
    found = compare_runs(Side("a", small), Side("b", other))
    assert found.keys == ()
    assert [(one.key, one.b) for one in found.surroundings] == [("code of gradflow", "0")]
    assert "| measured with | a | b |" in markdown(differences_sheets(found)[0])


def test_what_one_value_of_a_sweep_changes(small: Any) -> None:
    """Parts of one run pair up by all that is swept beside; numbers are the closing table's."""
    parts = [
        small.part(p for p in small.points if p.axes["init.recurrent_gain"] == gain)
        for gain in (0.5, 1.0)
    ]
    found = compare_runs(Side("half", parts[0]), Side("one", parts[1]), every=True)
    assert [one.key for one in found.keys or ()] == ["init.recurrent_gain"]
    assert [pair.lengths for pair in found.pairs] == [(6,), (12,)]
    half, one = (gradflow.api.rows(part, every=True) for part in parts)
    for pair, a, b in zip(found.pairs, half, one, strict=True):
        assert pair.change == b.summary.decades - a.summary.decades != 0
        assert pair.gap is not None
        assert abs(pair.gap.decades) >= 0.9 * abs(pair.change)


def test_points_that_one_side_lacks_stand_there_alone() -> None:
    a, b = Fake(Path(), "a"), Fake(Path(), "b")
    for cell in ("rnn", "lstm"):
        a.add(cell, 10, 0, {"s": line(-0.3, 10)})
    for cell, slope in (("lstm", -0.01), ("gru", -0.3)):
        b.add(cell, 20, 0, {"s": line(slope, 20)})
    found = compare_runs(Side("a", a), Side("b", b))  # type: ignore[arg-type]
    told = {pair.labels["model.cell"]: pair for pair in found.pairs}
    assert told["lstm"].lengths == (10, 20)
    assert told["lstm"].overturned
    assert told["rnn"].b is told["gru"].a is None
    text = "".join(map(markdown, differences_sheets(found)))
    assert "**vanishes → steady**" in text
    assert "**only in a**" in text
    assert in_short(found).startswith("1 of 1 verdicts changed; ")
    drawn = overlaid(Side("a", a), Side("b", b))  # type: ignore[arg-type]
    assert [p.axes["run"] for p in drawn.points] == ["a", "b"]
    with pytest.raises(gradflow.errors.UserError, match="--x lag"):
        overlaid(Side("a", a), Side("b", b), "step")  # type: ignore[arg-type]


def test_an_exact_zero_is_a_change_without_end() -> None:
    a, b = Fake(Path(), "a"), Fake(Path(), "b")
    a.add("rnn", 10, 0, {"s": line(-0.3, 10)})
    dead = line(-0.3, 10)
    dead.values[..., :4] = -math.inf
    b.add("rnn", 10, 0, {"s": dead})
    (pair,) = compare_runs(Side("a", a), Side("b", b)).pairs  # type: ignore[arg-type]
    assert pair.change == -math.inf
    assert pair.gap == pytest.approx(pair.gap)
    assert pair.gap is not None
    assert (pair.gap.decades, pair.gap.lag) == (-math.inf, 7)
    assert compare_runs(Side("b", b), Side("b", b)).pairs[0].change == 0.0  # type: ignore[arg-type]


def test_a_run_and_its_baseline(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "here")
    file = tmp_path / "here" / "baselines" / "small.json"
    same = json.loads(call(tmp_path / "here", "diff", "small", "--format", "json").stdout)
    assert (same["a"], same["b"], same["configuration"]) == ("baseline", "small", None)
    assert len(same["rows"]) == 2
    assert all(row["change"] == row["apart"]["decades"] == 0 for row in same["rows"])
    golden = json.loads(file.read_text())
    for name, case in golden["cases"].items():
        if "recurrent_gain=1 s" in name and "length=12" in name:
            case["log10"][case["lags"].index(8)] -= 0.25
    file.write_text(json.dumps(golden))
    moved = json.loads(
        call(tmp_path / "here", "diff", str(file), "small", "--format", "json").stdout
    )
    gaps = [row["apart"] for row in moved["rows"]]
    assert gaps[0]["decades"] == 0
    assert gaps[1] == {"decades": pytest.approx(0.25, rel=1e-9), "lag": 8}


def test_a_baseline_reads_as_the_run_that_it_was_made_of(small: Any) -> None:
    deep = run(model={"cell": "lstm", "hidden": 3, "layers": 2, "bidirectional": True})
    for one in (small, deep):
        golden = condensed(one)
        assert [p.axes | {} for p in golden.points] == [
            {k: v if k in ("length", "seed") else gradflow.report.format.setting(v)
             for k, v in {"model.cell": p.cell, **p.axes}.items()}
            for p in one.points
        ]  # fmt: skip
        for point, own in zip(golden.points, one.points, strict=True):
            kept, whole = golden.result(point)["s"], one.result(own)["s"]
            assert kept.values.shape[:2] == whole.values.shape[:2]
            for j in range(kept.values.shape[1]):
                at = [
                    list(whole.coords["lag"][j]).index(k) for k in kept.coords["lag"][j] if k >= 0
                ]
                mean = whole.values[:, j][..., at].mean(axis=1)
                seen = kept.values[:, j, 0][..., kept.coords["lag"][j] >= 0]
                assert seen == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (
            ("small", "other"),
            r"configuration small other ─+ model\.cell lstm gru small → other · ∂L",
        ),
        (
            ("small@recurrent_gain=0.5", "@recurrent_gain=1"),
            r"configuration recurrent_gain=0\.5 recurrent_gain=1 ─+ init\.recurrent_gain 0\.5 1 ",
        ),
        (
            ("small", "other", "--format", "md"),
            r"\| configuration \| small \| other \| \|( --- \|){3} \| model.cell \| lstm \| gru \|",
        ),
    ],
)
def test_what_is_printed(results: Path, words: tuple[str, ...], begins: str) -> None:
    done = call(results, "diff", *words)
    assert done.exit_code == 0, done.output
    assert re.match(begins, " ".join(done.stdout.split()))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("small", "smal"), 2, "did you mean small?"),
        (("small", "other", "--state", "x"), 2, "no state 'x' was recorded"),
        (("other",), 4, "there is no baseline"),
        (("small@gain=2", "@length=6"), 2, "no key to choose by 'gain'"),
        (("small", "other", "--format", "html"), 2, "no format 'html'; there is text, md, json"),
    ],
)
def test_a_mistake_is_one_message(results: Path, words: Any, code: int, said: str) -> None:
    done = call(results, "diff", *words)
    assert done.exit_code == code
    assert said in done.stderr


def test_both_runs_in_one_figure(results: Path) -> None:
    done = call(results, "plot", "small", "other", "--state", "s", "--format", "svg")
    assert done.exit_code == 0, done.output
    (file,) = map(Path, done.stdout.split())
    assert file.name == "curves-s-vs-other.svg"
    drawn = file.read_text("utf-8")
    assert all(f"> {name}<" in drawn for name in ("small", "other"))
