from __future__ import annotations

import math

import pytest

from gradflow.report import format as form


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (2.2149, "2.21"),
        (-0.13642, "−0.136"),
        (1234.6, "1235"),
        (123456.0, "1.23e5"),
        (-2.5e-7, "−2.50e-7"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_number_rounds_to_significant_digits(value, text):
    assert form.number(value) == text


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (-0.1364, None, "−0.136"),
        (-0.1364, 0.0041, "−0.136 ± 0.004"),
        (-0.1364, 0.0149, "−0.136 ± 0.015"),
        (-0.36, 0.2, "−0.4 ± 0.2"),
        (0.02, 0.5, "0.0 ± 0.5"),
        (-0.6020599, 3e-9, "−0.6021 ± 3e-9"),
        (-0.5, 0.0, "−0.5000 ± 0"),
        (-0.5, 1e-16, "−0.5000 ± 0"),
        (2.0e-5, 4.0e-7, "(2.00 ± 0.04)e-5"),
        (-5.9e-4, 3.1e-4, "(−6 ± 3)e-4"),
        (0.0, 0.003, "0 ± 0.003"),
        (-123.4, 17.0, "−123 ± 17"),
        (-0.0012, 0.4, "0.0 ± 0.4"),
    ],
)
def test_plus_minus_keeps_the_digits_that_the_spread_leaves(value, spread, text):
    assert form.plus_minus(value, spread) == text


def test_norms_and_decades():
    assert form.power(-13.52) == "10^-13.5"
    assert form.power(-0.01) == "10^0.0"
    assert form.power(-math.inf) == form.decades(-math.inf) == "exact 0"
    assert form.decades(-13.52) == "−13.5"
    assert form.decades(-0.01) == "0.0"


def test_lags_are_whole_where_they_can_be():
    assert [form.lag(x) for x in (0, 9.0, 2.5, 52.4, 15251.3, 123456.0, math.inf)] == [
        "0",
        "9",
        "2.50",
        "52",
        "15251",
        "1.23e5",
        "∞",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ortho\n gonal", "ortho\\n gonal"),
        ("\x1b[31m \u202e", "\\x1b[31m \\u202e"),
        ("two  spaces", "two  spaces"),
        (1.0, "1"),
        (0.05, "0.05"),
        (1e-7, "1e−07"),
        (1e9, "1000000000.0"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        ({"chrono": 100}, "chrono 100"),
        (["f", {"i": 1.5}], "[f, i 1.5]"),
    ],
)
def test_settings_fit_on_a_line(value, text):
    assert form.setting(value) == text


def test_axis_names_are_short_but_differ():
    assert form.axis("init.recurrent_gain") == "recurrent gain"
    assert form.axis_names(["init.bias", "model.bias", "dtype"]) == {
        "init.bias": "init.bias",
        "model.bias": "model.bias",
        "dtype": "dtype",
    }


def test_plain_writes_ascii():
    assert form.plain("‖∂L/∂s‖ ± −½ · ∞ ~ λ") == "|dL/ds| +/- -1/2 . inf ~ ?"


def test_a_sign_of_per_cent_stays_with_its_number():
    for width in range(8, 40):
        lines = form.wrap("each seed, their median and 10–90 % of the seeds", width)
        assert not any(line.startswith("%") for line in lines), lines
