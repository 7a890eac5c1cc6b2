"""What Keras saves, against what the same model gives (`make test-extras`)."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.experiment.models.weights import read_near, read_weights
from tests.experiment.frames import agrees, given

pytestmark = pytest.mark.extras
h5py = pytest.importorskip("h5py")


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def models(L):
    """Each layer with each of its options, and stacks."""
    return {
        "lstm": [L.LSTM(4, return_sequences=True)],
        "lstm without bias": [L.LSTM(4, return_sequences=True, use_bias=False)],
        "lstm relu": [L.LSTM(4, return_sequences=True, activation="relu")],
        "lstm hard": [L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")],
        "gru": [L.GRU(4, return_sequences=True)],
        "gru before": [L.GRU(4, return_sequences=True, reset_after=False)],
        "gru without bias": [L.GRU(4, return_sequences=True, use_bias=False)],
        "gru hard": [L.GRU(4, return_sequences=True, recurrent_activation="hard_sigmoid")],
        "rnn": [L.SimpleRNN(4, return_sequences=True)],
        "rnn relu": [L.SimpleRNN(4, return_sequences=True, activation="relu", use_bias=False)],
        "rnn linear": [L.SimpleRNN(4, return_sequences=True, activation="linear")],
        "both": [L.Bidirectional(L.LSTM(4, return_sequences=True))],
        "both gru": [L.Bidirectional(L.GRU(4, return_sequences=True))],
        "stack": [
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.Dropout(0.5),
            L.LSTM(3, return_sequences=True),
        ],
        "mixed": [L.GRU(4, return_sequences=True), L.SimpleRNN(3, return_sequences=True)],
        "two implementations": [
            L.LSTM(4, return_sequences=True), L.GRU(4, return_sequences=True, unroll=True),
        ],
    }  # fmt: skip


NAMES = (
    "lstm", "lstm without bias", "lstm relu", "lstm hard", "gru", "gru before", "gru without bias",
    "gru hard", "rnn", "rnn relu", "rnn linear", "both", "both gru", "stack", "mixed",
    "two implementations",
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_outputs_are_those_of_the_model(tmp_path, keras, name, suffix):
    keras.utils.set_random_seed(3)
    recurrent = models(keras.layers)[name]
    model = keras.Sequential([keras.Input((7, 5)), *recurrent, keras.layers.Dense(2)])
    for weight in model.weights:
        weight.assign(np.random.default_rng(1).standard_normal(weight.shape) / 2)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    upto = keras.Model(model.inputs, recurrent[-1].output)
    x = np.random.default_rng(2).standard_normal((3, 7, 5)).astype("f4")
    wanted = np.asarray(upto.predict(x, verbose=0))
    agrees(path, x, wanted)
    head = model.layers[-1]
    called = "dense" if suffix == ".keras" else head.name  # it counts its layers by class
    V, b = read_near(path, called, "a head")
    np.testing.assert_array_equal(V, np.asarray(head.kernel.value.detach().cpu()).T)
    np.testing.assert_array_equal(b, np.asarray(head.bias.value.detach().cpu()))


# --- files of other versions, written here as they wrote them -------------------------------------


def logistic(a):
    return 1 / (1 + np.exp(-a))


def lstm(x, U, W, b, gate=logistic):
    """Keras's equations with the gates i, f, c, o, on (batch, steps, features)."""
    h = c = np.zeros((len(x), len(W)))
    series = []
    for x_t in x.transpose(1, 0, 2):
        i, f, g, o = np.split(x_t @ U + h @ W + b, 4, axis=1)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
        series.append(h)
    return np.stack(series, axis=1)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape) / 2


def save(path, arrays, **attrs):
    with h5py.File(path, "w") as file:
        for key, value in attrs.items():
            file.attrs[key] = value
        for name, array in arrays.items():
            file[name] = array
    return path


def cudnn(matrix, n, *, own):
    """As CuDNN keeps a kernel: each gate's matrix transposed in memory."""
    blocks = np.split(matrix, n, axis=1)
    return np.hstack([k.T if own else k.T.reshape(k.shape) for k in blocks])


def test_cudnn_lstm(tmp_path):
    U, W, b = drawn(3, 16), drawn(4, 16, seed=1), drawn(32, seed=2)
    arrays = {
        "rnn_1/rnn_1/kernel:0": cudnn(U, 4, own=False),
        "rnn_1/rnn_1/recurrent_kernel:0": cudnn(W, 4, own=True),
        "rnn_1/rnn_1/bias:0": b,
    }
    imported = read_weights(save(tmp_path / "w.hdf5", arrays, keras_version="2.1.5"))
    x = np.random.default_rng(3).standard_normal((2, 6, 3))
    wanted = lstm(x, U, W, b[:16] + b[16:])
    np.testing.assert_allclose(given(imported, x), wanted, rtol=1e-12, atol=1e-13)


