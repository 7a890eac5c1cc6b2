from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from gradflow.advice.advise import Advice
from gradflow.advice.search import Found, Trial
from gradflow.advice.show import draw_advice, draw_changes
from gradflow.errors import UserError
from gradflow.report.figures.output import private_style
from tests.report.fakes import walk
from tests.report.test_plots import axes_of, overlaps, texts

T = 30


def tried(slope, value=math.nan, seeds=2):
    results = tuple({"s": walk(slope, T, seed)} for seed in range(seeds))
    return Trial(value, slope * T if seeds else math.inf, results)


def advice(cell, before, after):
    config = SimpleNamespace(model=SimpleNamespace(cell_label=cell), length=T)
    knob = SimpleNamespace(setting=lambda value: f"init.recurrent_gain={value}")
    found = (Found(knob, after, after, 7),) if after else ()
    return Advice(config, (0, 1), (2, 3), before, found)


@pytest.fixture
def several():
    return [
        advice("rnn", tried(-0.5), tried(-0.01, 1.19)),
        advice("cec", tried(0.0), None),
        advice("gru", tried(-0.6), tried(-0.7, 2.0)),
        advice("lstm(peephole=full)", tried(0, seeds=0), tried(-0.02, 0.5)),
        advice("own", tried(0, seeds=0), None),
    ]


def test_before_and_after_stand_in_one_panel(several):
    with private_style():
        fig = draw_changes(several)
    assert overlaps(fig) == ([], [])
    titles = [" ".join(ax.get_title("left").split()).replace("= ", "=") for ax in axes_of(fig)]
    assert titles == [
        "rnn: init.recurrent_gain=1.19",
        "cec: steady as it is",
        "gru: nothing helps",
        "lstm(peephole=full): init.recurrent_gain=0.5",
        "own: nothing helps",
    ]
    rnn, cec = axes_of(fig)[:2]
    assert [one.get_linestyle() for one in rnn.lines if len(one.get_xdata()) > 2] == ["--", "-"]
    assert len([one for one in cec.lines if len(one.get_xdata()) > 2]) == 1
    assert "lstm(peephole=full): as it is, the state overflows" in texts(fig)


def test_the_line_is_the_median_over_seeds_and_sequences(several):
    with private_style():
        (ax,) = axes_of(draw_changes(several[:1]))
    every = np.concatenate([r["s"].values[0, 0][:, ::-1] for r in several[0].before.results])
    first = next(one for one in ax.lines if len(one.get_xdata()) > 2)
    np.testing.assert_allclose(first.get_ydata(), np.median(every, axis=0), rtol=1e-12)
    assert ax.get_title("left") == "init.recurrent_gain=1.19"


@pytest.mark.extras
def test_it_is_written_the_same_every_time(several, tmp_path):
    first = draw_advice(several[:1], tmp_path / "a")
    second = draw_advice(several[:1], tmp_path / "b")
    assert [path.name for path in first] == ["advice.png", "advice.svg"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert draw_advice(several[:1], tmp_path / "c.pdf") == [tmp_path / "c.pdf"]
    with pytest.raises(UserError, match="no format 'gif'"):
        draw_advice(several[:1], tmp_path, ("gif",))


def test_nothing_but_overflow(several):
    with private_style():
        assert axes_of(draw_changes(several[-1:]))
