"""``gradflow inspect``: what it shows is what is there, and what it writes runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gradflow.cli import app
from gradflow.experiment.models.weights import read_near, read_weights
from gradflow.experiment.run import run
from tests.experiment import pickled
from tests.experiment.test_training import learning
from tests.experiment.test_weights import state_dict


def gradflow(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), prog_name="gradflow")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Two nets beside each other, an embedding, a head and something else."""
    encoder, decoder = state_dict(4, layers=2, ends=("", "_reverse")), state_dict(3, inputs=6)
    state = {f"model.encoder.{name}": a for name, a in encoder.items()}
    state |= {f"model.decoder.{name}": a for name, a in decoder.items()}
    state |= {"model.emb.weight": np.zeros((9, 4)), "model.fc.weight": np.zeros((9, 5))}
    state |= {"model.fc.bias": np.zeros(9), "model.steps": np.zeros(3)}
    return pickled.checkpoint(tmp_path / "net.ckpt", state)


def test_all_that_is_there_is_shown(checkpoint: Path) -> None:
    shown = gradflow("inspect", str(checkpoint))
    assert shown.exit_code == 0, shown.output
    rows = [line.split() for line in shown.output.splitlines() if line.startswith("model.")]
    assert rows[0] == ["model.encoder", "lstm", "4", "5", "both", "bias:", "True"]
    assert rows[1] == ["model.encoder", "lstm", "10", "5", "both", "bias:", "True"]
    assert rows[2][:5] == ["model.decoder", "gru", "6", "5", "forward"]
    assert "embedding model.emb: 9 × 4" in shown.output
    assert "head model.fc: 9 × 5" in shown.output
    assert "not recognised: model.steps\n" in shown.output
    assert "net.ckpt#model.decoder}" in shown.output


def test_as_json(checkpoint: Path) -> None:
    found = json.loads(gradflow("inspect", str(checkpoint), "--json").stdout)
    assert [net["name"] for net in found["nets"]] == ["model.encoder", "model.decoder"]
    assert [layer["inputs"] for layer in found["nets"][0]["layers"]] == [4, 10]
    assert found["near"][1] == {"kind": "head", "prefix": "model.fc", "rows": 9, "cols": 5}
    assert found["not_recognised"] == ["model.steps"]


@pytest.mark.parametrize("folder", [".", "deeper", "a, b"])
def test_what_is_written_runs(checkpoint: Path, folder: str) -> None:
    (checkpoint.parent / folder).mkdir(exist_ok=True)
    mine = checkpoint.parent / folder / "mine.yaml"
    wrote = gradflow("inspect", f"{checkpoint}#encoder", "--write", str(mine))
    assert wrote.exit_code == 0, wrote.output
    out = str(checkpoint.parent / "results")
    ran = gradflow("run", str(mine), "length=9", "--results", out, "--json")
    assert ran.exit_code == 0, ran.output
    assert gradflow("inspect", f"{checkpoint}#encoder", "--write", str(mine)).exit_code == 2
    again = gradflow("inspect", f"{checkpoint}#encoder", "--write", str(mine), "--force")
    assert again.exit_code == 0


def test_paths_with_signs_are_quoted(checkpoint: Path) -> None:
    odd = checkpoint.rename(checkpoint.parent / "my, {net}: 1.ckpt")
    mine = odd.parent / "mine.yaml"
    gradflow("inspect", f"{odd}#decoder", "--write", str(mine))
    assert gradflow("validate", str(mine)).exit_code == 0


def test_one_of_several_has_to_be_named_for_an_experiment(checkpoint: Path) -> None:
    refused = gradflow("inspect", str(checkpoint), "--write", str(checkpoint.parent / "m.yaml"))
    assert refused.exit_code == 2
    assert "m.yaml would hold one net, and there are 2" in refused.output
    assert "#model.encoder --write" in refused.output


def test_names_of_its_own_are_offered(tmp_path: Path) -> None:
    arrays = {name.replace("l0", "x"): a for name, a in state_dict(3).items()}
    np.savez(tmp_path / "own.npz", **arrays)
    shown = gradflow("inspect", str(tmp_path / "own.npz"))
    assert "names: {weight_ih_l0: weight_ih_x, weight_hh_l0: weight_hh_x" in shown.output
    assert "no recurrent network was found" in shown.output


def test_a_net_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    state = state_dict(4)
    del state["bias_hh_l0"]
    np.savez(tmp_path / "half.npz", **state)
    shown = gradflow("inspect", str(tmp_path / "half.npz"))
    assert shown.exit_code == 0
    assert "bias_hh_l0 is missing" in shown.output


@pytest.mark.parametrize("name", ["net.ckpt", "net.ckpt#encoder", "gone.onnx"])
@pytest.mark.parametrize("command", ["run", "validate"])
def test_running_a_checkpoint_says_what_to_do(checkpoint: Path, name: str, command: str) -> None:
    refused = gradflow(command, str(checkpoint.parent / name))
    assert refused.exit_code == 2
    assert "this is a checkpoint, not an experiment file" in refused.output
    assert "--write mine.yaml" in refused.output


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("after", [True, False], ids=["PyTorch's names", "own names"])
def test_a_net_that_has_learnt_is_written_as_a_file_of_its_own(
    tmp_path: Path, suffix: str, after: bool
) -> None:
    model = {"cell": {"kind": "gru", "reset": "after" if after else "before"}, "hidden": 3}
    train = {"updates": 2, "head": {"bias": True}}
    run(learning("taught", model=model, train=train, sweep={"seed": 1}), out=tmp_path)
    source, file = f"{tmp_path}/taught/weights/seed-0.npz#end", tmp_path / f"net{suffix}"
    wrote = gradflow("inspect", source, "--write", str(file))
    assert wrote.exit_code == 0, wrote.output
    assert ("weight_ih_l0" in wrote.stderr) == after
    one, other = read_weights(source), read_weights(file)
    assert one.stack == other.stack
    for name, a in one.weights[0][0].items():
        np.testing.assert_array_equal(a, other.weights[0][0][name])
    heads = read_near(source, "end.head", "a head"), read_near(file, "head", "a head")
    for ours, theirs in zip(*heads, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "not recognised" not in gradflow("inspect", str(file)).output
    assert gradflow("inspect", source, "--write", str(file)).exit_code == 2
