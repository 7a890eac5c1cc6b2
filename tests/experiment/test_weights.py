"""Imported weights against PyTorch's equations, written here from its documentation."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest

from gradflow.core import cells
from gradflow.errors import UserError
from gradflow.experiment.models import weights
from gradflow.experiment.models.found import FoundLayer, FoundNet
from gradflow.experiment.models.opening import Contents, open_checkpoint
from gradflow.experiment.models.weights import read_weights

STEPS, COLUMNS = 7, 3


# --- PyTorch's side ----------------------------------------------------------------------------


def logistic(a):
    return 1 / (1 + np.exp(-a))


def torch_step(kind, w_ih, w_hh, b_ih, b_hh, x, h, c):
    """One step of torch.nn.RNN, LSTM or GRU on (batch, features), as their documentation has it."""
    gi, gh = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if kind == "lstm":
        i, f, g, o = np.split(gi + gh, 4, axis=1)
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        return logistic(o) * np.tanh(c), c
    if kind == "gru":
        (ir, iz, i_n), (hr, hz, hn) = np.split(gi, 3, axis=1), np.split(gh, 3, axis=1)
        r, z = logistic(ir + hr), logistic(iz + hz)
        n = np.tanh(i_n + r * hn)
        return (1 - z) * n + z * h, c
    return {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}[kind](gi + gh), c


def torch_forward(kind, state, x, layers, ends):
    """Outputs of all steps; the layers above read both directions side by side."""
    for layer in range(layers):
        outputs = []
        for end in ends:
            w_ih, w_hh, b_ih, b_hh = (
                state.get(f"{what}_l{layer}{end}", 0.0)
                for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = np.zeros((x.shape[1], w_hh.shape[1]))
            series = []
            for x_t in x[::-1] if end else x:
                h, c = torch_step(kind, w_ih, w_hh, b_ih, b_hh, x_t, h, c)
                series.append(h)
            outputs.append(np.array(series[::-1] if end else series))
        x = np.concatenate(outputs, axis=2)
    return x


def state_dict(gates, hidden=5, inputs=4, layers=1, ends=("",), bias=True, seed=0, prefix=""):
    rng = np.random.default_rng(seed)
    state = {}
    for layer in range(layers):
        features = hidden * len(ends) if layer else inputs
        for end in ends:
            sizes = {"weight_ih": (gates * hidden, features), "weight_hh": (gates * hidden, hidden)}
            if bias:
                sizes |= {"bias_ih": (gates * hidden,), "bias_hh": (gates * hidden,)}
            for what, shape in sizes.items():
                state[f"{prefix}{what}_l{layer}{end}"] = rng.standard_normal(shape) / 2
    return state


# --- gradflow's side ---------------------------------------------------------------------------


def forward(imported, x):
    """Outputs of all steps for x (steps, batch, features), through the cells' drive and step."""
    x = x.transpose(0, 2, 1)[:, None]
    cell = imported.cell
    for layer in imported.weights:
        outputs = []
        for direction, p in enumerate(layer):
            state = tuple(np.zeros((1, cell.hidden, x.shape[-1])) for _ in cell.parts)
            series = []
            for u in cell.drive(p, x[::-1] if direction else x):
                state, _ = cell.step(p, state, u)
                series.append(state[0])
            outputs.append(np.array(series[::-1] if direction else series))
        x = np.concatenate(outputs, axis=2)
    return x[:, 0].transpose(0, 2, 1)


GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((STEPS, COLUMNS, 4))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("ends", [("",), ("", "_reverse")])
@pytest.mark.parametrize("layers", [1, 3])
def test_outputs_are_pytorchs(tmp_path, x, kind, bias, ends, layers):
    state = state_dict(GATES[kind], layers=layers, ends=ends, bias=bias)
    path = tmp_path / "model.npz"
    np.savez(path, **state)
    options = {} if kind in cells.names() else {"activation": kind}
    imported = read_weights(path, kind=kind if kind in cells.names() else "rnn", options=options)
    assert (imported.hidden, imported.inputs) == (5, 4)
    assert (imported.layers, imported.bidirectional) == (layers, len(ends) == 2)
    reference = torch_forward(kind, state, x, layers, ends)
    error = np.linalg.norm(forward(imported, x) - reference)
    assert error <= 1e-12 * np.linalg.norm(reference)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bias", [True, False])
