"""Keras's conventions, from names, shapes and configurations alone: no h5py is needed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradflow.experiment.models import keras
from gradflow.experiment.models.hdf5 import Saved
from gradflow.experiment.models.tensors import Tensor

PATH = Path("model.h5")


def saved(arrays, config=None, version="2.4.0", names=None):
    tensors = {name: Tensor(a.shape, lambda a=a: a) for name, a in arrays.items()}
    return Saved(tensors, names or {}, config or {}, version)


def drawn(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def layer(name, kind="lstm", inputs=3, H=4, bias: Any = 1, cell="lstm_cell"):
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[kind] * H
    arrays = {"kernel": drawn(inputs, rows), "recurrent_kernel": drawn(H, rows)}
    if bias:
        arrays["bias"] = drawn(*((2, rows) if bias == 2 else (bias * rows if bias == 8 else rows,)))
    return {f"model_weights/{name}/{name}/{cell}/{k}:0": a for k, a in arrays.items()}


def told(name, kind="LSTM", sources=None, **options):
    config = {"name": name, "return_sequences": True, **options}
    node = {} if sources is None else {"inbound_nodes": [[[s, 0, 0, {}] for s in sources]]}
    return {"class_name": kind, "name": name, "config": config, **node}


def model(*layers, kind="Sequential"):
    return {"class_name": kind, "config": {"layers": list(layers)}}


def only(held):
    _, (net,) = keras.nets(held, PATH)
    assert not net.problem
    return net


def test_gates_are_put_in_our_order():
    arrays = layer("a")
    net = only(saved(arrays, model(told("a"))))
    (p,) = net.layers[0].read(net.layers[0].cell())
    i, f, g, o = np.split(arrays["model_weights/a/a/lstm_cell/kernel:0"].T, 4)
    np.testing.assert_array_equal(p["U"][0], np.concatenate([o, f, i, g]))


@pytest.mark.parametrize(("bias", "reset"), [(1, "before"), (2, "after")])
def test_the_biases_say_where_a_gru_resets(bias, reset):
    arrays = layer("g", "gru", bias=bias)
    net = only(saved(arrays, model(told("g", "GRU"))))
    assert net.layers[0].options["reset"] == reset
    (p,) = net.layers[0].read(net.layers[0].cell())
    z, r, g = np.split(arrays["model_weights/g/g/lstm_cell/recurrent_kernel:0"].T, 3)
    np.testing.assert_array_equal(p["W"][0], np.concatenate([-z, r, g]))
    both = arrays["model_weights/g/g/lstm_cell/bias:0"].reshape(bias, -1)
    np.testing.assert_array_equal(p["b"][0, 4:8, 0], both.sum(axis=0)[4:8])


@pytest.mark.parametrize(("said", "reset"), [(True, "after"), (False, "before")])
def test_without_biases_the_configuration_says_it(said, reset):
    config = model(told("g", "GRU", reset_after=said))
    net = only(saved(layer("g", "gru", bias=0), config))
    assert net.layers[0].options["reset"] == reset
    (p,) = net.layers[0].read(net.layers[0].cell())
    assert not any(p[name].any() for name in p if name.startswith("b"))


def test_a_sequential_model_is_a_stack_past_dropout():
    drop = {"class_name": "Dropout", "config": {"name": "drop"}}
    arrays = layer("a") | layer("b", "gru", inputs=4)
    net = only(saved(arrays, model(told("a"), drop, told("b", "GRU"))))
    assert [one.kind for one in net.layers] == ["lstm", "gru"]
    assert net.prefix == "a+b"
    assert net.notes == ()


def test_what_lies_between_or_gives_no_sequences_takes_a_stack_apart():
    dense = {"class_name": "Dense", "config": {"name": "d"}}
    arrays = layer("a") | layer("b", inputs=4)
    for config in (
        model(told("a"), dense, told("b")),
        model(told("a", return_sequences=False), told("b")),
    ):
        _, found = keras.nets(saved(arrays, config), PATH)
        assert [net.prefix for net in found] == ["a", "b"]


@pytest.mark.parametrize("form", ["list", "history"])
def test_a_functional_model_says_who_reads_whom(form):
    first, second = told("a", sources=["in"]), told("b", sources=["a"])
    if form == "history":
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": ["a", 0, 0]}}
        second["inbound_nodes"] = [{"args": [tensor], "kwargs": {}}]
    arrays = layer("b", inputs=4) | layer("a")
    assert only(saved(arrays, model(second, first, kind="Functional"))).prefix == "a+b"


def test_both_directions_and_how_they_are_merged():
    arrays = {}
    for way in ("forward", "backward"):
        parts = layer("x", cell=f"{way}_lstm/lstm_cell")
        arrays |= {name.replace("/x/x/", "/bi/bi/"): a for name, a in parts.items()}
    inner = {"class_name": "LSTM", "config": {"name": "lstm", "return_sequences": True}}
    for merge in ("concat", "sum"):
        config = {"name": "bi", "merge_mode": merge, "layer": inner}
        net = only(saved(arrays, model({"class_name": "Bidirectional", "config": config})))
        assert net.layers[0].directions == 2
        assert len(net.layers[0].read(net.layers[0].cell())) == 2
        assert bool(net.notes) == (merge == "sum")


def test_keras_3_calls_groups_by_the_layers_names():
    arrays = {f"layers/lstm/cell/vars/{k}": a for k, a in enumerate(layer("x").values())}
    names = {"layers/lstm/vars": "mine", "layers/lstm/cell/vars": "lstm_cell"}
    net = only(saved(arrays, model(told("mine")), "3.15.1", names))
    assert net.prefix == "mine"


def test_cudnn_keeps_matrices_transposed_and_two_biases():
    arrays = layer("a", bias=8, inputs=3, H=4)
    arrays = {n: np.concatenate([a, a])[:32] if "bias" in n else a for n, a in arrays.items()}
    net = only(saved(arrays))
    assert net.layers[0].options.get("gate_activation") is None
    (p,) = net.layers[0].read(net.layers[0].cell())
    W = arrays["model_weights/a/a/lstm_cell/recurrent_kernel:0"]
    np.testing.assert_array_equal(p["W"][0, :4], W[:, 12:])


def test_keras_1_has_a_matrix_for_each_gate():
    arrays = {}
    for gate in "zrh":
        arrays |= {
            f"gru_1/gru_1_W_{gate}": drawn(3, 4), f"gru_1/gru_1_U_{gate}": drawn(4, 4),
            f"gru_1/gru_1_b_{gate}": drawn(4),
        }  # fmt: skip
    net = only(saved(arrays, model(told("gru_1", "GRU", inner_activation="sigmoid")), "1.2.2"))
    assert (net.layers[0].kind, net.layers[0].inputs) == ("gru", 3)
    (p,) = net.layers[0].read(net.layers[0].cell())
    np.testing.assert_array_equal(p["U"][0, :4], -arrays["gru_1/gru_1_W_z"].T)


@pytest.mark.parametrize(("version", "hard"), [("2.1.5", "hard_sigmoid_keras2"), ("2.4.0", None)])
def test_weights_alone_are_taken_with_that_versions_activations(version, hard):
    net = only(saved(layer("a"), version=version))
    assert net.layers[0].options.get("gate_activation") == hard
    assert "activations are taken" in net.notes[0]
    assert "gate_activation" in net.layers[0].free


@pytest.mark.parametrize(
    ("version", "name", "ours"),
    [("3.1.0", "hard_sigmoid", "hard_sigmoid"), ("2.1.5", "hard_sigmoid", "hard_sigmoid_keras2")],
)
def test_the_hard_sigmoid_is_that_versions(version, name, ours):
    config = model(told("a", recurrent_activation=name, activation="relu"))
    options = only(saved(layer("a"), config, version)).layers[0].options
    assert options["gate_activation"] == ours
    assert options["activation"] == options["output_activation"] == "relu"


def test_what_is_unknown_or_of_another_shape_is_said():
    config = model(told("a", activation={"class_name": "snake"}))
    (net,), _ = keras.nets(saved(layer("a"), config), PATH)
    assert "activation is snake" in net.problem
    arrays = {n: a[:5] if "bias" in n else a for n, a in layer("a").items()}
    (net,), _ = keras.nets(saved(arrays), PATH)
    assert "a bias is shaped (5,)" in net.problem
    (net,), _ = keras.nets(saved(layer("a"), model(told("a", "GRU"))), PATH)
    assert "of other shapes" in net.problem


def test_reading_from_the_end_is_noted():
    net = only(saved(layer("a"), model(told("a", go_backwards=True))))
    assert "reads the input from its end" in net.notes[0]


def test_what_stands_near():
    arrays = layer("a") | {
        "model_weights/emb/emb/embeddings:0": drawn(9, 3),
        "model_weights/dense/dense/kernel:0": drawn(4, 2),
        "model_weights/dense/dense/bias:0": drawn(2),
    }
    near = keras.near(saved(arrays), PATH)
    found = [(one.kind, one.prefix, one.rows, one.cols) for one in near]
    assert found == [("embedding", "emb", 9, 3), ("head", "dense", 2, 4)]
