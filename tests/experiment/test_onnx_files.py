"""ONNX models, against ONNX Runtime (`make test-extras`)."""

from __future__ import annotations

import numpy as np
import pytest

import gradflow
from gradflow.errors import UserError
from gradflow.experiment.models.opening import open_checkpoint
from gradflow.experiment.models.weights import read_near, read_weights
from tests.experiment.frames import agrees, given

pytestmark = pytest.mark.extras
onnx = pytest.importorskip("onnx")
helper = onnx.helper

H, F = 4, 3
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def node(op, *, directions=1, P=False, B=True, constant=False, **attributes):
    """A node that reads X, with its weights as initialisers or constants."""
    rng = np.random.default_rng(len(attributes) + directions)
    rows = GATES[op] * H
    shapes = {"W": (directions, rows, F), "R": (directions, rows, H)}
    shapes |= {"B": (directions, 2 * rows)} if B else {}
    shapes |= {"P": (directions, 3 * H)} if P else {}
    arrays = {k: (rng.standard_normal(s) / 2).astype("f4") for k, s in shapes.items()}
    inputs = ["X", "W", "R", "B" if B else "", "", "", "", "P"][: 8 if P else 4]
    made = helper.make_node(op, inputs, ["Y"], name=f"/net/{op}", hidden_size=H, **attributes)
    tensors = [onnx.numpy_helper.from_array(a, name) for name, a in arrays.items()]
    if not constant:
        return [made], tensors
    whole = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors]
    return [*whole, made], []


def save(path, nodes, tensors, outputs=("Y",)):
    shape = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("X", shape, [7, 2, F])],
        [helper.make_tensor_value_info(name, shape, None) for name in outputs], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


BOTH = {"direction": "bidirectional", "directions": 2}
CASES = {
    "lstm": ("LSTM", {}),
    "lstm constants": ("LSTM", {"constant": True}),
    "lstm without bias": ("LSTM", {"B": False}),
    "lstm both": ("LSTM", BOTH),
    "lstm reverse": ("LSTM", {"direction": "reverse"}),
    "lstm peepholes": ("LSTM", {"P": True}),
    "lstm peepholes both": ("LSTM", {"P": True, **BOTH}),
    "lstm coupled": ("LSTM", {"input_forget": 1}),
    "lstm hard": ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}),
    "lstm relu": ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "gru before": ("GRU", {}),
    "gru without bias": ("GRU", {"B": False, "linear_before_reset": 1}),
    "gru both": ("GRU", {"linear_before_reset": 1, **BOTH}),
    "gru hard": ("GRU", {"activations": ["HardSigmoid", "Tanh"]}),
    "rnn": ("RNN", {}),
    "rnn relu": ("RNN", {"activations": ["Relu"]}),
    "rnn linear": (
        "RNN", {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]},
    ),
    "rnn both": ("RNN", BOTH),
}  # fmt: skip


def run(path, x):
    """Outputs (batch, steps, features) of ONNX Runtime."""
    runtime = pytest.importorskip("onnxruntime")
    (Y, *_) = runtime.InferenceSession(path).run(None, {"X": x.transpose(1, 0, 2)})
    return Y.transpose(2, 0, 1, 3).reshape(2, 7, -1)


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_runtime(tmp_path, name):
    op, attributes = CASES[name]
    path = save(tmp_path / "m.onnx", *node(op, **attributes))
    x = np.random.default_rng(5).standard_normal((2, 7, F)).astype("f4")
    wanted = run(path, x)
    if name == "lstm reverse":
        with open_checkpoint(path) as contents:
            assert "reads the input from its end" in contents.nets[0].notes[0]
        x, wanted = x[:, ::-1], wanted[:, ::-1]
    agrees(path, x, wanted)


