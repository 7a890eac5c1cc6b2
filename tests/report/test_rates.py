from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.report.read.bands import quantile
from gradflow.report.read.horizons import LIMITS
from gradflow.report.read.rates import Bend, bend, slopes, summarise, verdict
from gradflow.report.read.records import curves
from tests.report.fakes import line, series


def one(*results, state="s"):
    (summary,) = summarise(results, state)
    return summary


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_where_the_format_rounds_to_zero_and_infinity(name):
    dtype = np.dtype(name)
    zero, inf = LIMITS[name].zero, LIMITS[name].inf
    info = np.finfo(dtype)
    half = np.log10(np.longdouble(2)) * (round(math.log2(info.smallest_subnormal)) - 1)
    assert zero == pytest.approx(float(half), rel=1e-14)
    assert float(np.log10(np.longdouble(info.max))) <= inf
    if name == "float64":  # nothing wider to round from
        return
    with np.errstate(over="ignore", under="ignore"):
        assert dtype.type(10.0 ** (zero - 1e-9)) == 0
        assert dtype.type(10.0 ** (zero + 1e-9)) > 0
        assert np.isinf(dtype.type(10.0 ** (inf + 1e-9)))
        assert np.isfinite(dtype.type(10.0 ** (inf - 1e-9)))


@pytest.mark.parametrize("slope", [-0.6, -0.01, 0.05])
def test_a_straight_line_gives_its_own_numbers(slope):
    summary = one({"s": line(slope, 100)}, {"s": line(slope, 100)})
    assert summary.slope == pytest.approx(slope, rel=1e-12)
    assert summary.decades == pytest.approx(100 * slope, rel=1e-12)
    assert summary.half_life == pytest.approx(math.log10(2) / abs(slope), rel=1e-12)
    assert summary.spread == pytest.approx(0.0, abs=1e-15)
    assert (summary.seeds, summary.sequences, summary.lags) == (2, 3, 100)


def test_a_flat_curve_has_no_half_life_and_no_horizon():
    summary = one({"s": line(0.0, 50, start=-3.7)})
    assert (summary.slope, summary.half_life, summary.decades) == (0.0, math.inf, 0.0)
    assert summary.spread is None
    assert summary.flat
    assert {h.reads for h in summary.horizons.values()} == {"never"}
    assert summary.verdict == "steady"


def test_horizons_are_measured_where_the_curve_gets_there():
    horizons = one({"s": line(-0.5, 100)}).horizons
    assert (horizons["float16"].lag, horizons["float16"].extrapolated) == (15, False)
    assert (horizons["float32"].lag, horizons["float32"].extrapolated) == (90, False)
    far = horizons["float64"]
    assert far.extrapolated
    assert far.lag == pytest.approx(-LIMITS["float64"].wrong(-0.5, 1) / 0.5, rel=1e-12)
    assert far.reads == "rounded"


def test_growth_overflows():
    summary = one({"s": line(0.5, 20)})
    assert summary.horizons["float16"].reads == "inf"
    assert summary.horizons["float16"].lag == 10
    assert summary.horizons["float32"].extrapolated
    assert summary.horizons["float32"].lag == pytest.approx(38.53 / 0.5, rel=1e-3)
    assert summary.verdict == "explodes"


def test_an_exact_zero_vanishes_and_keeps_the_slope_before_it():
    values = np.array([[[-np.inf, -np.inf, -2.0, -1.0, 0.0]]])[None]
    summary = one({"s": series(values)})
    assert summary.decades == -math.inf
    assert summary.slope == pytest.approx(-1.0, rel=1e-12)
    assert summary.verdict == "vanishes"
    assert set(summary.horizons.values()) == {None}  # an exact zero is right in every format


def test_one_dead_sequence_among_many_does_not_decide():
    values = line(-0.1, 5, sequences=5).values.copy()
    values[0, 0, 0, :3] = -np.inf
    summary = one({"s": series(values)})
    assert summary.decades == pytest.approx(-0.5, rel=1e-12)
    assert summary.slope == pytest.approx(-0.1, rel=1e-12)


def test_nothing_but_zeros():
    summary = one({"s": series(np.full((1, 1, 2, 4), -np.inf))})
    assert (summary.decades, summary.slope, summary.half_life) == (-math.inf, None, None)
    assert summary.verdict == "vanishes"
    assert summary.horizons["float64"] is None


