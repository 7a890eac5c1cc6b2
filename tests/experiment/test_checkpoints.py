"""Checkpoints of PyTorch, read without it: formats, what wraps a weight, which net is meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.experiment.models.weights import read_weights
from tests.experiment import pickled
from tests.experiment.test_weights import forward, state_dict, torch_forward

FILES = Path(__file__).parent / "files"
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".npz")


def same(one, other):
    for layer, expected in zip(one.weights, other.weights, strict=True):
        for p, wanted in zip(layer, expected, strict=True):
            assert p.keys() == wanted.keys()
            for name in wanted:
                np.testing.assert_array_equal(p[name], wanted[name])


def plain(tmp_path, state):
    np.savez(tmp_path / "plain.npz", **state)
    return read_weights(tmp_path / "plain.npz")


def expected(prefix):
    with np.load(FILES / "expected.npz") as arrays:
        return {
            name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)
        }


# --- files that torch.save wrote ------------------------------------------------------------------


@pytest.mark.parametrize("file", ["state_dict.pt", "older.pth"])
def test_state_dicts_of_both_formats(file, tmp_path):
    imported = read_weights(FILES / file)
    assert (imported.kind, imported.hidden, imported.inputs) == ("lstm", 3, 2)
    assert imported.bidirectional
    same(imported, plain(tmp_path, expected("rnn.")))


def test_a_pickled_module_says_its_nonlinearity_and_bfloat16_is_widened(tmp_path):
    imported = read_weights(FILES / "module.pt")
    assert imported.options == {"bias": True, "activation": "relu"}
    same(imported, plain(tmp_path, expected("module.")))
    with pytest.raises(UserError, match="asks for activation: tanh, but the weights have"):
        read_weights(FILES / "module.pt", options={"activation": "tanh"})


def test_nothing_imports_torch():
    code = (
        "import sys\nfrom gradflow.experiment.models.weights import read_weights\n"
        f"read_weights({str(FILES / 'module.pt')!r})\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- views, types, places -------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("suffix", SUFFIXES[:-1])
def test_every_suffix_format_and_type(tmp_path, old, dtype, suffix):
    state = {name: a.astype(dtype) for name, a in state_dict(4, layers=2).items()}
    path = pickled.checkpoint(tmp_path / f"net{suffix}", state, old=old)
    same(read_weights(path), plain(tmp_path, state))


def test_views_with_offset_and_strides(tmp_path):
    """Transposed matrices behind one another in one storage, as flattened weights lie."""
    state = {name: a.astype("f4") for name, a in state_dict(3).items()}
    stored = np.concatenate([a.T.ravel() for a in state.values()])
    views, at = {}, 0
    for name, a in state.items():
        strides = [1, len(a)][: a.ndim]
        source = pickled.storage("7", stored.size)
        views[name] = pickled.view(source, a.shape, strides, at)
        at += a.size
    path = pickled.zipped(tmp_path / "net.pt", pickled.mapping(views), {"7": stored.tobytes()})
    same(read_weights(path), plain(tmp_path, state))


def test_big_endian_archives(tmp_path):
    state = {name: a.astype("f4") for name, a in state_dict(1).items()}
    program = pickled.mapping({k: pickled.whole(k, a) for k, a in state.items()})
    data = {k: a.astype(">f4").tobytes() for k, a in state.items()}
    path = pickled.zipped(tmp_path / "net.pt", program, data)
    with pickled.zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/byteorder", "big")
    same(read_weights(path), plain(tmp_path, state))


def test_a_text_with_an_escape_that_python_has_not_is_read_without_a_warning(tmp_path):
    state = {name: a.astype("f4") for name, a in state_dict(4).items()}
    views = {k: pickled.whole(k, a) for k, a in state.items()}
    program = pickled.mapping({"note": b"S'\\w'\n", **views})
    path = pickled.zipped(tmp_path / "n.pt", program, {k: a.tobytes() for k, a in state.items()})
    same(read_weights(path), plain(tmp_path, state))


@pytest.mark.parametrize("around", ["state_dict", "model_state_dict", "model", "ema", "0"])
def test_state_dicts_inside_checkpoints(tmp_path, around):
    state = {name: a.astype("f4") for name, a in state_dict(4).items()}
    inner = {f"rnn.{k}": pickled.whole(k, a) for k, a in state.items()}
    others = {"epoch": pickled.number(3), "lr": pickled.text("x")}
    program = pickled.mapping(others | {around: pickled.mapping(inner)})
    path = pickled.zipped(tmp_path / "n.pt", program, {k: a.tobytes() for k, a in state.items()})
    same(read_weights(path), plain(tmp_path, state))


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.rnn.", "net.cells.0."])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_have_no_layer_in_their_names(tmp_path, prefix, bias):
    state = state_dict(4, bias=bias)
    named = {prefix + name.removesuffix("_l0"): a for name, a in state.items()}
    np.savez(tmp_path / "cell.npz", **named)
    same(read_weights(tmp_path / "cell.npz"), plain(tmp_path, state))


def wrapped(kind, v, rng):
    """A matrix under the names of a wrapper, with what it stands for."""
    g = rng.uniform(0.5, 2, (len(v), 1))
    left, right = rng.standard_normal(len(v)), rng.standard_normal(v.shape[1])
    normed = g * v / np.linalg.norm(v, axis=1, keepdims=True)
    spectral = v / (left @ v @ right)
    at = "parametrizations.weight_hh_l0."
    return {
        "old weight norm": ({"weight_hh_l0_g": g, "weight_hh_l0_v": v}, normed),
        "weight norm": ({at + "original0": g, at + "original1": v}, normed),
        "one norm": (
            {at + "original0": np.array(3.0), at + "original1": v}, 3 * v / np.linalg.norm(v),
        ),
        "old spectral norm": (
            {"weight_hh_l0_orig": v, "weight_hh_l0_u": left, "weight_hh_l0_v": right}, spectral,
        ),
        "spectral norm": (
            {at + "original": v, at + "0._u": left, at + "0._v": right}, spectral,
        ),
        "weight drop": ({"weight_hh_l0_raw": v}, v),
    }[kind]  # fmt: skip


KINDS = (
    "old weight norm", "weight norm", "one norm", "old spectral norm", "spectral norm",
    "weight drop",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_wrapped_weights_are_folded(tmp_path, kind):
    state = state_dict(4)
    names, whole = wrapped(kind, state["weight_hh_l0"], np.random.default_rng(2))
    rest = {name: a for name, a in state.items() if name != "weight_hh_l0"}
    np.savez(tmp_path / "w.npz", **{f"rnn.{name}": a for name, a in (rest | names).items()})
    got, wanted = read_weights(tmp_path / "w.npz"), plain(tmp_path, rest | {"weight_hh_l0": whole})
    np.testing.assert_allclose(got.weights[0][0]["W"], wanted.weights[0][0]["W"], rtol=1e-13)


def test_weight_drop_around_a_module(tmp_path):
    state = state_dict(4)
    named = {f"0.module.{name}": a for name, a in state.items() if name != "weight_hh_l0"}
    np.savez(tmp_path / "w.npz", **named, **{"0.weight_hh_l0_raw": state["weight_hh_l0"]})
    same(read_weights(tmp_path / "w.npz"), plain(tmp_path, state))


def test_other_parametrizations_are_refused_by_name(tmp_path):
    state = state_dict(4)
    v = state.pop("weight_hh_l0")
    np.savez(tmp_path / "w.npz", **state, **{"parametrizations.weight_hh_l0.original": v})
    with pytest.raises(UserError, match="made by a parametrization that is not known: param"):
        read_weights(tmp_path / "w.npz")


# --- which net ------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    encoder, decoder = (state_dict(3, inputs=n, seed=n) for n in (4, 5))
    named = {f"model.encoder.rnn.{k}": a for k, a in encoder.items()}
    np.savez(
        tmp_path / "pair.npz", **named, **{f"model.decoder.{k}": a for k, a in decoder.items()}
    )
    return f"{tmp_path / 'pair.npz'}", encoder, decoder


@pytest.mark.parametrize("name", ["encoder", "encoder.rnn", "model.encoder.rnn"])
def test_a_part_of_the_name_picks_one_of_several(pair, tmp_path, name):
    path, encoder, _ = pair
    same(read_weights(f"{path}#{name}"), plain(tmp_path, encoder))


def test_nets_are_put_on_one_another_when_asked(pair, tmp_path):
    path, encoder, decoder = pair
    both = encoder | {name.replace("l0", "l1"): a for name, a in decoder.items()}
    same(read_weights(f"{path}#encoder+decoder"), plain(tmp_path, both))
    with pytest.raises(UserError, match=r"encoder\.rnn reads 4 features, model\.decoder gives 5"):
        read_weights(f"{path}#decoder+encoder")


def test_which_nets_there_are_is_said(pair):
    path, *_ = pair
    with pytest.raises(UserError, match=r"holds 2 recurrent networks: model\.decoder, "):
        read_weights(path)
    with pytest.raises(UserError, match="holds 2 recurrent networks"):
        read_weights(f"{path}#model")
    with pytest.raises(UserError, match=r"no recurrent network called attention, but model\.dec"):
        read_weights(f"{path}#attention")


def test_a_file_may_have_a_number_sign_in_its_name(tmp_path):
    np.savez(tmp_path / "run#3.npz", **state_dict(4))
    assert read_weights(tmp_path / "run#3.npz").kind == "lstm"


def test_numbered_cells_that_fit_are_one_stack(tmp_path):
    state = state_dict(4, layers=2)
    named = {f"cells.{name[-1]}.{name[:-3]}": a for name, a in state.items()}
    np.savez(tmp_path / "cells.npz", **named)
    same(read_weights(tmp_path / "cells.npz"), plain(tmp_path, state))
    assert read_weights(f"{tmp_path / 'cells.npz'}#cells.1").inputs == 5
    odd = {name: a[:, :4] if name == "cells.1.weight_ih" else a for name, a in named.items()}
    np.savez(tmp_path / "odd.npz", **odd)
    with pytest.raises(UserError, match="holds 2 recurrent networks"):
        read_weights(tmp_path / "odd.npz")


def test_own_names_by_a_mapping(tmp_path):
    state = state_dict(3)
    named = {f"enc_w_{name.split('_')[1]}": a for name, a in state.items() if "weight" in name}
    named |= {f"enc_b_{name.split('_')[1]}": a for name, a in state.items() if "bias" in name}
    np.savez(tmp_path / "own.npz", enc_emb=np.zeros((9, 4)), **named)
    names = {
        "weight_ih_l0": "enc_w_ih", "weight_hh_l0": "enc_w_hh",
        "bias_ih_l0": "enc_b_ih", "bias_hh_l0": "enc_b_hh",
    }  # fmt: skip
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / "own.npz")
    line = "names: {" + ", ".join(f"{ours}: {theirs}" for ours, theirs in names.items()) + "}"
    assert line in str(caught.value)
    same(read_weights(tmp_path / "own.npz", names=names), plain(tmp_path, state))
    with pytest.raises(UserError, match="maps weight_ih_l0 to enc_w, and there is no enc_w"):
        read_weights(tmp_path / "own.npz", names={"weight_ih_l0": "enc_w"})
    with pytest.raises(UserError, match="there is no kernel\n  expected: PyTorch's names"):
        read_weights(tmp_path / "own.npz", names={"kernel": "enc_w_ih"})


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_outputs_are_those_of_the_module(tmp_path, kind):
    state = {k: a.astype("f4") for k, a in state_dict({"lstm": 4, "gru": 3}[kind]).items()}
    x = np.random.default_rng(1).standard_normal((7, 3, 4))
    got = forward(read_weights(pickled.checkpoint(tmp_path / "n.pt", state)), x)
    wanted = torch_forward(kind, {k: a.astype("f8") for k, a in state.items()}, x, 1, ("",))
    assert np.linalg.norm(got - wanted) <= 1e-12 * np.linalg.norm(wanted)


def test_a_comment_in_an_npz_hides_no_array(tmp_path: Path) -> None:
    """One bit of its length, and the arrays behind it are gone: a net would lose its biases."""
    file = tmp_path / "net.npz"
    biases = {f"bias_{one}_l0": np.ones(2) for one in ("ih", "hh")}
    np.savez(file, weight_ih_l0=np.eye(2), weight_hh_l0=np.eye(2), **biases)
    data = bytearray(file.read_bytes())
    assert "b" in read_weights(file).weights[0][0]
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 32] ^= 128
    file.write_bytes(data)
    with pytest.raises(UserError, match="comment"):
        read_weights(file)
