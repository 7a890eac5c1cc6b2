"""A user's checkpoint, opened: which reader it needs, and which nets are found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TypeAlias

from gradflow.experiment.data import reading
from gradflow.experiment.data.reading import mistake
from gradflow.experiment.models import keras, onnx, pytorch
from gradflow.experiment.models.checkpoint import checkpoint
from gradflow.experiment.models.found import FoundNet, Near, joined
from gradflow.experiment.models.graph import graphs
from gradflow.experiment.models.graph import tensors as graph_tensors
from gradflow.experiment.models.hdf5 import hdf5
from gradflow.experiment.models.tensors import Tensors, flat, npz, safetensors
from gradflow.experiment.models.written import own_nets

__all__ = ["SUFFIXES", "Contents", "open_checkpoint"]


@dataclass(frozen=True)
class Contents:
    """What an open file holds.

    Parameters
    ----------
    singles : tuple of FoundNet
        The recurrent nets, each module by itself.
    nets : tuple of FoundNet
        The same, with those that feed one another as one.
    near : tuple of Near
        Heads and embeddings.
    shapes : mapping
        Every tensor's name and shape.
    expected : str
        What nets are found by.
    """

    singles: tuple[FoundNet, ...]
    nets: tuple[FoundNet, ...]
    near: tuple[Near, ...]
    shapes: Mapping[str, tuple[int, ...]]
    expected: str


Names: TypeAlias = Mapping[str, str]
"""PyTorch's names to those of the file."""

Reader: TypeAlias = Callable[[IO[bytes], Path, Names], Contents]


def _named(tensors: Tensors, path: Path, names: Names, said: Mapping[str, str]) -> Contents:
    """Find nets by PyTorch's names, or by the names that they are given."""
    for ours, theirs in names.items():
        if not pytorch.NAME.fullmatch(ours) or theirs not in tensors:
            wrong, one = (theirs, "a tensor of the file") if theirs not in tensors else (ours, "")
            raise mistake(
                path,
                f"`names` maps {flat(ours)} to {flat(theirs)}, and there is no {flat(wrong)}",
                expected=one or "PyTorch's names: weight_ih_l0, weight_hh_l0, bias_ih_l0, …",
            )
    called = {ours: tensors[theirs] for ours, theirs in names.items()}
    there = called or pytorch.folded(tensors, path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    found = (*pytorch.nets(there, path, said), *([] if called else own_nets(tensors, path)))
    return Contents(found, tuple(joined(found)), tuple(pytorch.near(there, path)), shapes, EXPECTED)


EXPECTED = "the names of PyTorch's RNN, LSTM or GRU: weight_ih_l0, weight_hh_l0, …"


def _plain(read: Callable[[IO[bytes], Path], Tensors]) -> Reader:
    return lambda file, path, names: _named(read(file, path), path, names, {})


def _torch(file: IO[bytes], path: Path, names: Names) -> Contents:
    tensors, said = checkpoint(file, path)
    return _named(tensors, path, names, said)


def _keras(file: IO[bytes], path: Path, names: Names) -> Contents:
    _needs("h5py", "keras", path, names)
    saved = hdf5(file, path)
    singles, found = keras.nets(saved, path)
    shapes = {name: tensor.shape for name, tensor in saved.tensors.items()}
    near = tuple(keras.near(saved, path))
    return Contents(tuple(singles), tuple(found), near, shapes, keras.EXPECTED)


def _onnx(file: IO[bytes], path: Path, names: Names) -> Contents:
    _needs("onnx", "onnx", path, names)
    whole = graphs(file, path)
    singles, found = onnx.nets(whole, path)
    tensors = graph_tensors(whole, path)
    if not singles:  # an exporter may have taken the nodes apart, and kept the names
        return _named(tensors, path, {}, {})
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    near = tuple(onnx.near(whole, path))
    return Contents(tuple(singles), tuple(found), near, shapes, onnx.EXPECTED)


def _needs(package: str, extra: str, path: Path, names: Names) -> None:
    """Refuse what needs a package that is not installed, and names without a use."""
    if find_spec(package) is None:
        raise mistake(
            path,
            f"{path.suffix} files are read with {package}, which is not installed",
            fix=f"pip install 'gradflow-rnn[{extra}]'",
        )
    if names:
        raise mistake(path, f"`names` are for tensors, and {path.suffix} files name their layers")


READERS: dict[str, Reader] = {
    ".npz": _plain(npz),
    ".safetensors": _plain(safetensors),
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _torch),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), _keras),
    ".onnx": _onnx,
}
SUFFIXES = tuple(READERS)


@contextmanager
def open_checkpoint(path: Path, names: Names | None = None) -> Iterator[Contents]:
    """Open a checkpoint; its nets can be read inside the block.

    Raises
    ------
    UserError
        If there is no such file, or it is not a sound one of a known format.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise mistake(
            path,
            f"cannot read weights from the suffix {path.suffix!r}",
            expected=", ".join(SUFFIXES),
            fix="save the model's state dict with safetensors, or with numpy.savez",
        )
    with reading.opened(path, most=None) as file:
        yield reader(file, path, names or {})