def test_the_loss_end_is_the_first_norm_above_zero():
    values = np.array([[[-4.0, -3.0, -1.0, -np.inf]]])[None]
    assert one({"s": series(values)}).decades == -3.0


@pytest.mark.parametrize("length", [0, 1])
def test_the_shortest_curves(length):
    summary = one({"s": line(-0.25, length)})
    assert summary.lags == length
    if length == 0:
        assert summary.slope is None
        assert set(summary.horizons.values()) == {None}
    else:
        assert summary.slope == pytest.approx(-0.25, rel=1e-12)
    assert summary.verdict is None


def test_steps_after_the_last_loss_are_dropped():
    quantity = series([[[[-3.0, -2.0, -np.inf, -np.inf]]]], lag=[[1, 0, -1, -2]])
    summary = one({"s": quantity})
    assert (summary.lags, summary.decades) == (1, -1.0)


def test_a_direction_without_a_loss_has_no_summary():
    assert summarise([{"s": series([[[[-1.0, 0.0]]]], lag=[[-2, -1]])}]) == []


def test_each_direction_may_have_steps_of_its_own():
    quantity = series(np.zeros((1, 2, 1, 4)), directions=("forward", "backward"))
    quantity.coords["step"] = np.array([[0, 1, 2, 3], [10, 11, 12, 13]])
    assert [one.step.tolist() for one in curves(quantity)] == [[3, 2, 1, 0], [13, 12, 11, 10]]


def test_layers_and_directions_are_summarised_apart():
    values = np.zeros((2, 2, 3, 11)) - np.arange(10, -1, -1) * 0.3
    values[1, 1] *= 2
    found = summarise([{"s": series(values, directions=("forward", "backward"))}])
    assert [(s.layer, s.direction) for s in found] == [
        (0, "forward"),
        (0, "backward"),
        (1, "forward"),
        (1, "backward"),
    ]
    assert found[3].slope == pytest.approx(-0.6, rel=1e-12)


def test_seeds_that_differ_are_counted():
    summary = one(*({"s": line(slope, 20)} for slope in (-0.3, -0.2, -0.01, 0.2, -0.1)))
    assert (summary.verdict, summary.agree, summary.seeds) == ("vanishes", 3, 5)
    assert summary.slope == pytest.approx(-0.1, rel=1e-12)
    assert summary.spread == pytest.approx((0.116 + 0.26) / 2, rel=1e-12)


def test_the_boundary_of_steady_belongs_to_it():
    assert [verdict(x) for x in (-math.inf, -1.001, -1.0, 0.0, 1.0, 1.001)] == [
        "vanishes",
        "vanishes",
        "steady",
        "steady",
        "steady",
        "explodes",
    ]


def test_slopes_are_those_of_least_squares():
    random = np.random.default_rng(0)
    lag, values = np.arange(30), random.standard_normal((4, 30)) - 50
    expected = [np.polyfit(lag, row, 1)[0] for row in values]
    np.testing.assert_allclose(slopes(lag, values), expected, rtol=1e-10)


def test_one_norm_has_no_slope():
    assert slopes(np.array([3.0]), np.zeros((2, 1))).size == 0
    curves = np.array([[0.0, -np.inf, -np.inf], [0.0, -np.inf, -4.0]])
    assert slopes(np.arange(3.0), curves).tolist() == [-2.0]


def test_a_state_that_was_not_recorded_is_named():
    with pytest.raises(UserError, match=r"no state 'c' was recorded; there is s"):
        summarise([{"s": line(-1, 3)}], "c")


