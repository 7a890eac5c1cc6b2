"""What each cell of an experiment costs: counted from its equations, and timed on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradflow.core.cost.step import Cost, cost, critical_path, seconds
from gradflow.experiment.config import Experiment
from gradflow.experiment.measure.plan import plan
from gradflow.experiment.measure.setting import network
from gradflow.report.format import number, plain

__all__ = ["Price", "prices", "print_costs", "records", "table"]


NOTE = (
    "A step of one layer, all sequences together: → forward, ← backward (what norms need). MFLOP "
    "and MB are counted from the cell's own equations, kB kept is what the way back needs, µs "
    "measured here. cost: time over the first row's. sequential: operations of the whole sequence "
    "that follow one another, which no width hides."
)
"""What the columns mean."""


@dataclass(frozen=True)
class Price:
    """One network at its greatest length.

    Parameters
    ----------
    cell : str
        Its label.
    hidden, layers, sequences, length : int
        Sizes.
    parameters : int
        Of the whole network.
    counted : Cost
        A step of the bottom layer in one direction, all sequences together.
    forward, backward : float
        Measured seconds of such a step.
    path : tuple of int
        Operations that follow one another through the whole sequence, forward and backward.
    """

    cell: str
    hidden: int
    layers: int
    sequences: int
    length: int
    parameters: int
    counted: Cost
    forward: float
    backward: float
    path: tuple[int, int]


def prices(experiment: Experiment) -> list[Price]:
    """Count and time the distinct networks of an experiment."""
    longest: dict[Any, Any] = {}
    for point in plan(experiment):
        config = point.config
        key = (config.model, config.inputs.features, config.inputs.sequences, config.dtype)
        if key not in longest or config.length > longest[key].length:
            longest[key] = config
    found = []
    for config in longest.values():
        net = network(config, config.inputs.features)
        columns, kind = config.inputs.sequences or 1, np.dtype(config.dtype)
        forward, backward = seconds(net.cell, net.inputs, columns, dtype=kind)
        found.append(
            Price(
                cell=net.cell.label,
                hidden=net.cell.hidden,
                layers=net.layers,
                sequences=columns,
                length=config.length,
                parameters=net.size,
                counted=cost(net.cell, net.inputs, columns, kind),
                forward=forward,
                backward=backward,
                path=critical_path(net, config.length),
            )
        )
    return found


def table(found: Sequence[Price], *, ascii_only: bool = False) -> Table:
    """Lay out a row for each network: counts, times, and the time over that of the first row."""
    write = plain if ascii_only else str
    shape = box.ASCII2 if ascii_only else box.SIMPLE_HEAD
    made = Table(box=shape, show_edge=False, padding=(0, 1, 0, 0))
    headers = (
        "cell",
        "params",
        "MFLOP → ←",
        "MB → ←",
        "kB kept",
        "µs → ←",
        "cost",
        "sequential",
    )
    for name in headers:
        if name == "cell":
            made.add_column(Text(name), overflow="fold")
        else:
            made.add_column(Text(write(name)), justify="right", no_wrap=True)
    base = found[0].forward + found[0].backward if found else 1.0
    for one in found:
        counted = one.counted
        cells = (
            one.cell,
            f"{one.parameters:,}",
            _pair(counted.forward.flops / 1e6, counted.backward.flops / 1e6),
            _pair(counted.forward.traffic / 1e6, counted.backward.traffic / 1e6),
            number(counted.tape / 1e3),
            _pair(one.forward * 1e6, one.backward * 1e6),
            f"×{(one.forward + one.backward) / base:.1f}",
            f"{sum(one.path):,}",
        )
        made.add_row(*(Text(write(cell)) for cell in cells))
    return made


def print_costs(found: Sequence[Price], console: Console | None = None) -> None:
    """Print the table and what its columns mean."""
    console = console or Console()
    ascii_only = not console.encoding.lower().startswith("utf")
    console.print(table(found, ascii_only=ascii_only))
    console.print(Text(plain(NOTE) if ascii_only else NOTE, style="dim"))


def _pair(forward: float, backward: float) -> str:
    return f"{number(forward)} {number(backward)}"


def records(found: Sequence[Price]) -> list[dict[str, Any]]:
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
