from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import gradflow
from gradflow.core.quantity import Prediction, Quantity
from gradflow.errors import UserError
from gradflow.report.read.explain import Explanation, explain, sentence
from gradflow.report.read.predictions import predicted_and_measured, predictions
from gradflow.report.read.rates import summarise
from gradflow.report.tables.beside import predictions_data, predictions_sheet, sentences
from gradflow.report.tables.layout import print_sheet
from tests.own import Keeping, registered
from tests.report.fakes import Run, line, series, walk
from tests.report.test_kinds import theory

T = 100


def kept(mean=0.5, decades=None, *, spread=0.0, gate="forget gate f", above=(False,), **more):
    """What the carrousel keeps, as `Kept` records it, and more of the same point."""
    with np.errstate(divide="ignore"):
        decades = T * np.log10(mean) if decades is None else decades
    directions = more.pop("directions", ("forward",))
    coords = {
        "layer": np.arange(len(above)), "direction": np.array(directions),
        "gate": np.array([gate] * len(above)), "above": np.array(above),
    }  # fmt: skip
    dims, shape = ("layer", "direction", "sequence"), (len(above), len(directions), 3)
    found = {"keep_mean": mean, "keep_spread": spread, "keep_decades": decades}
    return more | {
        name: Quantity(name, dims, np.full(shape, float(value)), coords, "1")
        for name, value in found.items()
    }


def shares(far):
    """The carrousel's share: all of it at the loss, and so much at the far end."""
    values = np.linspace(far, 1, T + 1) * np.ones((1, 1, 3, 1))
    return {"path_share": replace(series(values, "path_share"), unit="1")}


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


def explained(slope, recorded=None, *, several=False, curve=None):
    result = {"s": line(slope, T) if curve is None else curve, **(recorded or {})}
    (summary,) = summarise([result], "s")
    return sentence(summary, [result], several=several)


def test_by_the_gate_that_keeps():
    assert explained(-0.135, kept(0.73)) == (
        "vanishes: mean forget gate f 0.73 predicts 10^-13.7 over 100 steps, measured 10^-13.5"
    )
    assert explained(-0.3, kept(0.5, gate="leak (1 − z)")) == (
        "vanishes: mean leak (1 − z) 0.50 predicts 10^-30.1 over 100 steps, measured 10^-30.0"
    )
    assert explained(-0.3, kept(0.5, gate="")).startswith(
        "vanishes: mean factor of the carrousel 0.50 predicts"
    )


def test_gates_that_are_nearly_open_have_more_digits():
    text = explained(-0.003, kept(0.9933))
    assert text.startswith("steady: mean forget gate f 0.993 predicts 10^-0.3 over")


def test_gates_that_differ_from_unit_to_unit_are_no_mean_gate():
    assert explained(-0.008, kept(0.95, -0.8, spread=0.064)) == (
        "steady: mean forget gate f 0.950 ± 0.064 from unit to unit predicts 10^-0.8 over 100 "
        "steps, measured 10^-0.8"
    )


def test_a_cause_is_named_only_where_it_was_recorded():
    outcome = "measured 10^-7.0"
    assert explained(-0.07, kept(0.73)).endswith(outcome)
    assert explained(-0.07, kept(0.73, **shares(0.01))).endswith(
        f"{outcome}; paths through gates and hidden state bring 99 % of the error at the far end"
    )
    assert explained(-0.07, kept(0.73, **shares(0.93))).endswith(
        f"{outcome}; the carrousel brings 93 % of the error at the far end"
    )
    assert explained(-0.13, kept(0.73, **shares(0.01))).endswith("measured 10^-13.0")


def test_theory_stands_beside_what_the_carrousel_does_not_explain():
    field = said("mean field", -0.068)
    text = explained(-0.07, kept(0.73, theory_rate=stored(field)))
    assert text.endswith("measured 10^-7.0; mean field of all paths: 10^-6.8")
    doubtful = replace(field, applies=False, note="few units")
    text = explained(-0.07, kept(0.73, theory_rate=stored(doubtful)))
    assert text.endswith("measured 10^-7.0; [mean field of all paths: 10^-6.8: few units]")


def test_a_lower_layer_is_not_explained_by_its_own_carrousel():
    assert explained(-0.02, kept(0.5, above=(True, False), **shares(0.0))) == (
        "vanishes: [mean forget gate f 0.50 predicts 10^-30.1 over 100 steps, measured 10^-2.0: of "
        "this layer alone, while error joins from the layer above at every step]"
    )


def test_a_gate_that_is_shut_predicts_an_exact_zero():
    dead = series(np.concatenate([np.full(60, -np.inf), np.zeros(41)])[None, None, None])
    assert explained(0, kept(0.0), curve=dead) == (
        "vanishes: mean forget gate f 0 predicts exact 0 over 100 steps, measured exact 0"
    )


