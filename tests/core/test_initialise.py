"""Laws of the initialisers: moments, bounds, orthogonality, and that nothing else is disturbed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.core.cells import RNN, Parameter
from gradflow.core.cells.terms import Role
from gradflow.core.network.initialise import SCHEMES, Chrono, Init, draw_parameters
from tests.own import Keeping

SHAPES = [(64, 64), (64, 5), (5, 64)]


@dataclass(frozen=True)
class Matrix(RNN):
    """A cell of one matrix, of any role."""

    role: Role = "recurrent"

    def parameters(self, inputs):
        return {"W": Parameter(self.role, ("g",), self.hidden, inputs)}


def weight(init: Init, rows: int, cols: int, role: str = "recurrent", seed: int = 0) -> np.ndarray:
    cell = Matrix(rows, role=role)
    return draw_parameters(cell, cols, init, seed, 0, "forward")["W"]


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_normal_has_variance_gain_squared_over_fan_in(gain):
    w = weight(Init(recurrent="normal", recurrent_gain=gain), 400, 300)
    n = w.size
    # Five standard errors of a mean and of a variance of n normal numbers.
    assert abs(w.mean()) < 5 * gain / np.sqrt(300 * n)
    assert abs(w.var() / (gain**2 / 300) - 1) < 5 * np.sqrt(2 / n)


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize(
    ("scheme", "bound"),
    [("uniform", 1 / np.sqrt(200)), ("glorot", np.sqrt(6 / (200 + 300)))],
)
def test_uniform_schemes_fill_their_bounds(scheme, bound, gain):
    w = weight(Init(recurrent=scheme, recurrent_gain=gain), 200, 300)
    assert np.abs(w).max() <= gain * bound
    assert np.abs(w).max() > 0.999 * gain * bound
    assert abs(w.var() / ((gain * bound) ** 2 / 3) - 1) < 5 * np.sqrt(0.8 / w.size)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_orthogonal_is_orthonormal_in_its_short_dimension(rows, cols, seed):
    q = weight(Init(), rows, cols, seed=seed)
    product = q @ q.T if cols > rows else q.T @ q
    assert np.abs(product - np.eye(len(product))).max() < 1e-14


def test_orthogonal_has_no_preferred_sign():
    diagonals = [np.diagonal(weight(Init(), 8, 8, seed=k)) for k in range(200)]
    assert abs(np.mean(np.sign(diagonals))) < 5 / np.sqrt(200 * 8)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_identity(rows, cols):
    w = weight(Init(recurrent="identity", recurrent_gain=0.9), rows, cols)
    np.testing.assert_array_equal(w, 0.9 * np.eye(rows, cols))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gain_is_a_factor(scheme):
    once, thrice = (weight(Init(recurrent=scheme, recurrent_gain=g), 12, 7) for g in (1.0, 3.0))
    np.testing.assert_array_equal(3.0 * once, thrice)


def test_roles_have_their_own_scheme_and_gain():
    cell = cells.get("lstm")(hidden=6, peephole="full")
    init = Init("identity", 2.0, "identity", 3.0, "identity", 4.0)
    drawn = draw_parameters(cell, 6, init, 0, 0, "forward")
    for name, gain in (("W", 2.0), ("U", 3.0), ("P", 4.0)):
        for block in np.split(drawn[name], len(drawn[name]) // 6):
            np.testing.assert_array_equal(block, gain * np.eye(6))


@pytest.mark.parametrize("scheme", ["normal", "uniform", "identity"])
def test_diagonal_peepholes(scheme):
    cell = cells.get("lstm")(hidden=2000, peephole="diagonal")
    init = Init(peephole=scheme, peephole_gain=2.0, recurrent="identity")
    p = draw_parameters(cell, 1, init, 0, 0, "forward")["P"]
    assert p.shape == (6000, 1)
    expected = {"normal": 4 / 2000, "uniform": 4 / 2000 / 3, "identity": 4}[scheme]
    assert abs(np.mean(p**2) / expected - 1) < 5 * np.sqrt(2 / p.size)
    if scheme == "identity":
        assert set(p.ravel()) == {2.0}


@pytest.mark.parametrize("scheme", ["glorot", "orthogonal"])
def test_schemes_that_mean_nothing_on_a_diagonal(scheme):
    cell = cells.get("lstm")(hidden=4, peephole="diagonal")
    with pytest.raises(ValueError, match=f"init.peephole: {scheme} has no meaning"):
        draw_parameters(cell, 2, Init(peephole=scheme), 0, 0, "forward")


def test_a_full_peephole_of_one_unit_takes_every_scheme():
    cell = cells.get("lstm")(hidden=1, peephole="full")
    for scheme in SCHEMES:
        draw_parameters(cell, 2, Init(peephole=scheme), 0, 0, "forward")


@pytest.mark.parametrize("role", ["recurrent", "input", "peephole"])
def test_unknown_scheme(role):
    with pytest.raises(ValueError, match=f"init.{role}: no scheme 'xavier'; there are normal"):
        Init(**{role: "xavier"})


def made(cell, init=None, seed=7):
    """The parameters of a cell that reads three features."""
    return draw_parameters(cell, 3, init or Init(), seed, 0, "forward")


def gate(cell, drawn, name, wanted):
    blocks = cell.parameters(3)[name].blocks
    return np.split(drawn[name], len(blocks))[blocks.index(wanted)]


def test_options_of_the_cell_leave_the_shared_weights_alone():
    lstm = cells.get("lstm")
    plain = lstm(hidden=5)
    reference = made(plain)
    for options in (
        {"peephole": "diagonal"},
        {"peephole": "full", "peephole_gates": ("o",)},
        {"coupled": True},
        {"forget_gate": False},
    ):
        cell = lstm(hidden=5, **options)
        drawn = made(cell)
        for name in ("U", "W", "b"):
            for g in cell.gates:
                np.testing.assert_array_equal(
                    gate(cell, drawn, name, g), gate(plain, reference, name, g)
                )


def test_one_peephole_is_the_same_whichever_others_there_are():
    lstm = cells.get("lstm")
    every = lstm(hidden=5, peephole="full")
    alone = lstm(hidden=5, peephole="full", peephole_gates=("o",))
    one, other = (gate(cell, made(cell), "P", "o") for cell in (every, alone))
    np.testing.assert_array_equal(one, other)


def test_gru_variants_share_their_weights():
    gru = cells.get("gru")
    drawn = [
        draw_parameters(gru(hidden=5, reset=reset, bias=bias), 3, Init(), 1, 0, "forward")
        for reset in ("before", "after")
        for bias in (True, False)
    ]
    for other in drawn[1:]:
        for name in ("U", "W"):
            np.testing.assert_array_equal(drawn[0][name], other[name])


def test_every_place_and_purpose_has_weights_of_its_own():
    cell = cells.get("lstm")(hidden=4)
    places = [(0, 0, "forward"), (1, 0, "forward"), (0, 1, "forward"), (0, 0, "backward")]
    init = Init("normal", 1.0, "normal")
    matrices = [
        block.tobytes()
        for place in places
        for name, array in draw_parameters(cell, 4, init, *place).items()
        if name != "b"
        for block in np.split(array, 4)
    ]
    assert len(set(matrices)) == len(matrices) == 4 * 2 * 4


def test_draw_is_a_pure_function():
    cell = cells.get("gru")(hidden=4)
    one, two = (draw_parameters(cell, 2, Init(), 3, 1, "backward") for _ in range(2))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_float32_is_the_cast_of_float64():
    cell = cells.get("lstm")(hidden=9, peephole="diagonal")
    place = (cell, 4, Init(forget_bias=Chrono(50)), 0, 0, "forward")
    double, single = draw_parameters(*place), draw_parameters(*place, np.float32)
    for name, array in single.items():
        assert array.dtype == np.float32
        assert double[name].dtype == np.float64
        np.testing.assert_array_equal(array, double[name].astype(np.float32))


def test_biases_of_each_unit_and_a_scheme_whose_size_is_given():
    init = Init("interval", 0.1, "interval", 0.2, bias={"i": (-3.0, -6.0), "o": 0.5})
    cell = cells.get("block")(hidden=2, size=2)
    p = draw_parameters(cell, 3, init, 1, 0, "forward")
    np.testing.assert_array_equal(p["b"][:, 0], [0.5, 0.5, -3, -6, 0, 0, 0, 0])
    for name, bound in (("W", 0.1), ("U", 0.2)):
        assert 0.8 * bound < np.abs(p[name]).max() <= bound
    with pytest.raises(ValueError, match=r"init\.bias\.i: 3 biases for 2 units"):
        draw_parameters(cell, 3, Init(bias={"i": (1.0, 2.0, 3.0)}), 1, 0, "forward")


@pytest.mark.parametrize("kind", cells.names())
def test_shapes_of_every_cell(kind):
    cell = cells.get(kind)(hidden=6)
    drawn = draw_parameters(cell, 4, Init(), 0, 0, "forward")
    assert {name: a.shape for name, a in drawn.items()} == {
        name: p.shape for name, p in cell.parameters(4).items()
    }


def test_forget_bias_and_biases_by_gate():
    cell = cells.get("lstm")(hidden=4)

    def biases(init):
        return {g: gate(cell, made(cell, init), "b", g).ravel().tolist() for g in cell.gates}

    assert biases(Init()) == {"f": [1.0] * 4, "i": [0.0] * 4, "o": [0.0] * 4, "g": [0.0] * 4}
    assert biases(Init(forget_bias=None))["f"] == [0.0] * 4
    assert biases(Init(forget_bias=2.0, bias={"o": -1.0, "z": 9.0}))["o"] == [-1.0] * 4
    assert biases(Init(forget_bias=2.0, bias={"f": 3.0}))["f"] == [3.0] * 4


def test_the_bias_inside_the_reset_bracket_starts_at_zero():
    cell = cells.get("gru")(hidden=4, reset="after")
    drawn = draw_parameters(cell, 3, Init(bias={"g": 2.0, "z": -1.0}), 0, 0, "forward")
    assert not drawn["b_rec"].any()
    assert set(gate(cell, drawn, "b", "g").ravel()) == {2.0}
    assert set(gate(cell, drawn, "b", "z").ravel()) == {-1.0}


def test_chrono_of_an_lstm():
    t_max = 400
    cell = cells.get("lstm")(hidden=400)
    b = made(cell, Init(recurrent="normal", forget_bias=Chrono(t_max)))
    forget, write = gate(cell, b, "b", "f"), gate(cell, b, "b", "i")
    np.testing.assert_array_equal(write, -forget)
    assert not gate(cell, b, "b", "o").any()
    span = np.exp(forget)
    assert span.min() >= 1
    assert span.max() <= t_max - 1
    assert abs(span.mean() - t_max / 2) < 5 * (t_max - 2) / np.sqrt(12 * 400)
    # A unit with bias ln τ keeps τ / (1 + τ) of its cell at each step: it lasts 1 + τ steps.
    keep = 1 / (1 + np.exp(-forget))
    np.testing.assert_allclose(1 / (1 - keep), 1 + span, rtol=1e-12)


def test_chrono_of_a_gru_is_on_the_gate_that_leaks():
    cell = cells.get("gru")(hidden=50)
    drawn = made(cell, Init(forget_bias=Chrono(30)))
    z = gate(cell, drawn, "b", "z")
    assert z.min() >= -np.log(29)
    assert z.max() <= 0
    assert not gate(cell, drawn, "b", "r").any()
    lstm = cells.get("lstm")(hidden=50)
    f = gate(lstm, made(lstm, Init(forget_bias=Chrono(30))), "b", "f")
    np.testing.assert_array_equal(z, -f)


@pytest.mark.parametrize(
    ("kind", "options", "touched"),
    [
        ("lstm", {"coupled": True}, "f"),
        ("lstm", {"forget_gate": False}, ""),
        ("rnn", {}, ""),
    ],
)
def test_chrono_elsewhere(kind, options, touched):
    cell = cells.get(kind)(hidden=5, **options)
    drawn = made(cell, Init(forget_bias=Chrono(30)))
    for g in cell.gates:
        assert gate(cell, drawn, "b", g).any() == (g in touched)


def test_a_gate_bias_outranks_chrono_on_its_gate_only():
    cell = cells.get("lstm")(hidden=5)
    init = Init(forget_bias=Chrono(30))
    before = made(cell, init)
    after = made(cell, replace(init, bias={"f": 1.5}))
    assert set(gate(cell, after, "b", "f").ravel()) == {1.5}
    np.testing.assert_array_equal(gate(cell, after, "b", "i"), gate(cell, before, "b", "i"))


def test_chrono_needs_two_steps():
    with pytest.raises(ValueError, match="at least 2, not 1"):
        Chrono(1)


def test_a_gate_is_taken_for_what_it_does_not_for_its_letter():
    cell = Keeping(hidden=40)
    numbers = made(cell, Init(forget_bias=3.0))
    assert set(gate(cell, numbers, "b", "z").ravel()) == {3.0}
    span = gate(cell, made(cell, Init(forget_bias=Chrono(30))), "b", "z")
    assert span.min() >= 0
    gru = cells.get("gru")(hidden=40)
    leak = gate(gru, made(gru, Init(forget_bias=Chrono(30))), "b", "z")
    np.testing.assert_array_equal(span, -leak)
    assert not gate(gru, made(gru, Init(forget_bias=3.0)), "b", "z").any()
