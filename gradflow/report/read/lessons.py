"""How nets learned, and what held those back that did not: sentences from what was recorded."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.quantity import Result, loss_end
from gradflow.core.typing import Array
from gradflow.experiment.store.runs import Point, Run

__all__ = ["Lesson", "far_end", "lessons", "side_by_side"]

STALLED = 0.05
"""A net that has gained less of what the trivial answer loses does no better than it, and one that
gains less in the latter half of its updates stands still."""

NEARLY = 0.9
"""A net that has gained so much stands still since there is little left."""

TURNING = -0.2
"""A mean cosine of successive updates below this: they undo each other."""


@dataclass(frozen=True)
class Lesson:
    """What became of the nets that differ in nothing but their seed.

    Parameters
    ----------
    cell : str
        Its label.
    where : str
        Their other axes, as ``key value``.
    sentence : str
        How many learnt and after how many sequences, or what held the others back.
    """

    cell: str
    where: str
    sentence: str


def lessons(run: Run) -> list[Lesson]:
    """A sentence for each group of nets that learned; none where nets did not learn."""
    groups: dict[str, list[Point]] = {}
    for point in run.points:
        if point.settings.get("train") is not None:
            axes = {key: value for key, value in point.axes.items() if key != "seed"}
            same = json.dumps([point.cell, point.length, axes], default=str)
            groups.setdefault(same, []).append(point)
    found = []
    for points in groups.values():
        swept = points[0].axes.items()
        where = [f"{key} {value}" for key, value in swept if key not in ("seed", "model.cell")]
        said = _sentence([run.result(point) for point in points], points[0].length)
        found.append(Lesson(points[0].cell, ", ".join(where), said))
    return found


def side_by_side(updates: Sequence[Array], values: Sequence[Array]) -> tuple[Array, Array]:
    """Put what was seen of nets, each until it stopped, on the same updates.

    Parameters
    ----------
    updates : sequence of array
        When each net's windows closed.
    values : sequence of array
        What they have shown, the last axis along the updates.

    Returns
    -------
    updates : array (n,)
        At which windows closed, but for those that a net closed alone as it stopped.
    values : array (nets, …, n)
        A net that has stopped keeps its last number.
    """
    closed = np.concatenate([own[:-1] for own in updates])
    grid = np.unique(np.append(closed, max(own[-1] for own in updates)))
    ats = [np.minimum(np.searchsorted(own, grid), own.size - 1) for own in updates]
    return grid, np.stack([one[..., at] for one, at in zip(values, ats, strict=True)])


def _sentence(results: list[Result], length: int) -> str:
    counts = [float(result["training"].values[1]) for result in results]
    reached = [count for count in counts if not np.isnan(count)]
    others = [result for result, count in zip(results, counts, strict=True) if np.isnan(count)]
    parts = []
    if reached:
        mean, middle = statistics.fmean(reached), statistics.median(reached)
        parts.append(
            f"{len(reached)} of {len(results)} nets have learnt, after {mean:,.0f} sequences on "
            f"average (median {middle:,.0f}, {min(reached):,.0f} to {max(reached):,.0f})"
        )
    if others:
        parts.append(_held_back(others, len(results), length))
    return "; ".join(parts)


def _held_back(results: list[Result], nets: int, length: int) -> str:
    """What the last windows of nets say that have not met a criterion."""
    gain = statistics.median(float(result["gain"].values[-1]) for result in results)
    read = statistics.median(float(result["training"].values[0]) for result in results)
    far = [far_end(result)[-1] for result in results if "s.learning" in result]
    said = (
        f"{len(results)} of {nets} read {read:,.0f} sequences and gained {round(100 * gain)} % of "
    )
    said += "what the trivial answer loses"
    late = statistics.median(map(_late, results))
    short = late < STALLED <= gain < NEARLY
    if short:
        said += f", {round(100 * late)} % in the latter half of its updates"
    if gain < STALLED or short:
        said += ": stalled"
        if np.isfinite(far).any():
            said += f", the far end of its gradient at 10^{np.median(far):.1f}"
    kind, turns, cosine = _swaying(results)
    if cosine < TURNING:
        said += (
            f"; it oscillates: {100 * turns:.0f} % of the components of {kind} change sign from "
            f"update to update, which have a cosine of {cosine:.2f}"
        )
    weights, agreement = _agreement(results)
    if agreement < length**-0.5:  # that of steps in random directions
        said += (
            f"; its steps conflict: {100 * agreement:.0f} % of their parts of the gradient of "
            f"{weights} are left in the sum"
        )
    return said.replace("-", "−")


def _late(result: Result) -> float:
    """What a net gained of what the trivial answer loses in the latter half of its updates."""
    gain = result["gain"]
    update = np.asarray(gain.coords["update"])
    half = np.searchsorted(update, update[-1] / 2)
    return float(gain.values[-1] - gain.values[half]) if half < update.size - 1 else np.inf


def _agreement(results: list[Result]) -> tuple[str, float]:
    """The weights whose steps agree least in the last window, and how far; inf if not recorded."""
    found = {"": np.inf}
    for name in ("U", "W", "V"):
        key = f"conflict_{name}.learning"
        each = [result[key].values[-1] for result in results if key in result]
        if each and not np.isnan(each).all():
            found[name] = float(np.nanmedian(each))
    return min(found.items(), key=lambda one: one[1])


def far_end(result: Result) -> Array:
    """log10 of the norm at the far end of the sequence over that at the loss, by update."""
    seen = result["s.learning"]
    curves = seen.values[:, 0, 0]
    found: Array = curves[:, 0] - curves[:, loss_end(seen)]
    return found


def _swaying(results: list[Result]) -> tuple[str, float, float]:
    """The kind of parameters whose updates undo each other most, their turns and cosine."""
    kinds = results[0]["turns"].coords["kind"]
    turns = np.mean([result["turns"].values[:, -1] for result in results], axis=0)
    cosines = np.mean([result["cosine_of_updates"].values[:, -1] for result in results], axis=0)
    least = int(np.nanargmin(np.where(np.isnan(cosines), np.inf, cosines)))
    return str(kinds[least]), float(turns[least]), float(cosines[least])
