"""Numbers with an exponent of their own against fractions, which know no range."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gradflow.core.scaled import NOTHING, Scaled, concatenated, cosine, log10_rms, stacked

Array = np.ndarray[Any, Any]


def exact(number: Scaled, part: int = 0) -> Array:
    """Its values as fractions."""
    assert number.exponent.dtype.kind == "i"
    m = number.parts[part]
    pairs = zip(m.ravel(), np.broadcast_to(number.exponent, m.shape).ravel(), strict=True)
    each = [Fraction(float(v)) * Fraction(2) ** int(e) if v else Fraction(0) for v, e in pairs]
    return np.array(each, object).reshape(m.shape)


def drawn(seed: int, spread: int, parts: int = 1) -> Scaled:
    """Small whole mantissas, the last column zero, exponents up to `spread` apart by column."""
    rng = np.random.default_rng(seed)
    whole = [rng.integers(-7, 8, (2, 3, 4)).astype(float) for _ in range(parts)]
    for each in whole:
        each[:, 0, :3] = 5  # no other column is zero
        each[..., 3] = 0
    for place, each in enumerate(whole[:2]):
        each[..., place] *= 64  # of two parts each is the larger one somewhere
    return Scaled(tuple(whole), rng.integers(-spread, spread + 1, (2, 1, 4)))


@pytest.mark.parametrize("offset", [-9000, 0, 9000])
def test_arithmetic_is_that_of_fractions(offset: int) -> None:
    a, b = drawn(1, 8), drawn(2, 8)
    a = Scaled(a.parts, a.exponent + offset)
    b = Scaled(b.parts, b.exponent + offset)
    halves = Scaled((np.full_like(b.values, -4.0),), b.exponent)
    assert (exact(a + b) == exact(a) + exact(b)).all()
    assert (exact(-a) == -exact(a)).all()
    assert (exact(a * b) == exact(a) * exact(b)).all()
    assert (exact(a / halves) == exact(a) / exact(halves)).all()
    assert np.isnan((a / b).values[..., 3]).all()
    assert (exact(a.sum(-1)) == exact(a).sum(-1)).all()
    assert (exact(a.sum((-2, -1))) == exact(a).sum((-2, -1))).all()


def test_what_is_far_smaller_is_lost_and_nothing_else() -> None:
    large, small = drawn(3, 2), drawn(4, 2)
    small = Scaled(small.parts, small.exponent - 20_000)
    for found in (large + small, small + large):
        assert (exact(found) == exact(large)).all()
    zero = Scaled((np.zeros((2, 3, 4)),), np.full((2, 1, 4), NOTHING))
    assert (exact(zero + small) == exact(small)).all()


@pytest.mark.parametrize(
    "form", [Scaled.unit, Scaled.normalised, lambda a: a.level(-1), lambda a: a.level((0, -1))]
)
def test_another_form_is_the_same_number(form: Callable[[Scaled], Scaled]) -> None:
    number = drawn(5, 300, parts=2)
    for part in range(2):
        assert (exact(form(number), part) == exact(number, part)).all()


def test_a_form_has_the_exponents_that_it_says() -> None:
    number = drawn(6, 300, parts=2)
    top = np.maximum(*(np.abs(exact(number, part)).max(axis=1) for part in range(2)))
    size = number.magnitude()[:, 0]
    for found, value in zip(size[:, :3].ravel(), top[:, :3].ravel(), strict=True):
        assert Fraction(1, 2) <= value / Fraction(2) ** int(found) < 1
    assert (size[:, 3] == NOTHING).all()
    unit = number.unit()
    largest = np.maximum(*(np.abs(part).max(axis=1) for part in unit.parts))[:, :3]
    assert ((largest >= 0.5) & (largest < 1)).all()
    assert number.level(-1).exponent.shape == (2, 1, 1)
    assert number.level((0, -1)).exponent.shape == (1, 1, 1)
    assert number.level(-2) is number


@pytest.mark.parametrize(("dtype", "home"), [(np.float64, 100), (np.float32, 12)])
def test_mantissas_come_home_from_too_far_only(dtype: Any, home: int) -> None:
    def of(power: int) -> Scaled:
        return Scaled((np.full((1, 1, 1), 2.0 ** (power - 1), dtype),), np.zeros((1, 1, 1), int))

    for power in (home, -home):
        assert of(power).normalised() is not None
        assert of(power).normalised().values[0, 0, 0] == 2.0 ** (power - 1)
    for power in (home + 1, -home - 1):
        moved = of(power).normalised()
        assert moved.values[0, 0, 0] == 0.5
        assert moved.exponent[0, 0, 0] == power
        assert moved.dtype == dtype
    assert of(3).normalised(home=2).exponent[0, 0, 0] == 3
    assert of(1).normalised(of(home + 1)).exponent[0, 0, 0] == home + 1
    assert of(1).normalised(of(-home - 1)).exponent[0, 0, 0] == 0
    for number in (of(home), Scaled((np.zeros((1, 1, 1), dtype),), of(1).exponent)):
        far = Scaled(number.parts, number.exponent + 9000)
        assert far.normalised() is far


def test_lengths_and_logarithms_beyond_any_range() -> None:
    legs = np.array([[[3.0, 5.0], [4.0, 12.0]]])
    far = Scaled((legs,), np.array([[[5000, -5000]]]))
    want = math.log10(2) * np.array([[5000, -5000]]) + np.log10([[5, 13]])
    np.testing.assert_allclose(far.norm().log10, want, rtol=1e-15)
    assert (far.plain == [[[np.inf, 0], [np.inf, 0]]]).all()
    assert (Scaled.of(legs).plain == legs).all()
    assert np.isneginf(Scaled.of(np.zeros((1, 2, 1))).norm().log10).all()
    same = Scaled((-2 * legs,), np.array([[[-7000, 9000]]]))
    np.testing.assert_allclose(cosine(far, same), -1, rtol=1e-15)
    across = Scaled.of(np.array([[[4.0, 0.0], [-3.0, 0.0]]]))
    assert cosine(far, across)[0, 0] == 0
    assert np.isnan(cosine(far, across)[0, 1])


def test_numbers_stand_side_by_side() -> None:
    a, b = drawn(8, 40), drawn(9, 40)
    assert (exact(stacked([a, b])) == np.stack([exact(a), exact(b)])).all()
    together = concatenated([a, b])
    assert together.exponent.shape == (2, 1, 4)
    assert (exact(together) == np.concatenate([exact(a), exact(b)], 1)).all()
    longer = a.grown(2)
    assert longer.values.shape == (4, 3, 4)
    assert (exact(longer)[:2] == exact(a)).all()
    assert not longer.values[2:].any()
    assert not longer.exponent[2:].any()
    assert a.grown(0) is a
    assert a.grown(3).values.shape == (5, 3, 4)
    assert (exact(a[1:]) == exact(a)[1:]).all()
    assert Scaled.of(a.values).exponent.shape == (2, 1, 4)
    each = Scaled(a.parts, a.exponent + np.array([[90], [-90], [0]]))
    three = [each, b, a]
    assert (exact(concatenated(three)) == np.concatenate([exact(n) for n in three], 1)).all()


def test_root_mean_squares_of_logarithms() -> None:
    logs = np.array([[-9000.0, -9001.0, -np.inf], [-np.inf] * 3])
    want = -9000 + math.log10((1 + 0.01) / 3) / 2
    found = log10_rms(logs, 1)
    assert found[0] == pytest.approx(want, rel=1e-15)
    assert np.isneginf(found[1])
    heavy = log10_rms(logs[:1], 1, weights=np.array([1.0, 3.0, 0.0]))
    assert heavy[0] == pytest.approx(-9000 + math.log10((1 + 0.03) / 4) / 2, rel=1e-15)
