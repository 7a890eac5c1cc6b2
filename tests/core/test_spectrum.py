"""Singular values and Lyapunov exponents: closed forms, plain SVD, exact arithmetic."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.analyses.frame import Frame
from gradflow.core.analyses.graded import graded, log2_singular_values
from gradflow.core.analyses.spectrum import (
    bytes_needed,
    condition,
    lyapunov,
    participation,
    spectrum,
)
from gradflow.core.cells import Cell
from gradflow.core.engine.forward import forward
from gradflow.core.network.initialise import Init, draw_parameters
from gradflow.core.network.stack import Network, Weights
from gradflow.core.scaled import Scaled
from gradflow.errors import NumericalError
from tests import variants
from tests.core.exact import exact

Array = np.ndarray[Any, Any]
LOG10_2 = math.log10(2)


def drawn(net: Network, init: Init, nets: int = 1) -> Weights:
    def one(layer: int) -> dict[str, Array]:
        cell, inputs = net.layers[layer].cell, net.features(layer)
        each = [draw_parameters(cell, inputs, init, seed, layer, "forward") for seed in range(nets)]
        return {name: np.stack([p[name] for p in each]) for name in each[0]}

    return tuple((one(layer),) for layer in range(len(net.layers)))


def silence(steps: int, columns: int = 1) -> Array:
    return np.zeros((steps, 1, 1, columns))


@pytest.mark.parametrize("rho", [1e-3, 0.9, 1.0, 1.2])
def test_scaled_orthogonal_weights_give_powers_of_the_scale(rho: float) -> None:
    net = Network.of(cells.RNN(5, activation="identity"), 1)
    found = spectrum(net, drawn(net, Init(recurrent_gain=rho)), silence(800), [0, 300, 800])
    for k, logs in zip(found.steps, found.log10_singular[0, 0], strict=True):
        np.testing.assert_allclose(logs, (800 - k) * math.log10(rho), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.exponents.decades, math.log10(rho), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.exponents.nats, math.log(rho), rtol=0, atol=1e-9)
    assert found.exponents.error.max() < 1e-12
    np.testing.assert_allclose(condition(found.log10_singular), 0, atol=1e-9)
    np.testing.assert_allclose(participation(found.log10_singular), 5, rtol=1e-9)


def test_the_carrousel_without_gates_changes_nothing() -> None:
    net = Network.of(cells.CEC(4), 1)
    found = spectrum(net, drawn(net, Init()), silence(300))
    assert np.all(found.log10_singular == 0)
    assert np.all(found.exponents.decades == 0)


def test_an_lstm_without_recurrent_weights_is_known_unit_by_unit() -> None:
    """c_T = f^T c_0 and h_T = o c_T near c = 0: σ = f^T √(1 + o²), and nothing passes through h."""
    H, T = 6, 600
    net = Network.of(cells.LSTM(H), 1)
    weights = drawn(net, Init(recurrent_gain=0.0))
    bias = np.array([-60.0, -3.0, -1.0, 0.0, 1.0, 4.0])  # σ(−60) is below ε beside σ(4)
    weights[0][0]["b"][0, H : 2 * H, 0] = bias
    found = spectrum(net, weights, silence(T), [0, 400])
    decades = np.sort(-np.log10(1 + np.exp(-bias)))[::-1]
    for k, logs in zip((0, 400), found.log10_singular[0, 0], strict=True):
        wanted = (T - k) * decades + math.log10(math.sqrt(1.25))
        np.testing.assert_allclose(logs[:H], wanted, rtol=1e-12, atol=1e-9)
        assert np.all(logs[H:] == -np.inf)
    np.testing.assert_allclose(found.exponents.decades[0, 0, :H], decades, rtol=1e-12, atol=1e-9)
    assert np.all(found.exponents.decades[0, 0, H:] == -np.inf)
    assert np.all(np.isinf(condition(found.log10_singular)))


def jacobian(net: Network, weights: Weights, x: Array) -> Array:
    """∂S_T/∂S_0 by the complex step, one nudged component for each column."""
    sizes = [size for layer in net.layers for size in layer.cell.sizes]
    D = sum(sizes)
    nudges = iter(np.split(1e-200j * np.eye(D)[None], np.cumsum(sizes)[:-1], axis=1))
    states = tuple((tuple(next(nudges) for _ in layer.cell.parts),) for layer in net.layers)
    x = np.broadcast_to(x, (*x.shape[:-1], D)).astype(complex)
    _, after = forward(net, weights, x, states, [(0, len(x))])
    parts = [part for layer in after for state in layer for part in state]
    return np.concatenate(parts, axis=1)[0].imag / 1e-200


@pytest.mark.parametrize(("cell", "layers"), variants.in_turn(variants.every_cell(3), [1, 3]))
def test_short_chains_agree_with_the_svd(cell: Cell, layers: int) -> None:
    rng = np.random.default_rng(5)
    net = Network.of(cell, 2, layers)
    weights = variants.draw(cell, rng, inputs=2, layers=layers)
    x = rng.standard_normal((4, 1, 2, 1))
    logs = spectrum(net, weights, x, settle=0).log10_singular[0, 0, 0]
    wanted = np.linalg.svd(jacobian(net, weights, x), compute_uv=False)
    np.testing.assert_allclose(10**logs, wanted, rtol=1e-10, atol=1e-14 * wanted[0])


@pytest.mark.parametrize("span", [0, 3, 40, 400])
def test_rows_far_apart_keep_all_their_digits(span: int) -> None:
    rng = np.random.default_rng(span)
    rows = rng.standard_normal((5, 5))
    exponent = -span * np.arange(5)[::-1]
    matrix = Scaled((rows,), exponent[:, None])
    wanted = exact([rows], [int(e) for e in exponent])
    np.testing.assert_allclose(log2_singular_values(matrix) * LOG10_2, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("kind", "layers"), [("rnn", 1), ("lstm", 1), ("gru", 2)])
def test_long_products_agree_with_exact_arithmetic(kind: str, layers: int) -> None:
    rng = np.random.default_rng(3)
    net = Network.of(cells.get(kind)(2), 2, layers)
    weights = variants.draw(net.layers[0].cell, rng, inputs=2, layers=layers)
    x = 0.5 * rng.standard_normal((60, 1, 2, 1))
    found = spectrum(net, weights, x, settle=0)
    states = net.initial(1, 1, np.dtype(float))
    factors = []
    for t in range(len(x)):
        factors.append(step_jacobian(net, weights, x[t : t + 1], states))
        _, states = forward(net, weights, x[t : t + 1], states, [(0, 1)])
    wanted = exact(factors)
    assert wanted[0] - wanted[-1] > 20
    # No algorithm can know more than the factors do: what one rounding of them moves is allowed.
    eps = np.finfo(float).eps
    noise = [eps * np.linalg.norm(J) * rng.standard_normal(J.shape) for J in factors]
    rounded = exact([J + n for J, n in zip(factors, noise, strict=True)])
    error = np.abs(found.log10_singular[0, 0, 0] - wanted)
    assert np.all(error < 1e-9 + 10 * np.abs(rounded - wanted))
    determinants = sum(np.linalg.slogdet(factor)[1] for factor in factors)
    assert found.exponents.nats.sum() * len(x) == pytest.approx(determinants, rel=1e-10)


def step_jacobian(net: Network, weights: Weights, x: Array, states: Any) -> Array:
    """∂S_t/∂S_{t−1} at given states, by the complex step."""
    parts = [part for layer in states for state in layer for part in state]
    D, width = sum(part.shape[1] for part in parts), len(net.layers[0].cell.parts)
    nudged = np.concatenate(parts, axis=1) + 1e-200j * np.eye(D)[None]
    each = np.split(nudged, len(parts), axis=1)
    given = tuple((tuple(each[i : i + width]),) for i in range(0, len(each), width))
    x = np.broadcast_to(x, (*x.shape[:-1], D)).astype(complex)
    _, after = forward(net, weights, x, given, [(0, 1)])
    ends = [part for layer in after for state in layer for part in state]
    return np.concatenate(ends, axis=1)[0].imag / 1e-200


def test_nets_and_sequences_side_by_side_do_not_meet() -> None:
    rng = np.random.default_rng(4)
    net = Network.of(cells.GRU(4), 2, depth=2)
    weights = variants.draw(net.layers[0].cell, rng, inputs=2, layers=2, nets=2, gain=1.5)
    x = rng.standard_normal((30, 1, 2, 3))
    together = spectrum(net, weights, x, [0, 20])
    alone = tuple(({name: a[1:] for name, a in layer[0].items()},) for layer in weights)
    single = spectrum(net, alone, x[..., 2:], [0, 20])
    np.testing.assert_allclose(together.log10_singular[1:, 2:], single.log10_singular, rtol=1e-9)
    np.testing.assert_allclose(together.exponents.decades[1:, 2:], single.exponents.decades)


def test_a_part_of_the_frame_finds_the_leading_exponents() -> None:
    rng = np.random.default_rng(6)
    net = Network.of(cells.RNN(8), 1)
    weights = drawn(net, Init(recurrent="normal", recurrent_gain=1.8), nets=2)
    x = 0.3 * rng.standard_normal((1200, 1, 1, 1))
    few, every = lyapunov(net, weights, x, 2), lyapunov(net, weights, x)
    assert few.decades.shape == (2, 1, 2)
    # The frames differ at first; the rest of time they agree, so only the ends' share is left.
    np.testing.assert_allclose(few.decades, every.decades[..., :2], atol=0.01 * every.decades.std())


def test_a_tenth_at_either_end_is_left_out_unless_told_otherwise() -> None:
    net = Network.of(cells.RNN(3), 1)
    weights = drawn(net, Init(recurrent="normal", recurrent_gain=1.5))
    x = np.random.default_rng(8).standard_normal((50, 1, 1, 1))
    usual, tenth, none = (lyapunov(net, weights, x, settle=s).decades for s in (None, 5, 0))
    np.testing.assert_array_equal(usual, tenth)
    assert np.abs(usual / none - 1).min() > 1e-3


def test_the_error_of_an_exponent_is_that_of_a_mean_over_time() -> None:
    """One unit, its forget gate driven by noise: log f_t are independent draws."""
    net = Network.of(cells.LSTM(1), 1)
    weights = drawn(net, Init(recurrent_gain=0.0, input_gain=0.0))
    weights[0][0]["U"][0, 1] = 1.0
    x = np.random.default_rng(7).standard_normal((2000, 1, 1, 1))
    found = lyapunov(net, weights, x, 1, settle=100)
    logs = -np.log10(1 + np.exp(-1 - x[100:1900, 0, 0, 0]))
    assert found.decades[0, 0, 0] == pytest.approx(logs.mean(), rel=1e-9)
    # The variance of 20 batch means is known to 1/√38 of itself: three standard errors of that.
    wanted = logs.std() / math.sqrt(len(logs))
    assert found.error[0, 0, 0] == pytest.approx(wanted, rel=3 / math.sqrt(38))


def test_directions_that_a_step_destroys_are_exactly_gone() -> None:
    net = Network.of(cells.RNN(3, activation="relu"), 1)
    weights = drawn(net, Init(recurrent="normal", input_gain=0.0))
    p = weights[0][0]
    p["W"][0] = np.abs(p["W"][0])
    p["b"][0, :, 0] = [1.0, 1.0, -100.0]  # the third unit never fires
    found = spectrum(net, weights, silence(50), [0, 49, 50])
    assert np.isfinite(found.log10_singular[0, 0, :, :2]).all()
    assert np.all(found.log10_singular[0, 0, :2, 2] == -np.inf)
    assert np.all(found.log10_singular[0, 0, 2] == 0)
    assert found.exponents.decades[0, 0, 2] == -np.inf
    assert found.exponents.error[0, 0, 2] == 0


def test_a_zero_matrix_has_no_direction() -> None:
    logs = log2_singular_values(graded(np.zeros((3, 3))))
    assert np.all(logs == -np.inf)
    assert participation(logs) == 0
    assert participation(np.array([0.0, -np.inf, -np.inf])) == 1
    assert participation(np.array([-4000.0, -4000.0, -5000.0])) == pytest.approx(2)


def test_what_has_no_spectrum_says_why() -> None:
    net = Network.of(cells.RNN(2), 1)
    weights = drawn(net, Init())
    both = Network.of(cells.RNN(2), 1, bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional: false"):
        spectrum(both, weights, silence(3))
    with pytest.raises(ValueError, match=r"steps must lie in 0\.\.3"):
        spectrum(net, weights, silence(3), [4])
    with pytest.raises(ValueError, match=r"vectors must lie in 1\.\.2"):
        lyapunov(net, weights, silence(3), 3)
    with pytest.raises(ValueError, match="leaves none of 3"):
        lyapunov(net, weights, silence(3), 1, settle=2)
    assert np.isinf(lyapunov(net, weights, silence(1), 1).error).all()


def test_a_part_of_a_frame_has_no_product_and_infinity_no_direction() -> None:
    frame = Frame(Network.of(cells.RNN(2), 1), 1, 1, vectors=1)
    with pytest.raises(ValueError, match="its rest is missing"):
        _ = frame.product
    with pytest.raises(NumericalError, match="derivative of step 8 of rnn is not finite"):
        frame.advance([(np.full((1, 1, 2, 1), np.inf),)], 7)


@pytest.mark.parametrize(
    ("kind", "hidden", "sequences", "steps", "layers"),
    [("lstm", 8, 4, 200, 1), ("rnn", 24, 4, 200, 1), ("gru", 6, 16, 100, 2)],
)
def test_memory_is_as_predicted(
    kind: str, hidden: int, sequences: int, steps: int, layers: int
) -> None:
    net = Network.of(cells.get(kind)(hidden), 2, layers)
    rng = np.random.default_rng(0)
    weights = variants.draw(net.layers[0].cell, rng, inputs=2, layers=layers)
    x, kept = rng.standard_normal((steps, 1, 2, sequences)), [0, 10, 50, 90]
    spectrum(net, weights, x[:20])  # what the first call leaves is not its own
    tracemalloc.start()
    spectrum(net, weights, x, kept)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    planned = bytes_needed(net, 1, sequences, steps, len(kept), x.dtype)
    assert planned == pytest.approx(peak, rel=0.2)
