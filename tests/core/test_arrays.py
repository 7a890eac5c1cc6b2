"""Products in bands, in one, and of lengths together; results in place: the numbers as without."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradflow.core.cells.arrays import (
    _UNPACKED,
    Drive,
    _bands,
    affine,
    difference,
    like,
    nets_last,
    place,
    product,
    pull,
    spread,
)

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


@pytest.mark.parametrize("nets", [1, 3])
def test_one_product_makes_the_pre_activations_of_three(nets: int) -> None:
    """[W U b] [h; x; 1] = W h + U x + b, and an array in its place is left as it is."""
    W, U, b = (RNG.standard_normal((nets, 8, n)) for n in (5, 3, 1))
    h, x = RNG.standard_normal((nets, 5, 4)), RNG.standard_normal((nets, 3, 4))
    u = U @ x + b
    before = u.copy()
    drive = Drive(np.concatenate((W, U, b), axis=2), np.concatenate((x, np.ones_like(x[:, :1])), 1))
    np.testing.assert_allclose(affine(W, h, drive), W @ h + u, rtol=1e-13)
    np.testing.assert_array_equal(affine(W, h, u), W @ h + u)
    np.testing.assert_array_equal(u, before)


def test_a_product_of_nets_that_stand_last_in_memory_is_laid_out_so_too() -> None:
    """Bit for bit the same, and so is what is made of it."""
    A, x = RNG.standard_normal((10, 8, 2)), RNG.standard_normal((10, 2, 1))
    last = nets_last(x)
    found = product(A, last)
    np.testing.assert_array_equal(found, A @ x)
    np.testing.assert_array_equal(pull(A, found), A.swapaxes(1, 2) @ (A @ x))
    for made in (last, found, like(last, 3), pull(A, found), place(found[:, 2:])):
        assert made is not None
        assert made.swapaxes(0, 1).flags.c_contiguous


def test_results_go_into_arrays_of_one_piece_alone() -> None:
    class Named(np.ndarray): ...

    a = np.zeros((2, 4, 3))
    assert place(a) is a
    assert place(a[:1, 1:]) is not None
    assert place(a[:, 1:]) is None
    assert place(a.view(Named)) is None


def test_a_difference_takes_the_second_memory() -> None:
    a, b = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3))
    wanted = a - b
    found = difference(a, b)
    assert found is b
    np.testing.assert_array_equal(found, wanted)


def test_a_spread_vector_multiplies_as_the_vector() -> None:
    v, x = RNG.standard_normal((2, 4, 1)), RNG.standard_normal((2, 4, 5))
    assert spread(v, 5).flags.c_contiguous
    np.testing.assert_array_equal(spread(v, 5) * x, v * x)
