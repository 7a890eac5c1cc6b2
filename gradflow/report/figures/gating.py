"""The colours and words of gates, the same in every figure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from matplotlib.lines import Line2D

from gradflow.report.figures.frame import Key
from gradflow.report.figures.style import COLOURS, DASHES

__all__ = ["NAMES", "by_gate", "entries"]

NAMES = {
    "f": "forget f", "i": "input i", "o": "output o", "g": "candidate g", "z": "update z",
    "r": "reset r",
}  # fmt: skip


def by_gate(gate: str) -> dict[str, Any]:
    """Return colour and dashes of a gate."""
    known = list(NAMES)
    i = known.index(gate) if gate in known else len(known)
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}


def entries(gates: Collection[str]) -> list[Key]:
    """Name the gates in a legend."""
    known = [*NAMES, *gates]
    ordered = sorted(set(gates), key=known.index)
    return [(Line2D([], [], **by_gate(gate)), NAMES.get(gate, gate)) for gate in ordered]
