"""What stands beside a net in files: initial states, heads, targets, cotangents, embeddings."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import gradflow
from gradflow.core.engine.forward import forward
from gradflow.core.network.stack import Network
from gradflow.errors import ConfigError
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import bundle, plan
from gradflow.experiment.models.weights import read_weights

H, F, VOCABULARY, N, T = 4, 3, 7, 3, 6
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Any:
    """A checkpoint with an embedding and a head, and files that fit it."""
    folder = tmp_path_factory.mktemp("net")
    shapes = {
        "rnn.weight_ih_l0": (4 * H, F), "rnn.weight_hh_l0": (4 * H, H),
        "fc.weight": (VOCABULARY, H), "fc.bias": (VOCABULARY,), "emb.weight": (VOCABULARY, F),
    }  # fmt: skip
    weights = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
    tokens = RNG.integers(VOCABULARY, size=(N, T))
    np.savez(folder / "net.npz", **weights)
    np.save(folder / "x.npy", RNG.normal(size=(N, T, F)))
    np.savez(folder / "tokens.npz", x=tokens, lengths=[T, 3, 5])
    np.savez(folder / "rows.npz", x=weights["emb.weight"][tokens], lengths=[T, 3, 5])
    np.save(folder / "classes.npy", RNG.integers(VOCABULARY, size=(N, T)))
    np.save(folder / "class.npy", RNG.integers(VOCABULARY, size=N))
    np.save(folder / "beyond.npy", np.full(N, VOCABULARY))
    np.save(folder / "values.npy", RNG.normal(size=(N, T, VOCABULARY)))
    np.save(folder / "dy.npy", np.ones((N, T, H)))
    np.save(folder / "do.npy", np.ones((N, T, VOCABULARY)))
    np.save(folder / "short.npy", np.ones((N, T - 1, H)))
    np.savez(folder / "state.npz", h0=RNG.normal(size=(1, N, H)), c0=RNG.normal(size=(1, 1, H)))
    with np.load(folder / "state.npz") as state:
        np.savez(folder / "apart.npz", h0_l0=state["h0"][0], c0_l0=state["c0"][0])
    np.save(folder / "infinite.npy", np.full((N, VOCABULARY), np.inf))
    np.savez(folder / "two.npz", a=np.ones((N, T, H)), b=np.ones((N, T, H)))
    np.savez(folder / "one.npz", a=np.ones((N, T, H)))
    np.savez(folder / "half.npz", h0=RNG.normal(size=(1, N, H)))
    np.savez(folder / "deep.npz", h0=np.ones((2, N, H)), c0=np.ones((2, N, H)))
    np.savez(folder / "more.npz", h0=np.ones((1, N, H)), c0=np.ones((1, N, H)), s0=np.ones(2))
    np.savez(folder / "few.npz", h0=np.ones((1, 2, H)), c0=np.ones((1, 1, H)))
    return folder


@pytest.fixture(autouse=True)
def inside(here, monkeypatch):
    monkeypatch.chdir(here)


def experiment(inputs: Any = "x.npy", loss: Any = None, **model: Any) -> Any:
    given = inputs if isinstance(inputs, dict) else {"path": inputs}
    return gradflow.configure(
        model={"weights": "net.npz", **model} if "cell" not in model else model,
        inputs={"kind": "file", **given},
        loss=loss or {},
        record={"states": ["h", "c", "x"]},
    )


def norms(*args: Any, **model: Any) -> dict[str, Any]:
    flow = gradflow.run(experiment(*args, **model))
    return {name: flow.get(name).values for name in ("h", "c", "x")}


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


def test_a_net_goes_on_from_a_given_state():
    """What is measured from a state is what is measured after it of the whole sequence."""
    net, half = read_weights("net.npz"), 2
    network = Network(net.inputs, net.stack)
    x = np.load("x.npy").transpose(1, 2, 0)[:, None]
    start = network.initial(1, N, x.dtype)
    _, (((h, c),),) = forward(network, net.weights, x[:half], start, [(0, half)])
    np.savez("after.npz", h0=h.transpose(0, 2, 1), c0=c.transpose(0, 2, 1))
    np.save("rest.npy", np.load("x.npy")[:, half:])
    sum_all = {"kind": "sum", "at": "last"}
    whole, rest = norms(loss=sum_all), norms("rest.npy", sum_all, state="after.npz")
    for each, shift in ((whole, half + 1), (rest, 1)):  # c_0 has no h_0 that it would lead to
        each["c"] = each["c"][..., shift:]
        each["h"], each["x"] = (each[name][..., shift - 1 :] for name in ("h", "x"))
    same(whole, rest)


def test_given_cotangents_are_the_slope_of_a_sum():
    same(norms(loss={"kind": "given", "path": "dy.npy"}), norms(loss={"kind": "sum", "at": "all"}))
    headed = {"kind": "given", "path": "do.npy", "head": "fc", "at": [2, 5]}
    same(norms(loss=headed), norms(loss={"kind": "sum", "at": [2, 5], "head": "fc"}))


def test_tokens_are_rows_of_the_embedding():
    tokens = {"path": "tokens.npz", "embedding": "emb"}
    same(norms(tokens, {"kind": "sum"}), norms("rows.npz", {"kind": "sum"}))
    flow = gradflow.run(experiment(tokens, {"kind": "cross_entropy", "head": "fc", "at": "all"}))
    ends = [T - 2, 1, 3]  # no token follows the last
    last = flow.get("h.last").values[0, 0]
    assert [np.isfinite(row).sum() - 1 for row in last] == [end + 1 for end in ends]
    lags = flow.get("h.last").coords["lag"][0]
    assert [row[k + 1] for row, k in zip(lags, ends, strict=True)] == [0, 0, 0]


def test_a_target_for_each_sequence_or_each_step():
    one = {"kind": "cross_entropy", "head": "fc", "targets": "class.npy"}
    each = np.full((N, T), -1)
    each[:, -1] = np.load("class.npy")
    np.save("last.npy", each)
    same(norms(loss=one), norms(loss={**one, "targets": "last.npy", "at": "all"}))
    values = {"kind": "mse", "head": "fc", "targets": "values.npy", "at": "all"}
    assert np.isfinite(norms(loss=values)["h"]).all()


def test_workers_have_what_the_files_say():
    """Points cross to other processes with their embedding, states and lengths."""
    tokens = {"path": "tokens.npz", "embedding": "emb"}
    loss = {"kind": "cross_entropy", "head": "fc", "at": "all"}
    asked = experiment(tokens, loss, state="state.npz")
    (whole,) = bundle(plan(asked))
    (here,), (there,) = measure(whole), measure(pickle.loads(pickle.dumps(whole)))
    np.testing.assert_array_equal(here["h"].values, there["h"].values)
    assert there["h"].coords["length"].tolist() == [T, 3, 5]


def test_a_seed_that_draws_nothing_is_no_axis():
    with pytest.raises(ConfigError, match="seed has no effect"):
        gradflow.configure(
            model={"weights": "net.npz"},
            inputs={"kind": "file", "path": "x.npy"},
            loss={"kind": "given", "path": "dy.npy"},
            sweep={"seed": 2},
        )


def test_files_are_known_by_their_content():
    loss = {"kind": "given", "path": "again.npy"}
    hashes = set()
    for scale in (1.0, 2.0):
        np.save("again.npy", np.full((N, T, H), scale))
        for state in ("state.npz", None):
            (point,) = plan(experiment(loss=loss, state=state))
            hashes.add(point.hash)
    assert len(hashes) == 4
    sections = plan(experiment(loss=loss, state="state.npz"))[0].point.settings
    assert len(sections["model"]["state_file"]["sha256"]) == 64
    assert len(sections["loss"]["sha256"]) == 64


def test_a_state_may_stand_layer_by_layer_and_an_array_alone_in_an_npz():
    same(norms(state="apart.npz"), norms(state="state.npz"))
    given = [{"kind": "given", "path": path} for path in ("one.npz", "dy.npy")]
    same(*(norms(loss=loss) for loss in given))


CROSS = {"kind": "cross_entropy", "head": "fc"}
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"state": "deep.npz"}, "model.state", "h0 is shaped (2, 3, 4)"),
    ({"state": "half.npz"}, "model.state", "holds no c0"),
    ({"state": "more.npz"}, "model.state", "holds s0, which is no state of the net"),
    ({"state": "few.npz"}, "model.state", "has 2 sequences, fewer than the 3"),
    ({"state": "none.npz"}, "model.state", "there is no file"),
    ({"loss": {"kind": "given"}}, "loss", "reads its cotangents from a file"),
    ({"loss": {"kind": "given", "path": "do.npy"}}, "loss.path", "is shaped (3, 6, 7)"),
    ({"loss": {"kind": "given", "path": "short.npy"}}, "loss.path", "has 5 steps, fewer than"),
    ({"loss": {"kind": "sum", "path": "dy.npy"}}, "loss.path", "no effect on the loss sum"),
    ({"loss": {"kind": "sum", "targets": "dy.npy"}}, "loss.targets", "no effect on the loss sum"),
    ({"loss": {"kind": "sum", "head": "f"}}, "loss.head", "fc (7 × 4), emb (7 × 3)"),
    ({"loss": {"kind": "sum", "head": "emb"}}, "loss.head", "reads 3 features, the net gives 4"),
    ({"loss": {"kind": "sum", "head": "fc"}, "cell": "lstm"}, "loss.head", "and there is none"),
    ({"loss": {"kind": "mse", "head": "fc", "targets": "infinite.npy"}}, "loss.targets",
     "the array is shaped (3, 7)"),
    ({"loss": {"kind": "given", "path": "two.npz"}}, "loss.path", "holds 2 arrays"),
    ({"loss": {**CROSS, "targets": "beyond.npy"}}, "loss.targets", "holds class 7"),
    ({"loss": {**CROSS, "targets": "values.npy"}}, "loss.targets", "(3, 6, 7), float64"),
    ({"loss": {**CROSS, "targets": "class.npy", "at": [2]}}, "loss.targets", "has no target at"),
    ({"loss": {"kind": "sum", "of": "c"}}, "loss.at", "looks at the end of the state"),
    ({"loss": {"of": "c", "at": "ends"}, "cell": "rnn"}, "loss.of", "rnn has no c"),
    ({"inputs": {"path": "x.npy", "embedding": "emb"}}, "inputs.path", "float64"),
    ({"inputs": {"path": "tokens.npz", "embedding": "emb", "columns": ["0"]}}, "inputs.columns",
     "tokens have no columns"),
    ({"inputs": {"path": "tokens.npz", "embedding": "e"}}, "inputs.path", "no matrices called e"),
    ({"inputs": {"path": "tokens.npz", "embedding": "emb"}, "cell": "lstm"}, "inputs.embedding",
     "and there is none"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "place", "problem"), WRONG)
def test_what_does_not_fit_says_where(given, place, problem):
    with pytest.raises(ConfigError) as caught:
        experiment(**given)
    assert f": {place}: " in str(caught.value)
    assert problem in str(caught.value)
