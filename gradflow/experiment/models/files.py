"""A user's checkpoint, opened: which reader it needs, and which nets are found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from gradflow.experiment.data import reading
from gradflow.experiment.data.reading import mistake
from gradflow.experiment.models import pytorch
from gradflow.experiment.models.archives import npz
from gradflow.experiment.models.checkpoint import checkpoint
from gradflow.experiment.models.found import FoundNet, Near, joined
from gradflow.experiment.models.safetensors import safetensors
from gradflow.experiment.models.tensors import Tensors, flat

__all__ = ["SUFFIXES", "Contents", "opened"]


@dataclass(frozen=True)
class Contents:
    """What an open file holds.

    Parameters
    ----------
    singles : tuple of FoundNet
        The recurrent nets.
    near : tuple of Near
        Heads and embeddings.
    shapes : mapping
        Every tensor's name and shape.
    expected : str
        The names by which nets are found.
    """

    singles: tuple[FoundNet, ...]
    near: tuple[Near, ...]
    shapes: Mapping[str, tuple[int, ...]]
    expected: str

    @property
    def nets(self) -> list[FoundNet]:
        """The nets, those that are numbered on and fit as one."""
        return joined(self.singles)


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
    found = tuple(pytorch.nets(there, path, said))
    return Contents(found, tuple(pytorch.near(there)), shapes, EXPECTED)


EXPECTED = "the names of PyTorch's RNN, LSTM or GRU: weight_ih_l0, weight_hh_l0, …"


def _plain(read: Callable[[IO[bytes], Path], Tensors]) -> Reader:
    return lambda file, path, names: _named(read(file, path), path, names, {})


def _torch(file: IO[bytes], path: Path, names: Names) -> Contents:
    tensors, said = checkpoint(file, path)
    return _named(tensors, path, names, said)


READERS: dict[str, Reader] = {
    ".npz": _plain(npz),
    ".safetensors": _plain(safetensors),
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _torch),
}
SUFFIXES = tuple(READERS)


@contextmanager
def opened(path: Path, names: Names | None = None) -> Iterator[Contents]:
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
