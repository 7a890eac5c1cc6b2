"""The laws by which PyTorch and Keras draw, against their words and against their own draws."""

from __future__ import annotations

import numpy as np
import pytest

from gradflow.core.cells import GRU, LSTM, RNN, Cell
from gradflow.core.network.initialise import Init, draw_parameters

H, INPUTS = 48, 20
CELLS = [RNN(H), LSTM(H), GRU(H, reset="after"), GRU(H)]


def drawn(cell: Cell, like: str, seed: int = 0) -> dict[str, np.ndarray]:
    return draw_parameters(cell, INPUTS, Init(like=like), seed, 0, "forward")


def triangular(values: np.ndarray, bound: float) -> bool:
    """Whether the values could be sums of two uniform ones: variance 2 b²/3."""
    return bool(np.abs(values).max() > bound) and np.isclose(
        values.var(), 2 * bound**2 / 3, rtol=0.5
    )


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.label)
def test_pytorch_draws_all_between_the_same_bounds(cell: Cell) -> None:
    bound = 1 / np.sqrt(H)
    p = drawn(cell, "pytorch")
    for name in p.keys() - {"b"}:
        assert 0.9 * bound < np.abs(p[name]).max() <= bound
        assert p[name].var() == pytest.approx(bound**2 / 3, rel=0.4)
    blocks = dict(zip(cell.gates, np.split(p["b"], len(cell.gates)), strict=True))
    for gate, b in blocks.items():
        assert triangular(b, bound) == (gate != "g" or "b_rec" not in p)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.label)
def test_keras_draws_over_all_gates_at_once(cell: Cell) -> None:
    p = drawn(cell, "keras")
    bound = np.sqrt(6 / (INPUTS + len(cell.gates) * H))
    assert 0.98 * bound < np.abs(p["U"]).max() <= bound
    np.testing.assert_allclose(p["W"].T @ p["W"], np.eye(H), atol=1e-13)
    ones = [float(gate == "f") for gate in cell.gates]
    np.testing.assert_array_equal(p["b"][:, 0], np.repeat(ones, H))
    assert not p.get("b_rec", np.zeros(1)).any()


def test_seeds_layers_and_frameworks_differ() -> None:
    assert (drawn(LSTM(H), "keras", 1)["U"] != drawn(LSTM(H), "keras", 2)["U"]).all()
    assert (drawn(RNN(H), "keras")["U"] != drawn(RNN(H), "pytorch")["U"]).all()


def test_no_framework_has_peepholes() -> None:
    with pytest.raises(ValueError, match="keras has no layer with peepholes"):
        drawn(LSTM(H, peephole="diagonal"), "keras")
    with pytest.raises(ValueError, match="there are pytorch, keras"):
        Init(like="jax")


@pytest.mark.extras
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_pytorch_itself(kind: str) -> None:
    torch = pytest.importorskip("torch")
    cell: Cell = {"RNN": RNN(H), "LSTM": LSTM(H), "GRU": GRU(H, reset="after")}[kind]
    theirs = getattr(torch.nn, kind)(INPUTS, H).state_dict()
    ours = drawn(cell, "pytorch")
    for name, theirs_name in (("U", "weight_ih_l0"), ("W", "weight_hh_l0")):
        b = theirs[theirs_name].numpy()
        a = ours[name]
        assert a.shape == b.shape
        assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.01)
        assert a.std() == pytest.approx(b.std(), rel=0.05)
    bound = theirs["bias_ih_l0"].abs().max().item()
    assert 0.9 / np.sqrt(H) < bound <= 1 / np.sqrt(H)


@pytest.mark.extras
@pytest.mark.filterwarnings("default")  # the framework's own
@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_keras_itself(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    cell: Cell = {"SimpleRNN": RNN(H), "LSTM": LSTM(H), "GRU": GRU(H, reset="after")}[kind]
    layer = getattr(keras.layers, kind)(H)
    layer.build((None, None, INPUTS))
    kernel, recurrent, bias = map(np.asarray, layer.get_weights())
    ours = drawn(cell, "keras")
    assert ours["U"].T.shape == kernel.shape
    assert np.abs(kernel).max() == pytest.approx(np.abs(ours["U"]).max(), rel=0.01)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(H), atol=1e-5)
    assert bias.sum() == ours["b"].sum() + ours.get("b_rec", np.zeros(1)).sum()
