"""Products in bands, and lengths that go back together: the same numbers as without."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradflow.core.cells.arrays import _UNPACKED, _bands, product, pull

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("A", "x"),
    [
        ((1, 512, 128), (1, 128, 32)),
        ((2, 512, 128), (1, 128, 32)),
        ((2, 512, 128), (3, 1, 128, 32)),
        ((1, 509, 131), (1, 131, 32)),
        ((1, 2048, 1024), (1, 1024, 1)),
        ((20, 128, 32), (20, 32, 16)),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [float, complex])
def test_bands_make_the_same_product(A: tuple[int, ...], x: tuple[int, ...], kind: type) -> None:
    a, b = (RNG.standard_normal(shape).astype(kind) for shape in (A, x))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=0, atol=1e-11)
    turned = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    np.testing.assert_allclose(product(turned, b), a @ b, rtol=0, atol=1e-11)


def test_bands_are_equal_and_small_enough_or_none() -> None:
    banded = 0
    for rows, inner, columns in itertools.product((96, 384, 512, 509), (32, 128, 512), (1, 8, 32)):
        count = _bands(rows, inner, columns)
        if count > 1:
            banded += 1
            assert rows % count == 0
            assert rows // count >= 8
            assert rows // count * inner * columns <= _UNPACKED < rows * inner * columns
    assert banded == 7


@pytest.mark.parametrize("columns", [1, 4, 16, 32])
def test_lengths_are_pulled_as_each_alone(columns: int) -> None:
    W, a = RNG.standard_normal((2, 512, 128)), RNG.standard_normal((3, 2, 512, columns))
    each = np.stack([W.swapaxes(1, 2) @ one for one in a])
    np.testing.assert_allclose(pull(W, a), each, rtol=0, atol=1e-11)
    assert pull(W, a[:0]).shape == (0, 2, 128, columns)
    wide = a.transpose(1, 2, 0, 3).copy().transpose(2, 0, 1, 3)
    np.testing.assert_allclose(pull(W, wide), each, rtol=0, atol=1e-11)