def test_a_factor_of_one():
    assert explained(0.0, kept(1.0, gate="")) == "steady: the carrousel's factor is 1"
    assert explained(0.02, kept(1.0, gate="", **shares(0.2))) == (
        "explodes: the carrousel's factor is 1, measured 10^2.0 over 100 steps; paths through "
        "gates and hidden state bring 80 % of the error at the far end"
    )


def test_an_rnn_by_theory():
    bound = said("γ‖W‖₂", np.log10(0.8), kind="upper bound")
    field = said("mean field", 0.5 * np.log10(0.25))
    assert explained(-0.3, {"theory_rate": stored(bound, field)}) == (
        "vanishes: γ‖W‖₂ = 0.80 < 1 leaves no other way; mean field χ = 0.25 predicts 10^-30.1 "
        "over 100 steps, measured 10^-30.0"
    )
    assert explained(-0.001, {"theory_rate": stored(bound)}) == (
        "steady: γ‖W‖₂ = 0.80 < 1 lets nothing grow"
    )
    loose = replace(bound, rate=0.3)
    doubtful = replace(field, applies=False, note="chaotic")
    text = explained(-0.3, {"theory_rate": stored(loose, doubtful)})
    assert text.startswith("vanishes: [mean field χ")
    assert text.endswith("measured 10^-30.0: chaotic]")
    assert explained(-0.3, {"theory_rate": stored(loose)}) == ""


def test_nothing_recorded_nothing_said():
    assert explained(-0.3) == ""
    assert explained(-0.3, kept(directions=("backward",))) == ""


def test_losses_at_several_steps_are_another_matter():
    text = explained(0.0, kept(), several=True)
    assert text == "steady: every step with a loss brings error of its own"


def test_rows_are_explained_and_printed(tmp_path):
    run = Run(tmp_path)
    for gain in (0.5, 1.0):
        result = {"s": line(-0.3, T), **kept(gate="leak (1 − z)")}
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
    both = kept(above=(True, False), directions=("forward", "backward"))
    run = Run(tmp_path).add("lstm", T, 0, {"s": values, **both})
    text = printed(sentences, explain(run), 200)
    assert "lstm, layer 1, backward vanishes: mean forget gate f 0.50" in text


@pytest.mark.parametrize(("at", "several"), [("last", 0), ("all", 1), ([3, 5], 1), ([5], 0)])
def test_the_loss_is_read_from_the_configuration(tmp_path, at, several):
    run = Run(tmp_path).add("cec", T, 0, {"s": line(0.0, T)}, at=at)
    (one,) = explain(run)
    assert isinstance(one, Explanation)
    assert one.sentence.endswith("of its own") == bool(several)


def printed(sheet, found, width=100, encoding="utf-8", **more):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_sheet(sheet(found, **more), Console(file=file, width=width))
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


def measured(cell, init=None, **sections):
    """The sentences of a net of 32 units over 100 steps of digits, by layer."""
    record = {"states": ["s"], **sections.pop("record", {"gates": True})}
    model = {"cell": cell, "hidden": 32, "layers": sections.pop("layers", 1)}
    inputs = {"kind": "digits", "sequences": 3}
    experiment = gradflow.configure(
        model=model, init=init or {}, inputs=inputs, length=100, record=record, **sections
    )
    return [one.sentence for one in explain(gradflow.run(experiment).source, every=True)]


def test_a_gru_of_many_time_scales_is_explained_by_its_units():
    (text,) = measured("gru", {"forget_bias": {"chrono": 100}, "recurrent_gain": 0.1})
    assert text.startswith("steady: mean leak (1 − z) 0.947 ± 0.064 from unit to unit predicts")
    assert text.endswith("predicts 10^-0.8 over 100 steps, measured 10^-0.9")


def test_a_z_that_keeps_is_explained_as_a_forget_gate():
    with registered(Keeping):
        (text,) = measured("keeping", {"bias": {"z": 4.0}})
    assert text.startswith("steady: mean forget gate z 0.982 predicts 10^-0.8 over 100 steps")


@pytest.mark.parametrize("method", ["bptt", "carrousel"])
def test_a_cut_net_has_no_paths_through_gates(method):
    (text,) = measured("gru", record={"paths": True}, method=method)
    assert ("paths through gates" in text) == (method == "bptt")


def test_in_a_stack_only_the_top_layer_is_explained_by_its_paths():
    lower, top = measured("lstm", layers=2, record={"paths": True})
    assert "paths" not in lower
    assert "[mean forget gate f" in lower
    assert "paths through gates and hidden state bring 100 %" in top


def test_what_has_no_gates_is_explained_in_a_sweep_of_those_that_have():
    cec, _ = measured("lstm", sweep={"model.cell": ["cec", "lstm"]})
    assert cec == "steady: the carrousel's factor is 1"


def test_the_ways_of_a_sum_of_losses_are_not_those_of_the_last():
    (last,) = measured("gru", record={"paths": True})
    (every,) = measured("gru", record={"paths": True}, loss={"at": "all"})
    assert "paths through gates" in last
    assert every == last.partition(";")[0]
