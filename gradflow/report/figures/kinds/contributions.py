"""What each step adds to the weights' gradients, by gate, and how much of it cancels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gradflow.experiment.store.runs import Run
from gradflow.report.figures.canvas import Setup, figure
from gradflow.report.figures.panels import Panel, common_ranges, facets
from gradflow.report.figures.scales import decades_over_steps, draw_trace, limits
from gradflow.report.figures.sites import Site, statistics
from gradflow.report.figures.style import COLOURS, GATES, by_gate, gate_keys
from gradflow.report.figures.traces import Part, Traces, extent, none_recorded, pools, traces
from gradflow.report.read.bands import Band, band

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Conflict", "draw", "gather"]

CURVES, BARS = "contribution_", "conflict_"

WEIGHTS = {"U": "input weights U", "W": "recurrent weights W", "V": "output weights V"}


@dataclass(frozen=True)
class Conflict(Site):
    """‖Σ_k G_k‖ / Σ_k ‖G_k‖ of each weight and gate: 10 %, median and 90 % over sequences."""

    of: Mapping[Part, Band]


def gather(run: Run) -> dict[str, list[Traces] | list[Conflict]]:
    """Read the norms of the summands, a figure for each weight, and the conflicts, one figure."""
    figures: dict[str, list[Traces] | list[Conflict]] = {}
    for weight in WEIGHTS:
        found = traces(run, [CURVES + weight])
        if found:
            figures[weight] = found
    conflicts = _conflicts(run)
    if conflicts:
        figures["conflict"] = conflicts
    if not figures:
        raise none_recorded(run, "contributions", "contributions")
    return figures


def draw(found: Sequence[Traces] | Sequence[Conflict], name: str, setup: Setup) -> Figure:
    """Draw the summands of a weight by gate, or bars of conflict by gate."""
    if name == "conflict":
        return _bars([one for one in found if isinstance(one, Conflict)], setup)
    every = [one for one in found if isinstance(one, Traces)]
    grid = facets(every, ())
    ranges = common_ranges(grid, extent)

    def panel(ax: Axes, one: Panel[Traces]) -> list[str]:
        decades_over_steps(ax, ranges[one], setup.x, rf"$\Vert G_k\Vert$ of {WEIGHTS[name]}")
        notes = limits(ax)
        for (_, gate), trace in one.sites[0].of.items():
            notes += draw_trace(
                ax, trace, setup.x, by_gate(gate or "g"), GATES.get(gate, gate or name)
            )
        return notes

    gates = dict.fromkeys(gate for one in every for _, gate in one.of)
    gates.pop("", None)
    note = f"step k adds the matrix G to the gradient of {name}"
    return figure(setup, grid, panel, notes=[statistics(every), note], keys=gate_keys(gates))


def _conflicts(run: Run) -> list[Conflict]:
    made: list[Conflict] = []
    for group, length, results in pools(run, _is_conflict):
        of: dict[tuple[int, str], dict[Part, Band]] = {}
        sequences = 1
        for name, first in results[0].items():
            at: dict[str, list[Any]] = {"layer": [0], "direction": ["forward"], "gate": [""]}
            at |= {a: np.asarray(first.coords[a]).tolist() for a in at if a in first.dims}
            every = np.concatenate([result[name].values for result in results], axis=-1)
            every = every.reshape(*map(len, at.values()), -1)
            sequences = first.values.shape[-1]
            for i, j, g in np.ndindex(every.shape[:3]):
                row = every[i, j, g]
                row = row[~np.isnan(row)]
                place = (at["layer"][i], at["direction"][j])
                if row.size:
                    of.setdefault(place, {})[name, at["gate"][g]] = band(row)
        for place, found in of.items():
            site = (group.cell, length, group.axes, place, len(results), sequences)
            made.append(Conflict(*site, found))
    return made


def _is_conflict(name: str) -> bool:
    """Whether it is a net's conflict as it is, not along its learning (``conflict_U.learning``)."""
    return name.startswith(BARS) and "." not in name


def _bars(found: Sequence[Conflict], setup: Setup) -> Figure:
    """Draw a bar for each gate and weight, a panel for each cell."""
    grid = facets(found, ())
    weights = sorted({weight for one in found for weight, _ in one.of}, key=_order)
    colours = {weight: COLOURS[i] for i, weight in enumerate(weights)}

    def panel(ax: Axes, one: Panel[Conflict]) -> list[str]:
        bars = one.sites[0].of
        gates = sorted({gate for _, gate in bars}, key=_rank)
        width = 0.8 / max(2, len(weights) - 1)
        for (weight, gate), shares in bars.items():
            beside = [one for one in weights if (one, gate) in bars]
            at = gates.index(gate) + (beside.index(weight) - (len(beside) - 1) / 2) * width
            ax.bar(at, float(shares.median), 0.9 * width, color=colours[weight], alpha=0.8)
            ax.plot([at, at], [shares.low, shares.high], color="black", linewidth=0.7)
        ax.set_ylim(0, 1)
        ax.set_xlim(-0.5, max(3, len(gates)) - 0.5)
        ax.set_xticks(range(len(gates)), [gate or "readout" for gate in gates])
        ax.tick_params(axis="x", length=0)
        ax.set_xlabel("gate")
        ax.set_ylabel("agreement of the steps")
        return []

    keys = [
        (Patch(color=colour, alpha=0.8), WEIGHTS.get(weight.removeprefix(BARS), weight))
        for weight, colour in colours.items()
    ]
    meaning = "norm of the sum over the sum of norms; 1: all steps agree, 0: they cancel (conflict)"
    return figure(setup, grid, panel, notes=[statistics(found), meaning], keys=keys)


def _rank(gate: str) -> int:
    known = list(GATES)
    return known.index(gate) if gate in known else len(known) + (gate == "")


def _order(weight: str) -> int:
    known = [BARS + one for one in WEIGHTS]
    return known.index(weight) if weight in known else len(known)