def test_shapes_are_the_cells_and_the_kind_follows_from_them(tmp_path, kind, bias):
    path = tmp_path / "model.npz"
    np.savez(path, **state_dict({"lstm": 4, "gru": 3, "rnn": 1}[kind], bias=bias, layers=2))
    imported = read_weights(path)
    assert imported.kind == kind
    for layer, features in zip(imported.weights, (4, 5), strict=True):
        expected = imported.cell.parameters(features)
        assert {n: a.shape for n, a in layer[0].items()} == {
            n: (1, *p.shape) for n, p in expected.items()
        }
    if kind == "gru":
        assert imported.options == {"reset": "after", "bias": bias}


def test_half_a_bias_is_not_enough(tmp_path):
    state = state_dict(4)
    del state["bias_hh_l0"]
    assert "bias_hh_l0 is missing" in message(tmp_path, state)


@pytest.mark.parametrize("prefix", ["rnn.", "module.encoder.rnn."])
def test_a_prefix_and_other_tensors_do_not_matter(tmp_path, x, prefix):
    state = state_dict(4)
    path = tmp_path / "model.npz"
    named = {prefix + name: tensor for name, tensor in state.items()}
    np.savez(path, **named, **{"fc.weight": np.full((2, 2), np.nan), "steps": np.array(3)})
    np.testing.assert_array_equal(
        forward(read_weights(path), x), forward(read_weights(save(tmp_path, state)), x)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_all_arrays_are_float64(tmp_path, dtype):
    state = {name: tensor.astype(dtype) for name, tensor in state_dict(3).items()}
    imported = read_weights(save(tmp_path, state))
    assert {a.dtype for a in imported.weights[0][0].values()} == {np.dtype(np.float64)}
    z = imported.weights[0][0]["W"][0, list(imported.cell.gates).index("z") * 5]
    np.testing.assert_array_equal(z, -state["weight_hh_l0"][5].astype(np.float64))


# --- mistakes ----------------------------------------------------------------------------------


def save(tmp_path, state):
    path = tmp_path / "plain.npz"
    np.savez(path, **state)
    return path


def message(tmp_path, state, **options):
    path = save(tmp_path, state)
    with pytest.raises(UserError) as caught:
        read_weights(path, **options)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("ends", [("",), ("", "_reverse")])
def test_every_missing_tensor_is_named(tmp_path, layers, ends):
    state = state_dict(4, layers=layers, ends=ends)
    last = [name for name in state if name.endswith(f"l{layers - 1}{ends[-1]}")]
    for name in last:
        rest = {other: tensor for other, tensor in state.items() if other != name}
        assert message(tmp_path, rest).startswith(f"{name} is missing")


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("weight_hh_l0", (20, 5, 1), "(any, any)"),
        ("weight_hh_l0", (0, 0), "(any, any)"),
        ("weight_ih_l0", (19, 4), "(20, any)"),
        ("weight_ih_l0", (20, 0), "(20, any)"),
        ("weight_ih_l1", (20, 4), "(20, 5)"),
        ("weight_hh_l1", (20, 4), "(20, 5)"),
        ("bias_ih_l0", (20, 1), "(20)"),
        ("bias_hh_l1", (15,), "(20)"),
    ],
)
def test_every_misfit_is_named(tmp_path, name, shape, expected):
    text = message(tmp_path, state_dict(4, layers=2) | {name: np.zeros(shape)})
    assert text == f"{name} is shaped {shape}\n  expected: {expected}"


def test_shapes_of_no_cell(tmp_path):
    text = message(tmp_path, state_dict(2))
    assert text.startswith("weight_hh_l0 is shaped (10, 5)")
    assert "1, 3 or 4 times as many rows" in text


