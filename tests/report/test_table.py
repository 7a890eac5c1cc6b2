from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from gradflow.errors import UserError
from gradflow.report.read.records import default_state
from gradflow.report.read.rows import rows
from gradflow.report.tables.closing import closing_note, closing_sheet, rows_data
from gradflow.report.tables.layout import print_sheet
from tests.report.fakes import Run, line, series, sweep, walk


def printed(found, width=100, encoding="utf-8", **options):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_sheet(closing_sheet(found, "quickstart"), Console(file=file, width=width, **options))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    for length in (8, 100, 32):
        for seed in range(3):
            run.add("cec", length, seed, {"s": line(0.0, length)})
            result = {"s": line(-0.5 - 0.01 * seed, length), "c": line(-0.4, length)}
            run.add("lstm", length, seed, result)
            run.add("rnn(activation=identity)", length, seed, {"s": line(0.3, length)})
    return run


def test_the_table_shows_the_longest_of_each_cell(run):
    found = rows(run)
    assert [(row.cell, row.length) for row in found] == [
        ("cec", 100),
        ("lstm", 100),
        ("rnn(activation=identity)", 100),
    ]
    assert len(rows(run, every=True)) == 9


def test_the_words_of_the_table(run):
    text = printed(rows(run))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "quickstart · ∂L/∂s · length 100"
    assert "cec 0.0 0 ∞ never never never steady" in lines
    assert "lstm −51.0 −0.510 ± 0.008 0.590 15 89 ~634 vanishes" in lines
    assert any("30.0 0.3000 ± 0 ×2 1.00 17 ∞ ~128 ∞ ~1028 ∞ explodes" in line for line in lines)
    assert "the median ± half the 10–90 % range of 3 seeds" in " ".join(lines)
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_and_loses_no_verdict(tmp_path, width):
    text = printed(rows(sweep(tmp_path, cells=12, lengths=(64, 256), seeds=3)), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    assert sum("vanishes" in line or "explodes" in line or "steady" in line for line in lines) >= 12
    assert ("Left out here: float64" in " ".join(text.split())) == (width == 80)


def test_lengths_have_a_column_where_they_differ(run):
    text = printed(rows(run, every=True))
    assert text.splitlines()[0].strip() == "quickstart · ∂L/∂s"
    assert "length" in text.splitlines()[1]


def test_other_axes_layers_and_directions_have_columns(tmp_path):
    run = Run(tmp_path)
    for gain in (0.5, 2.0):
        values = walk(-0.2 * gain, 16, 0, layers=2, directions=("forward", "backward"))
        run.add("gru", 16, 0, {"s": values}, init__recurrent_gain=gain, model__cell__reset="after")
    text = printed(rows(run))
    assert "recurrent" in text
    assert "reset" not in text.splitlines()[1]
    assert "1 ←" in text
    assert "1 bwd" in printed(rows(run), encoding="ascii")


def test_an_axis_that_some_points_lack_is_left_blank(tmp_path):
    run = Run(tmp_path).add("cec", 8, 0, {"s": line(0, 8)})
    run.add("rnn", 8, 0, {"s": line(-1, 8)}, init__forget_bias={"chrono": 100})
    text = printed(rows(run))
    assert "forget bias" in text
    assert "chrono 100" in text


def test_a_terminal_without_unicode_gets_ascii(run):
    text = printed(rows(run), encoding="ascii")
    assert "-0.510 +/- 0.008" in text
    assert "|dL/ds|" in text


def test_names_are_not_taken_for_markup(tmp_path):
    run = Run(tmp_path).add("[red]cell[/red][link=x]", 4, 0, {"s": line(-1, 4)})
    assert "[red]cell[/red][link=x]" in printed(rows(run), force_terminal=False)


def test_seeds_that_differ_and_curves_without_a_slope(tmp_path):
    run = Run(tmp_path)
    for seed, slope in enumerate((-0.5, -0.4, 0.0)):
        run.add("rnn", 8, seed, {"s": line(slope, 8)})
    run.add("cec", 8, 0, {"s": series([[[[0.0]]]])})
    run.add("gru", 8, 0, {"s": series(np.full((1, 1, 1, 3), -np.inf))})
    text = " ".join(printed(rows(run)).split())
    assert "vanishes 2/3" in text
    assert "cec 0.0 – – – – – – " in text
    assert "gru exact 0 – – – – – vanishes" in text


def test_the_small_print_says_what_is_not_along_the_slope(tmp_path):
    lag = np.arange(200, -1, -1)
    values = (-0.007 * lag - 2.0 * (lag > 0))[None, None, None]
    run = Run(tmp_path).add("lstm", 200, 0, {"h": series(values, "h")}, init__forget_bias=4)
    run.add("lstm", 200, 0, {"h": line(-0.2, 200, name="h")}, init__forget_bias=0)
    text = " ".join(printed(rows(run)).split())
    assert text.startswith("quickstart · ∂L/∂h · lstm · length 200")
    assert "– – – – vanishes *" in text
    assert "lstm, forget bias 4 loses 2.0 decades in its first steps" in text
    (bent, straight) = rows_data(rows(run))
    assert (bent["bend"]["kind"], straight["bend"]) == ("drop", None)


def test_a_sum_and_a_direction_without_a_way_are_named(tmp_path):
    values = series(np.zeros((1, 1, 1, 2)), directions=("backward",))
    run = Run(tmp_path).add("gru", 1, 0, {"s": values})
    sums = {"s": line(0.0, 9), "s.last": line(-0.5, 9, name="s.last")}
    run.add("lstm", 9, 0, sums, loss__at="all")
    text = " ".join(printed(rows(run, every=True)).split())
    assert "loss.at: ends" in text
    assert "the last loss alone" in text
    assert "exact 0" not in text


def test_rows_as_strict_json(run):
    found = json.loads(json.dumps(rows_data(rows(run))), parse_constant=pytest.fail)
    cec, lstm, _ = found
    assert cec["half_life"] == "inf"
    assert cec["horizons"]["float16"] == {"lag": "inf", "reads": "never", "extrapolated": True}
    assert lstm["slope"] == pytest.approx(-0.51, rel=1e-12)
    assert (lstm["cell"], lstm["length"], lstm["seeds"], lstm["verdict"]) == (
        "lstm",
        100,
        3,
        "vanishes",
    )


def test_json_of_what_is_not_defined(tmp_path):
    run = Run(tmp_path).add("gru", 3, 0, {"s": series([[[[0.0]]]])})
    run.add("rnn", 3, 0, {"s": series(np.full((1, 1, 1, 3), -np.inf))}, loss__at=[1, 2])
    first, second = rows_data(rows(run))
    assert (first["slope"], first["half_life"]) == (None, None)
    assert first["horizons"]["float32"] is None
    assert (second["decades"], second["axes"]) == ("-inf", {"loss.at": [1, 2]})


def test_cells_without_the_state_have_no_row(run):
    assert [row.cell for row in rows(run, "c")] == ["lstm"]


def test_no_rows_no_note_trouble(tmp_path):
    assert "median" in closing_note([])


def test_the_state_is_chosen_and_checked(tmp_path, run):
    assert default_state(run) == "s"
    assert default_state(run, "c") == "c"
    with pytest.raises(UserError, match=r"no state 'h' was recorded; there is s, c\n"):
        default_state(run, "h")
    with pytest.raises(UserError, match="no norms are stored"):
        default_state(Run(tmp_path))
    assert default_state(Run(tmp_path).add("gru", 4, 0, {"x": line(-1, 4, name="x")})) == "x"
