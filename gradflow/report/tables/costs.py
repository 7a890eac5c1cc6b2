"""The table of `gradflow cost`, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradflow.experiment.measure.duration import Price
from gradflow.report.format import cell_name, number
from gradflow.report.tables.layout import Sheet, label_column, number_column

__all__ = ["costs_data", "costs_sheet"]

NOTE = (
    "A step of one layer, all sequences together: → forward, ← backward (what norms need). MFLOP "
    "and MB are counted from the cell's own equations, kB kept is what the way back needs, µs "
    "measured here. cost: time over the first row's. sequential: operations of the whole sequence "
    "that follow one another, which no width hides."
)
"""What the columns mean."""


def costs_sheet(found: Sequence[Price]) -> Sheet:
    """Lay out a row for each network: counts, times, and the time over that of the first row."""
    base = found[0].forward + found[0].backward if found else 1.0
    each = [one.counted for one in found]
    both = [(counted.forward, counted.backward) for counted in each]
    columns = [
        label_column("cell", [cell_name(one.cell) for one in found]),
        number_column("params", [f"{one.parameters:,}" for one in found]),
        number_column("MFLOP → ←", [_pair(*(p.flops / 1e6 for p in ways)) for ways in both]),
        number_column("MB → ←", [_pair(*(p.traffic / 1e6 for p in ways)) for ways in both]),
        number_column("kB kept", [number(c.tape / 1e3) for c in each]),
        number_column("µs → ←", [_pair(one.forward * 1e6, one.backward * 1e6) for one in found]),
        number_column("cost", [f"×{(one.forward + one.backward) / base:.1f}" for one in found]),
        number_column("sequential", [f"{sum(one.path):,}" for one in found]),
    ]
    return Sheet(columns, notes=[NOTE])


def _pair(forward: float, backward: float) -> str:
    return f"{number(forward)} {number(backward)}"


def costs_data(found: Sequence[Price]) -> list[dict[str, Any]]:
    """The same as plain data."""
    return [
        {
            "cell": one.cell,
            "hidden": one.hidden,
            "layers": one.layers,
            "sequences": one.sequences,
            "length": one.length,
            "parameters": one.parameters,
            "flops": {
                "forward": one.counted.forward.flops,
                "backward": one.counted.backward.flops,
            },
            "bytes": {
                "forward": one.counted.forward.traffic,
                "backward": one.counted.backward.traffic,
                "kept": one.counted.tape,
            },
            "seconds": {"forward": one.forward, "backward": one.backward},
            "sequential": {"forward": one.path[0], "backward": one.path[1]},
        }
        for one in found
    ]