@pytest.mark.parametrize("kind", ["rnn", "gru", "cec"])
def test_another_cell_than_asked_for(tmp_path, kind):
    text = message(tmp_path, state_dict(4), kind=kind)
    assert text.startswith(f"holds the weights of a cell of kind lstm, not {kind}")
    assert "fix: set `model.cell` to lstm" in text


@pytest.mark.parametrize(
    ("gates", "options", "have"),
    [
        (4, {"peephole": "diagonal"}, "peephole: diagonal, but the weights have no such thing"),
        (4, {"coupled": True}, "coupled: True, but the weights have no such thing"),
        (3, {"reset": "before"}, "reset: before, but the weights have reset: after"),
        (1, {"bias": False}, "bias: False, but the weights have bias: True"),
    ],
)
def test_options_that_the_weights_do_not_have(tmp_path, gates, options, have):
    text = message(tmp_path, state_dict(gates), options=options)
    assert text.startswith(f"`model.cell` asks for {have}")


def test_options_that_the_weights_do_have(tmp_path):
    path = save(tmp_path, state_dict(4))
    assert (
        read_weights(path, options={"peephole": "none", "forget_gate": True}).cell.label == "lstm"
    )
    path = save(tmp_path, state_dict(3))
    assert read_weights(path, options={"reset": "after"}).cell.label == "gru(reset=after)"


def test_numbers_that_are_not_finite_are_placed(tmp_path):
    state = state_dict(4, prefix="rnn.")
    state["rnn.weight_hh_l0"][3, 2] = np.nan
    assert message(tmp_path, state).startswith("rnn.weight_hh_l0 is nan at index (3, 2)")


def test_projections_are_found(tmp_path):
    sizes = {"weight_ih_l0": (20, 4), "weight_hh_l0": (20, 3), "weight_hr_l0": (3, 5)}
    path = save(tmp_path, {name: np.ones(shape) for name, shape in sizes.items()})
    with open_checkpoint(path) as contents:
        (layer,) = contents.nets[0].layers
    assert (layer.hidden, layer.outputs, layer.options["projection"]) == (5, 3, 3)


def test_options_that_no_cell_has_are_named(tmp_path, monkeypatch):
    found = FoundLayer("rnn", 2, 3, 1, {"echo": 5}, (), lambda cell: ())
    contents = Contents((FoundNet("", (found,)),), (FoundNet("", (found,)),), (), {}, "")
    monkeypatch.setattr(weights, "open_checkpoint", lambda *_: nullcontext(contents))
    with pytest.raises(UserError, match="cannot be measured: gradflow's rnn has no echo: 5"):
        read_weights(tmp_path / "any.pt")


def test_several_networks(tmp_path):
    state = state_dict(4, prefix="encoder.") | state_dict(4, prefix="decoder.")
    text = message(tmp_path, state)
    assert text.startswith("holds 2 recurrent networks: decoder, encoder")


def test_no_network(tmp_path):
    assert message(tmp_path, {"fc.weight": np.zeros(2)}).startswith(
        "holds no recurrent network, but fc.weight"
    )
    assert "but nothing" in message(tmp_path, {})


def test_unknown_suffix(tmp_path):
    with pytest.raises(UserError, match=r"cannot read weights from the suffix '\.zip'"):
        read_weights(tmp_path / "model.zip")


# --- safetensors -------------------------------------------------------------------------------


