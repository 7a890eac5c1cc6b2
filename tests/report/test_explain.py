from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from gradflow.core.quantity import Quantity
from gradflow.core.theory import Prediction
from gradflow.errors import UserError
from gradflow.report.read.explain import Explanation, explain, sentence
from gradflow.report.read.predictions import predicted_and_measured, predictions
from gradflow.report.read.rates import summarise
from gradflow.report.tables.layout import show
from gradflow.report.tables.reasons import predictions_data, predictions_sheet, sentences
from tests.report.fakes import Run, line, series, walk
from tests.report.test_kinds import theory

T = 100


def gates(opened, *, length=T, directions=("forward",), layers=1):
    """Gates open to given means at every step."""
    shape = (layers, len(directions), len(opened), 3, length)
    values = np.broadcast_to(np.array(list(opened.values()))[:, None, None], shape)
    steps = np.arange(1, length + 1)
    coords = {
        "layer": np.arange(layers), "direction": np.array(directions),
        "gate": np.array(list(opened)), "step": steps,
        "lag": np.tile(length - steps, (len(directions), 1)),
    }  # fmt: skip
    dims = ("layer", "direction", "gate", "sequence", "step")
    return Quantity("gate_mean", dims, values, coords, "1")


def said(name, rate, *, applies=True, note="wide", kind="estimate"):
    return Prediction(name, rate, kind, applies, note, "someone 1990")


def stored(*predictions):
    coords = {
        "prediction": np.array([one.name for one in predictions]),
        **{
            name: np.array([getattr(one, name) for one in predictions])
            for name in ("kind", "applies", "error", "note", "source")
        },
    }
    rates = np.array([one.rate for one in predictions])
    return Quantity("theory_rate", ("prediction",), rates, coords, "decades/step")


def explained(cell, slope, *, several=False, curve=None, **more):
    result = {"s": line(slope, T) if curve is None else curve, **more}
    (summary,) = summarise([result], "s")
    return sentence(cell, summary, [result], several=several)


def test_an_lstm_by_its_forget_gates():
    text = explained("lstm", -0.135, gate_mean=gates({"f": 0.73, "i": 0.5, "o": 0.5}))
    assert text == (
        "vanishes: mean forget gate 0.73 predicts 10^-13.7 over 100 steps, measured 10^-13.5"
    )


def test_gates_that_are_nearly_open_have_more_digits():
    text = explained("lstm", -0.003, gate_mean=gates({"f": 0.9933}))
    assert text.startswith("steady: mean forget gate 0.993 predicts 10^-0.3 over")


def test_a_gru_by_its_leak():
    text = explained("gru", -0.3, gate_mean=gates({"z": 0.5, "r": 0.4}))
    assert text == (
        "vanishes: mean leak (1 − z) 0.50 predicts 10^-30.1 over 100 steps, measured 10^-30.0"
    )


def test_what_the_carrousel_does_not_explain_the_other_paths_do():
    text = explained("lstm", -0.07, gate_mean=gates({"f": 0.73}))
    assert text.endswith(
        "measured 10^-7.0: paths through gates and hidden state make the difference"
    )
    text = explained(
        "lstm", -0.07, gate_mean=gates({"f": 0.73}), theory_rate=stored(said("mean field", -0.068))
    )
    assert text.endswith("make the difference (mean field of all: 10^-6.8)")
    doubtful = stored(said("mean field", -0.068, applies=False))
    text = explained("lstm", -0.07, gate_mean=gates({"f": 0.73}), theory_rate=doubtful)
    assert text.endswith("make the difference")


def test_a_gate_that_is_shut_predicts_an_exact_zero():
    dead = series(np.concatenate([np.full(60, -np.inf), np.zeros(41)])[None, None, None])
    text = explained("lstm", 0, curve=dead, gate_mean=gates({"f": 0.0}))
    assert text == (
        "vanishes: mean forget gate 0 predicts exact 0 over 100 steps, measured exact 0"
    )
    text = explained("lstm", 0, curve=dead, gate_mean=gates({"f": 0.5}))
    assert text.endswith(
        "measured exact 0: paths through gates and hidden state make the difference"
    )


def test_the_carrousel_needs_no_figures():
    assert explained("cec", 0.0) == "steady: the carrousel's factor is 1"
    assert explained("cec", 0.02) == (
        "explodes: the carrousel's factor is 1, other layers add to it"
    )
    assert explained("lstm(no forget_gate)", 0.0, gate_mean=gates({"i": 0.5})) == (
        "steady: without a forget gate the carrousel's factor is 1"
    )
    assert explained("lstm(no forget_gate)", 0.02).endswith("make the difference")


def test_an_rnn_by_theory():
    bound = said("γ‖W‖₂", np.log10(0.8), kind="upper bound")
    field = said("mean field", 0.5 * np.log10(0.25))
    assert explained("rnn", -0.3, theory_rate=stored(bound, field)) == (
        "vanishes: γ‖W‖₂ = 0.80 < 1 leaves no other way; mean field χ = 0.25 predicts 10^-30.1 "
        "over 100 steps, measured 10^-30.0"
    )
    loose = replace(bound, rate=0.3)
    doubtful = replace(field, applies=False, note="chaotic")
    text = explained("rnn", -0.3, theory_rate=stored(loose, doubtful))
    assert text.startswith("vanishes: mean field χ")
    assert text.endswith("though theory does not apply (chaotic)")
    assert explained("rnn", -0.3, theory_rate=stored(loose)) == ""