def test_quantiles_agree_with_numpy_and_bear_exact_zeros():
    values = np.random.default_rng(0).standard_normal((7, 5))
    for q in (0.0, 0.1, 0.5, 0.9, 1.0):
        np.testing.assert_allclose(quantile(values, q), np.quantile(values, q, axis=0), rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dead = np.array([[-np.inf], [-np.inf], [1.0], [2.0]])
        low, middle, high = (float(quantile(dead, q)[0]) for q in (0.1, 0.5, 0.9))
    assert (low, middle) == (-np.inf, -np.inf)
    assert high == pytest.approx(1.7, rel=1e-12)


def test_of_a_sum_of_losses_the_last_one_alone_is_judged():
    summary = one({"s": line(0.0, 50), "s.last": line(-0.2, 50, name="s.last")})
    assert summary.slope == pytest.approx(-0.2, rel=1e-12)
    assert (summary.verdict, summary.several, summary.state) == ("vanishes", True, "s")
    assert not one({"s": line(0.0, 50)}).several


def falls(early, slope, length=200):
    """Curves that lose some decades in their first step, and then follow a slope."""
    lag = np.arange(length, -1, -1)
    return series((slope * lag + early * (lag > 0))[None, None, None])


def test_what_falls_in_the_first_step_does_not_lie_along_the_slope():
    """Chrono's h: 2.05 of its 3.43 decades go at once, which the slope knows nothing of."""
    summary = one({"s": falls(-2.05, -0.0069)})
    assert summary.decades == pytest.approx(-3.43, rel=1e-9)
    assert summary.bend.kind == "drop"
    assert summary.bend.decades == pytest.approx(2.05, abs=0.1)
    assert (summary.half_life, set(summary.horizons.values())) == (None, {None})
    assert summary.verdict == "vanishes"


def test_a_curve_that_turns_is_not_continued():
    """The 1997 cell dips to −1.42 and ends at +0.70: it was given a horizon of ~1238."""
    lag = np.arange(256, -1, -1.0)
    curve = np.where(lag < 40, -1.42 * lag / 40, -1.42 + 2.12 * (lag - 40) / 216)
    summary = one({"s": series(curve[None, None, None])})
    assert summary.decades == pytest.approx(0.70, rel=1e-9)
    assert summary.bend.kind == "turn"
    assert summary.bend.decades == pytest.approx(-1.42, rel=1e-6)
    assert summary.horizons["float16"] is None
    assert bend(np.arange(9.0), np.array([0, -1, -2, -3, -4, -3, -2, -1, 0.0]), 0.0).kind == "turn"
    hill = bend(np.arange(9.0), np.array([0, 1, 2, 3, 4, 3, 2, 1, 0.0]), 0.0)
    assert (hill.kind, hill.decades) == ("turn", 4.0)
    stairs = bend(np.arange(9.0), np.array([0, 0, 0, 0, 0, -3, -3, -3, -3.0]), -0.375)
    assert (stairs.kind, stairs.decades) == ("uneven", 1.5)
    up = bend(np.arange(9.0), np.array([0, 0, 0, 0, 0, 3, 3, 3, 3.0]), 0.375)
    assert (up.kind, up.decades) == ("uneven", 1.5)
    wild = np.where(np.arange(200) % 2, 3.0, -3.0)
    assert bend(np.arange(200.0), wild - wild[0], 0.0) is not None


def test_what_a_curve_loses_at_once_is_most_of_what_parts_it_from_its_line():
    lag, fall = np.arange(9.0), np.array([0.0, 0, 0, 0, 0, 0, 0, -2])
    assert bend(lag, np.r_[1.3, fall], 0.0).kind == "uneven"
    assert bend(lag, np.r_[1.4, fall], 0.0) == Bend("drop", 1.4)


def test_how_far_a_curve_may_leave_its_line_grows_with_what_all_its_lags_lose():
    lag = np.r_[0.0, 50:101:10]
    bump = np.array([0, 0, 0, 15.0, 0, 0, 0])
    assert bend(lag, bump - lag, -1.0) is None  # a fifth of 100 decades
    assert bend(lag, bump - lag / 2, -0.5) is not None


@pytest.mark.parametrize("slope", [-0.5, -0.02, 0.0, 0.03])
def test_a_straight_curve_with_noise_is_straight(slope):
    summary = one({"s": line(slope, 400, noise=0.1, sequences=8)})
    assert summary.bend is None
    assert summary.half_life is not None


def test_what_crosses_a_limit_before_the_end_is_said_of_a_bent_curve_too():
    summary = one({"s": falls(-9.0, -0.01)})
    assert summary.bend is not None
    assert summary.horizons["float16"].lag == 1
    assert summary.horizons["float32"] is None


def test_no_verdict_where_error_goes_back_one_step_at_most():
    """A bidirectional net's backward direction with its loss at the last step."""
    for length in (0, 1):
        summary = one({"s": line(-0.4, length)})
        assert summary.verdict is None
    assert one({"s": line(-0.9, 2)}).verdict == "vanishes"


def test_zero_at_the_far_end_has_no_half_life():
    values = np.zeros((1, 1, 1, 41))
    values[..., :5] = -np.inf
    summary = one({"s": series(values)})
    assert (summary.decades, summary.half_life, summary.verdict) == (-math.inf, None, "vanishes")
    assert summary.slope == 0
    assert set(summary.horizons.values()) == {None}