@pytest.mark.parametrize(("op", "directions"), [("LSTM", 2), ("GRU", 1)])
def test_initial_states_that_the_model_holds(tmp_path, op, directions):
    rng = np.random.default_rng(3)
    parts = ("initial_h", "initial_c")[: 2 if op == "LSTM" else 1]
    way = {"direction": "bidirectional"} if directions == 2 else {}
    (made,), tensors = node(op, directions=directions, **way)
    made.input.extend(["", *parts])
    start = {name: rng.standard_normal((directions, 2, H)).astype("f4") for name in parts}
    tensors += [onnx.numpy_helper.from_array(a, name) for name, a in start.items()]
    path = save(tmp_path / "m.onnx", [made], tensors)
    x = rng.standard_normal((2, 7, F)).astype("f4")
    agrees(path, x, run(path, x))
    section = {"kind": "noise", "features": F, "sequences": 2}
    asked = {"model": {"weights": str(path)}, "loss": {"at": "ends"}, "length": 4}
    flow = gradflow.run(gradflow.configure(**asked, inputs=section))
    assert np.isfinite(flow.get("s").values).all()
    three = {**section, "sequences": 3}
    with pytest.raises(UserError, match="initial states of 2 sequences, the inputs have 3"):
        gradflow.configure(**asked, inputs=three)


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_head_that_the_model_has(tmp_path, op):
    nodes, tensors = node("RNN")
    V = np.arange(2.0 * H, dtype="f4").reshape(2, H)
    b = np.array([5, 6], "f4")
    tensors += [
        onnx.numpy_helper.from_array(V if op == "Gemm" else V.T.copy(), "fc.weight"),
        onnx.numpy_helper.from_array(b, "fc.bias"),
    ]
    if op == "Gemm":
        more = [helper.make_node("Gemm", ["Y", "fc.weight", "fc.bias"], ["o"], transB=1)]
    else:
        more = [
            helper.make_node("MatMul", ["Y", "fc.weight"], ["p"]),
            helper.make_node("Add", ["p", "fc.bias"], ["o"]),
        ]
    path = save(tmp_path / "m.onnx", [*nodes, *more], tensors)
    for found, wanted in zip(read_near(path, "fc", "a head"), (V, b), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_layers_that_read_one_another_are_one_stack(tmp_path):
    first, tensors = node("LSTM", directions=2, direction="bidirectional")
    turned = helper.make_node("Transpose", ["Y"], ["T"], perm=[0, 2, 1, 3])
    shape = onnx.numpy_helper.from_array(np.array([0, 0, -1]), "shape")
    flat = helper.make_node("Reshape", ["T", "shape"], ["X2"])
    second = helper.make_node("GRU", ["X2", "W2", "R2"], ["Y2"], hidden_size=H)
    rng = np.random.default_rng(1)
    more = {"W2": (1, 3 * H, 2 * H), "R2": (1, 3 * H, H)}
    arrays = {name: (rng.standard_normal(s) / 2).astype("f4") for name, s in more.items()}
    tensors += [shape, *(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())]
    path = save(tmp_path / "m.onnx", [*first, turned, flat, second], tensors, ("Y2",))
    x = np.random.default_rng(5).standard_normal((2, 7, F)).astype("f4")
    imported = read_weights(path)
    assert [layer.cell.kind for layer in imported.stack] == ["lstm", "gru"]
    np.testing.assert_allclose(given(imported, x), run(path, x), rtol=0, atol=1e-6)
    assert read_weights(f"{path}#gru_1").kind == "gru"


def test_initialisers_in_pytorchs_names_where_no_node_is_recurrent(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"m.rnn.weight_ih": (16, 3), "m.rnn.weight_hh": (16, 4)}
    tensors = [
        onnx.numpy_helper.from_array(rng.standard_normal(shape).astype("f4"), name)
        for name, shape in shapes.items()
    ]
    path = save(tmp_path / "m.onnx", [helper.make_node("Identity", ["X"], ["Y"])], tensors)
    assert read_weights(path).kind == "lstm"


def hostile(kind):
    """Nodes and tensors that lie, or lead outside."""
    nodes, tensors = node("LSTM")
    first = tensors[0]
    if kind == "external":
        first.data_location = onnx.TensorProto.EXTERNAL
        first.external_data.add(key="location", value="/etc/passwd")
    elif kind == "external without a flag":
        first.external_data.add(key="location", value="../../secret")
    elif kind == "few bytes":
        first.raw_data = first.raw_data[:8]
    elif kind == "huge dims":
        first.dims[:] = [1, 1 << 40, 1 << 40]
    elif kind == "negative dims":
        first.dims[:] = [1, -16, 3]
    elif kind == "unknown type":
        first.data_type = 99
    elif kind == "texts":
        first.CopyFrom(helper.make_tensor("W", onnx.TensorProto.STRING, [1], [b"x"]))
    elif kind == "missing":
        del tensors[0]
    elif kind == "cycle":
        del tensors[0]
        nodes.insert(0, helper.make_node("Identity", ["W"], ["W"]))
    elif kind == "worked out":
        nodes.insert(0, helper.make_node("Add", ["X", "X"], ["W"]))
        del tensors[0]
    elif kind == "unknown activation":
        nodes[0].attribute.append(
            helper.make_attribute("activations", ["Softsign", "Tanh", "Tanh"])
        )
    elif kind == "clip":
        nodes[0].attribute.append(helper.make_attribute("clip", 3.0))
    elif kind == "directions that differ":
        nodes, tensors = node("RNN", activations=["Tanh", "Relu"], **BOTH)
    elif kind == "no inputs":
        del nodes[0].input[:]
    elif kind == "not finite":
        first.raw_data = np.full(first.dims, np.nan, "f4").tobytes()
    return nodes, tensors


HARM = (
    "external", "external without a flag", "few bytes", "huge dims", "negative dims",
    "unknown type", "texts", "missing", "cycle", "worked out", "unknown activation", "clip",
    "directions that differ", "no inputs", "not finite",
)  # fmt: skip


@pytest.mark.parametrize("kind", HARM)
def test_what_cannot_be_read_is_said(tmp_path, kind):
    path = save(tmp_path / "m.onnx", *hostile(kind))
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x3a\x02\x0a"])
def test_files_that_are_no_models(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UserError, match="not a sound ONNX model"):
        read_weights(tmp_path / "m.onnx")