def test_nothing_recorded_nothing_said():
    assert explained("rnn", -0.3) == ""
    assert explained("lstm", -0.3, gate_mean=gates({"f": 0.5}, directions=("backward",))) == ""


def test_losses_at_several_steps_are_another_matter():
    text = explained("lstm", 0.0, several=True, gate_mean=gates({"f": 0.5}))
    assert text == "steady: every step with a loss brings error of its own"


def test_rows_are_explained_and_printed(tmp_path):
    run = Run(tmp_path)
    for gain in (0.5, 1.0):
        result = {"s": line(-0.3, T), "gate_mean": gates({"z": 0.5})}
        run.add("gru", T, 0, result, init__gain=gain)
    run.add("rnn", T, 0, {"s": line(-0.3, T)}, init__gain=0.5)
    found = explain(run)
    assert [bool(one.sentence) for one in found] == [True, True, False]
    text = printed(sentences, found, 200)
    assert text.splitlines()[0].startswith("gru, gain 0.5 vanishes: mean leak (1 − z) 0.50")
    assert len(text.splitlines()) == 2
    assert "mean leak (1 - z)" in printed(sentences, found, 200, "ascii")
    assert printed(sentences, []) == ""


def test_layers_and_directions_are_named_where_they_differ(tmp_path):
    values = walk(-0.3, T, 0, layers=2, directions=("forward", "backward"))
    opened = gates({"f": 0.5}, layers=2, directions=("forward", "backward"))
    run = Run(tmp_path).add("lstm", T, 0, {"s": values, "gate_mean": opened})
    text = printed(sentences, explain(run), 200)
    assert "lstm, layer 1, backward vanishes: mean forget gate 0.50" in text


@pytest.mark.parametrize(("at", "several"), [("last", 0), ("all", 1), ([3, 5], 1), ([5], 0)])
def test_the_loss_is_read_from_the_configuration(tmp_path, at, several):
    from types import SimpleNamespace

    run = Run(tmp_path).add("cec", T, 0, {"s": line(0.0, T)})
    (point,) = run.points
    config = SimpleNamespace(
        model=point.config.model, length=T, seed=0, loss=SimpleNamespace(at=at)
    )
    fixed = SimpleNamespace(config=config, axes=point.axes)
    run.points, run.results = [fixed], {id(fixed): run.result(point)}
    (one,) = explain(run)
    assert isinstance(one, Explanation)
    assert one.sentence.endswith("of its own") == bool(several)


def printed(sheet, found, width=100, encoding="utf-8", **more):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    show(sheet(found, **more), Console(file=file, width=width))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_measured_predicted_residual(tmp_path):
    run = theory(tmp_path, {"mean field": -0.09}, seeds=3)
    (one,) = predicted_and_measured(run)
    assert one.residual == pytest.approx(-0.01, rel=1e-9)
    lines = [" ".join(row.split()) for row in printed(predictions_sheet, [one]).splitlines()]
    assert "rnn −0.1000 ± 0 −0.0900 −0.010 mean field" in lines


def test_seeds_are_pooled_and_a_doubt_of_one_is_a_doubt(tmp_path):
    first, second, third = (
        {"theory_rate": stored(said("a", rate, applies=rate < 0.3, note=f"note {rate}"))}
        for rate in (0.1, 0.2, 0.9)
    )
    (one,) = predictions([first, second, third])
    assert (one.rate, one.applies, one.note) == (0.2, False, "note 0.9")
    assert predictions([{"s": line(0, 3)}]) == []


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_says_what_holds_and_where_theory_ends(tmp_path, width):
    run = Run(tmp_path)
    for cell in ("rnn", "lstm(peephole=full, peephole_gates=f+i)"):
        for gain in (0.5, 1.5):
            note = "chaotic, and 200 units are few: nets may cycle instead (N ≥ 500)"
            result = {
                "s": line(-0.1, 20),
                "theory_rate": stored(
                    said("γ‖W‖₂", -0.05, kind="upper bound"),
                    said("loose", -0.2, kind="upper bound"),
                    said("mean field", -0.09, applies=False, note=note),
                    said("nothing", -np.inf),
                ),
            }
            run.add(cell, 20, 0, result, init__recurrent_gain=gain)
    found = predicted_and_measured(run)
    text = printed(predictions_sheet, found, width, title="theory")
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    flat = " ".join(text.split())
    for words in ("≤ −0.0500 holds γ‖W‖₂", "≤ −0.200 – loose", "[1] chaotic", "mean field [1]"):
        assert words in flat
    assert "−∞ – nothing" in flat
    assert "|W|" in printed(predictions_sheet, found, width, "ascii")


def test_comparisons_as_strict_json(tmp_path):
    run = theory(tmp_path, {"a": -0.09, "b": -np.inf})
    run.results[id(run.points[0])]["s"] = series(np.full((1, 1, 1, 1), 0.0))
    first, second = json.loads(
        json.dumps(predictions_data(predicted_and_measured(run)), allow_nan=False)
    )
    assert (first["prediction"], first["measured"], first["residual"]) == ("a", None, None)
    assert second["predicted"] == "-inf"
    assert "–" in printed(predictions_sheet, predicted_and_measured(run))


def test_runs_without_theory_say_how_to_get_it(tmp_path):
    run = Run(tmp_path).add("rnn", 4, 0, {"s": line(-1, 4)})
    with pytest.raises(UserError, match=r"record\.theory: true"):
        predicted_and_measured(run)