def pack(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.extras
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_files_of_the_safetensors_package(tmp_path, dtype):
    package = pytest.importorskip("safetensors.numpy")
    state = {name: t.astype(dtype) for name, t in state_dict(4, prefix="rnn.", layers=2).items()}
    path = tmp_path / "model.safetensors"
    others = {"fc.weight": np.zeros((3, 2), np.int64), "fc.bias": np.zeros(0, np.float32)}
    package.save_file(state | others, path, metadata={"format": "pt"})
    one, other = read_weights(path), read_weights(save(tmp_path, state))
    for layer, expected in zip(one.weights, other.weights, strict=True):
        for name, array in expected[0].items():
            np.testing.assert_array_equal(layer[0][name], array)


def test_bfloat16(tmp_path):
    numbers = {"weight_hh_l0": [[1.5, -2.0], [0.15625, 3.0]], "weight_ih_l0": [[1.0], [-0.5]]}
    header, data = {}, b""
    for name, values in numbers.items():
        halves = (np.array(values, "<f4").view("<u4") >> 16).astype("<u2")
        header[name] = entry("BF16", halves.shape, len(data), len(data) + halves.nbytes)
        data += halves.tobytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(pack(header, data))
    imported = read_weights(path)
    np.testing.assert_array_equal(imported.weights[0][0]["W"][0], numbers["weight_hh_l0"])
    np.testing.assert_array_equal(imported.weights[0][0]["U"][0], numbers["weight_ih_l0"])


NAME = "weight_hh_l0"
OTHER = "weight_ih_l0"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x01\x02", "a header of 513 bytes in a file of 2"),
        (pack({NAME: entry()}, bytes(8))[:40], "a header of"),
        ((2**63).to_bytes(8, "little") + b"{}", "a header of 9,223,372,036,854,775,808 bytes"),
        (pack(b"{nonsense"), "the header is not JSON"),
        (pack(b"\xff\xfe"), "the header is not JSON"),
        (pack(b"[" * 100_000), "the header is not JSON"),
        (pack(b'{"a": 1, "a": 2}'), "the header is not JSON (a name stands twice)"),
        (pack([1, 2]), "the header is not a mapping"),
        (pack({NAME: 3}), f"{NAME} lacks a dtype, a shape or data_offsets"),
        (pack({NAME: {"dtype": "F32"}}), f"{NAME} lacks a dtype, a shape or data_offsets"),
        (pack({NAME: entry(shape=(2.0,))}, bytes(8)), f"{NAME} has a dtype, shape or"),
        (pack({NAME: entry(begin=-8, end=0)}, bytes(8)), f"{NAME} has a dtype, shape or data"),
        (pack({NAME: entry(dtype=[1])}, bytes(8)), f"{NAME} has a dtype, shape or data_offsets"),
        (pack({NAME: entry(shape=(3,))}, bytes(8)), f"{NAME} is F32 shaped [3], but has 8 bytes"),
        (pack({NAME: entry()}, bytes(7)), "7 bytes of data where the header says 8"),
        (pack({NAME: entry()}, bytes(9)), "9 bytes of data where the header says 8"),
        (
            pack({NAME: entry(), OTHER: entry(begin=4, end=12)}, bytes(12)),
            f"{OTHER} lies at 4..12, not from 8",
        ),
        (
            pack({NAME: entry(), OTHER: entry(begin=12, end=20)}, bytes(20)),
            f"{OTHER} lies at 12..20, not from 8",
        ),
        (
            pack({NAME: entry("I8", (4,), 0, 4), OTHER: entry("I8", (0,), 4, 2)}, bytes(4)),
            f"{OTHER} lies at 4..2",
        ),
    ],
)
def test_malformed_safetensors(tmp_path, content, problem):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: not a sound .safetensors file: {problem}")
    assert "fix: write the file again" in str(caught.value)


ROWS = {NAME: entry(shape=(1, 1), end=4), OTHER: entry(shape=(1, 1), begin=4, end=8)}


@pytest.mark.parametrize("dtype", ["I64", "F8_E4M3", "Q4"])
def test_unknown_types_are_refused_where_they_are_needed(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pack(ROWS | {NAME: ROWS[NAME] | {"dtype": dtype}}, bytes(8)))
    with pytest.raises(UserError, match=f"{NAME} is of type {dtype}\n  expected: F64, F32"):
        read_weights(path)


def test_not_finite_in_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pack(ROWS, np.array([1, np.inf], "<f4").tobytes()))
    with pytest.raises(UserError, match=rf"{OTHER} is inf at index \(0, 0\)"):
        read_weights(path)


def test_too_many_bytes(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pack(ROWS, bytes(8)))
    monkeypatch.setattr("gradflow.experiment.models.tensors.MAX_BYTES", 15)
    with pytest.raises(UserError, match="16 bytes are too many"):
        read_weights(path)
