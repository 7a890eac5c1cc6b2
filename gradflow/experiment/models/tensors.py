"""What every reader gives: the tensors of a file by name, none read before it is taken.

Where the names are not PyTorch's, `mappings` guesses from shapes which they may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import MAX_BYTES, finite, mistake, too_large

__all__ = [
    "LETTERS", "Tensor", "Tensors", "broken", "decoded", "flat", "mappings", "take",
    "unknown_type",
]  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies in an open file.

    Parameters
    ----------
    shape : tuple of int
        Its shape, as the file's header says.
    load : callable
        Reads it, as long as the file is open.
    """

    shape: tuple[int, ...]
    load: Callable[[], Array]


Tensors: TypeAlias = Mapping[str, Tensor]

LETTERS = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2"}
"""The types that weights come in, in the letters of NumPy."""


def decoded(data: bytes, dtype: str, order: str = "<") -> Array:
    """Numbers from bytes in one of the types of `LETTERS`; BF16, half a float32, is widened."""
    array = np.frombuffer(data, order + LETTERS[dtype])
    return (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array


def take(tensors: Tensors, names: Iterable[str], path: Path) -> dict[str, Array]:
    """Read tensors in float64.

    Raises
    ------
    UserError
        If they are too many bytes, or hold what is not finite.
    """
    chosen = {name: tensors[name] for name in names}
    total = sum(8 * math.prod(tensor.shape) for tensor in chosen.values())
    if total > MAX_BYTES:
        raise too_large(path, total)
    return {
        name: finite(tensor.load(), path, name).astype(np.float64)
        for name, tensor in chosen.items()
    }


def flat(text: str, most: int = 60) -> str:
    """A text from a file in one line without control characters, cut where it is long."""
    shown = "".join(c if c.isprintable() else "?" for c in text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "…"


def broken(path: Path, what: str, problem: str, expected: str) -> Exception:
    """Return the error for a file that contradicts itself or is cut short."""
    return mistake(
        path,
        f"not a sound {what}: {problem}",
        expected=expected,
        fix="write the file again; a copy or a download may have been cut short",
    )


def unknown_type(path: Path, name: str, dtype: str) -> Exception:
    """Return the error for a tensor that holds no weights."""
    return mistake(
        path,
        f"{name} is of type {flat(dtype)}",
        expected=", ".join(LETTERS),
        fix="convert the tensor, e.g. with .float(), before saving it",
    )


RATIOS = (1, 3, 4)
"""Rows for each unit of an RNN, a GRU and an LSTM."""


def mappings(shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, str]]:
    """Return what may be meant by PyTorch's names of one layer, for each net that may be there.

    W is a matrix with 1, 3 or 4 times as many rows as columns; U and the biases are those tensors
    with as many rows whose names are most like its own.
    """
    found = []
    for name, shape in shapes.items():
        if len(shape) != 2 or shape[1] < 1 or shape[0] % shape[1] or "hh" not in name.lower():
            continue
        if shape[0] // shape[1] not in RATIOS:
            continue
        U = _twin(name, [n for n, s in shapes.items() if len(s) == 2 and s[0] == shape[0]])
        vectors = [n for n, s in shapes.items() if s == (shape[0],)]
        names = {"weight_ih_l0": U, "weight_hh_l0": name}
        if vectors:
            b_hh = max(vectors, key=lambda n: SequenceMatcher(None, n, name).ratio())
            names |= {"bias_ih_l0": _twin(b_hh, vectors), "bias_hh_l0": b_hh}
        if all(names.values()):
            found.append({ours: flat(theirs) for ours, theirs in names.items() if theirs})
    return found


def _twin(name: str, there: list[str]) -> str | None:
    """The name that says ih where this one says hh."""
    twin = name.replace("hh", "ih").replace("HH", "IH")
    return twin if twin in there and twin != name else None
