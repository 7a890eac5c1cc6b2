"""Trained models that public packages ship (`make test-extras`: needs the package index).

Each goes in by one `weights:` line, and gives what torch, or the package's own equations, gives.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gradflow.errors import UserError
from gradflow.experiment.models.weights import read_weights
from tests.experiment.frames import given

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Return a function that fetches a release and takes one file out of it."""

    def fetch(release: str, ending: str) -> Path:
        folder = tmp_path_factory.mktemp("release")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        subprocess.run([*command, "--no-build-isolation", release], check=True)
        (whole,) = folder.iterdir()
        if whole.suffix == ".whl":
            with zipfile.ZipFile(whole) as archive:
                (name,) = [n for n in archive.namelist() if n.endswith(ending)]
                return Path(archive.extract(name, folder))
        with tarfile.open(whole) as archive:
            (name,) = [n for n in archive.getnames() if n.endswith(ending)]
            archive.extract(name, folder, filter="data")
        return folder / name

    return fetch


def steps(imported, seed=0):
    return np.random.default_rng(seed).standard_normal((2, 20, imported.inputs))


def agrees(imported, module, state, x):
    """Hold an imported net against a module of torch with the same weights, in float64."""
    module = module.double()
    module.load_state_dict({name: torch.as_tensor(a).double() for name, a in state.items()})
    with torch.no_grad():
        wanted = module(torch.as_tensor(x))[0].numpy()
    np.testing.assert_allclose(given(imported, x), wanted, rtol=1e-12, atol=1e-13)


def test_resemblyzer(shipped):
    path = shipped("Resemblyzer==0.1.4", "pretrained.pt")
    imported = read_weights(path)
    state = torch.load(path, map_location="cpu", weights_only=False)["model_state"]
    own = {k.removeprefix("lstm."): a for k, a in state.items() if k.startswith("lstm.")}
    agrees(imported, torch.nn.LSTM(40, 256, 3, batch_first=True), own, steps(imported))


def test_silero_vad(shipped):
    path = shipped("silero-vad==6.2.3", "silero_vad_16k.safetensors")
    imported = read_weights(path)
    from safetensors.numpy import load_file

    state = load_file(path)
    own = {
        f"{name.removeprefix('lstm_cell.')}_l0": a
        for name, a in state.items()
        if name.startswith("lstm_cell.")
    }
    agrees(imported, torch.nn.LSTM(128, 128, batch_first=True), own, steps(imported))


@pytest.mark.parametrize("net", ["enc", "dec"])
def test_g2p_en(shipped, net):
    path = shipped("g2p_en==2.1.0", "checkpoint20.npz")
    kinds = [(what, of) for what in ("weight", "bias") for of in ("ih", "hh")]
    names = {f"{what}_{of}_l0": f"{net}_{what[0]}_{of}" for what, of in kinds}
    with pytest.raises(UserError, match=f"weight_hh_l0: {net}_w_hh"):
        read_weights(path)
    imported = read_weights(path, names=names)
    with np.load(path) as arrays:
        own = {ours: arrays[theirs] for ours, theirs in names.items()}
    agrees(imported, torch.nn.GRU(256, 256, batch_first=True), own, steps(imported))


def test_textgenrnn(shipped):
    h5py = pytest.importorskip("h5py")
    path = shipped("textgenrnn==2.0.0", "textgenrnn_weights.hdf5")
    imported = read_weights(path)
    state = {}
    with h5py.File(path) as file:
        for layer in (0, 1):
            own = file[f"rnn_{layer + 1}/rnn_{layer + 1}"]
            U, W, b = (own[f"{k}:0"][()] for k in ("kernel", "recurrent_kernel", "bias"))
            # CuDNN: each gate's block lies in memory as torch's (H, features), gates i, f, c, o.
            blocks = [k.reshape(128, -1) for k in np.split(U, 4, axis=1)]
            state[f"weight_ih_l{layer}"] = np.concatenate(blocks)
            state[f"weight_hh_l{layer}"] = np.concatenate(np.split(W, 4, axis=1))
            state[f"bias_ih_l{layer}"], state[f"bias_hh_l{layer}"] = np.split(b, 2)
    agrees(imported, torch.nn.LSTM(100, 128, 2, batch_first=True), state, steps(imported))