def test_keras_1_has_a_matrix_for_each_gate(tmp_path):
    arrays, kernels = {}, {"W": [], "U": [], "b": []}
    for k, gate in enumerate("ifco"):
        for role, shape in {"W": (3, 4), "U": (4, 4), "b": (4,)}.items():
            kernels[role].append(drawn(*shape, seed=k))
            arrays[f"lstm_1/lstm_1_{role}_{gate}"] = kernels[role][-1]
    config = {"class_name": "LSTM", "config": {
        "name": "lstm_1", "activation": "tanh", "inner_activation": "sigmoid",
    }}  # fmt: skip
    text = json.dumps({"class_name": "Sequential", "config": [config]})
    imported = read_weights(
        save(tmp_path / "w.h5", arrays, model_config=text, keras_version="1.2.2")
    )
    x = np.random.default_rng(3).standard_normal((2, 6, 3))
    U, W, b = (np.concatenate(kernels[role], axis=-1) for role in "WUb")
    np.testing.assert_allclose(given(imported, x), lstm(x, U, W, b), rtol=1e-12, atol=1e-13)


def plain(path, **attrs):
    names = {"kernel": drawn(3, 16), "recurrent_kernel": drawn(4, 16), "bias": drawn(16)}
    return save(path, {f"lstm/lstm_cell/{name}:0": a for name, a in names.items()}, **attrs)


def test_weights_alone_may_be_asked_for_with_an_activation(tmp_path):
    imported = read_weights(plain(tmp_path / "w.h5", keras_version="2.4.0"))
    assert imported.cell.label == "lstm"


def test_names_are_not_for_layers(tmp_path):
    with pytest.raises(UserError, match="`names` are for tensors"):
        read_weights(plain(tmp_path / "w.h5"), names={"weight_ih_l0": "x"})


# --- hostile ----------------------------------------------------------------------------------


def outside(kind, path, secret):
    with h5py.File(path, "w") as file:
        group = file.create_group("lstm")
        group["kernel"], group["bias"] = drawn(3, 16), drawn(16)
        if kind == "external link":
            group["recurrent_kernel"] = h5py.ExternalLink(str(secret), "/x")
        elif kind == "soft link":
            group["recurrent_kernel"] = h5py.SoftLink("/lstm/recurrent_kernel")
        elif kind == "external bytes":
            group.create_dataset(
                "recurrent_kernel", (4, 16), "f8", external=[(str(secret), 0, 512)]
            )
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 16), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "x", (4, 16))
            group.create_virtual_dataset("recurrent_kernel", layout)
        elif kind == "no bytes":
            group.create_dataset("recurrent_kernel", (4, 16), "f8")
        elif kind == "lying shape":
            group.create_dataset("recurrent_kernel", (1 << 30, 1 << 32), "f8", chunks=(64, 64))
        elif kind == "bomb":
            options = {"chunks": (1 << 10, 1 << 10), "compression": "gzip"}
            group.create_dataset("recurrent_kernel", (1 << 15, 1 << 17), "f8", **options)
        elif kind == "text":
            group["recurrent_kernel"] = np.full((4, 16), b"x")
        elif kind == "compound":
            group["recurrent_kernel"] = np.zeros((4, 16), [("a", "f8"), ("b", "f8")])
        elif kind == "cycle":
            group["recurrent_kernel"] = file
        elif kind == "not finite":
            group["recurrent_kernel"] = np.full((4, 16), np.nan)


OUTSIDE = (
    "external link", "soft link", "external bytes", "virtual", "no bytes", "lying shape", "bomb",
    "text", "compound", "cycle", "not finite",
)  # fmt: skip


@pytest.mark.parametrize("kind", OUTSIDE)
def test_nothing_outside_is_opened_and_nothing_much_allocated(tmp_path, kind):
    path, secret = tmp_path / "w.h5", tmp_path / "secret.h5"
    save(secret, {"x": drawn(4, 16)})
    outside(kind, path, secret)
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "content", [b"\x89HDF\r\n\x1a\n" + bytes(90), b"PK\x03\x04" + bytes(90), b"x"]
)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_files_that_are_not_whole(tmp_path, content, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(UserError, match="not a sound model of Keras"):
        read_weights(tmp_path / f"w{suffix}")


@pytest.mark.parametrize("config", [b"{", b"[" * 100_000, b'{"config": ' * 5000, b"\xff"])
def test_archives_with_a_wrong_configuration(tmp_path, config):
    plain(tmp_path / "w.h5")
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", b"{}")
        archive.write(tmp_path / "w.h5", "model.weights.h5")
    with pytest.raises(UserError, match="configuration is not JSON"):
        read_weights(tmp_path / "m.keras")
