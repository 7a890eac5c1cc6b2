"""What every reader gives: the tensors of a file by name, none read before it is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import MAX_BYTES, finite, mistake, too_large

__all__ = ["LETTERS", "Tensor", "Tensors", "broken", "decoded", "flat", "take", "unknown_type"]


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
