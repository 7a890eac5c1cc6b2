"""Names that a file may have instead of PyTorch's, guessed from shapes, for a message to offer."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher

from gradflow.experiment.models.tensors import flat

__all__ = ["mappings"]

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
