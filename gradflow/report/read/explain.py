"""Verdicts that explain themselves: a sentence with its figures for a row of the closing table.

A sentence leans on what was recorded beside the norms, and on nothing else:

what the carrousel keeps (beside ``record.gates``, ``paths`` and ``theory``)
    keep_tj = ∂c_tj/∂c_{t−1,j} at fixed gates, multiplied over the steps unit by unit: an LSTM's f,
    a GRU's 1 − z, 1 without a forget gate. Where gates differ from unit to unit the mean says too
    little, so the spread stands beside it.
the two ways back (``record.paths``)
    which of them brings the error at the far end. Only they say that it is the paths through gates
    and hidden state that make a difference.
theory (``record.theory``)
    of a vanilla RNN γ‖W‖₂ < 1, which leaves it no other way than to vanish (Pascanu et al. 2013),
    and the mean field's χ; of gated cells the mean field of all paths.

What does not apply stands in brackets, with the reason: theory outside its assumptions, and the
carrousel of a layer that error joins from the layer above at every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.quantity import Prediction, Quantity, Result
from gradflow.experiment.store.runs import Run
from gradflow.report.format import number, power
from gradflow.report.read.predictions import predictions
from gradflow.report.read.rates import Summary
from gradflow.report.read.records import Group
from gradflow.report.read.rows import Row, rows_with_results

__all__ = ["Explanation", "explain", "sentence"]

ENOUGH = 0.15
"""Share of the measured decades by which a prediction may miss them and still explain them."""

MOST = 0.5
"""Share of the error at the far end from which on a way back has brought it."""


@dataclass(frozen=True)
class Explanation:
    """A row of the closing table and why its verdict is what it is; empty where nothing says so."""

    row: Row
    sentence: str


def explain(run: Run, state: str | None = None, *, every: bool = False) -> list[Explanation]:
    """Explain the rows of a run; see `gradflow.report.read.rows.rows` for the parameters."""
    return [
        Explanation(row, sentence(row.summary, results, several=_several(group)))
        for group, row, results in rows_with_results(run, state, every=every)
    ]


def sentence(summary: Summary, results: Sequence[Result], *, several: bool = False) -> str:
    """Write why a curve does what it does: ``vanishes: mean forget gate f 0.73 predicts …``.

    Parameters
    ----------
    summary : Summary
        What was measured.
    results : sequence of Result
        Of all seeds, with what was recorded beside the norms.
    several : bool
        There are losses at several steps: where the last one has not been recorded by itself,
        products over steps predict nothing.
    """
    if summary.verdict is None:
        return ""
    if several and not summary.several:
        return f"{summary.verdict}: every step with a loss brings error of its own"
    said = {one.name: one for one in predictions(results)}
    kept = _kept(summary, results)
    if kept is None:
        reason = _vanilla(summary, said)
    elif kept.above:
        where = "of this layer alone, while error joins from the layer above at every step"
        reason = f"[{_carrousel(summary, kept)}: {where}]"
    else:
        reason = "; ".join(filter(None, (_carrousel(summary, kept), *_rest(summary, kept, said))))
    return f"{summary.verdict}: {reason}" if reason else ""


@dataclass(frozen=True)
class _Kept:
    """What the carrousel keeps at a summary's place: of the seeds, the medians over sequences.

    ``share`` is the carrousel's of the error at the far end, None where paths were not recorded, or
    are of a sum of losses and not of the last one, which is judged.
    """

    gate: str
    above: bool
    mean: float
    spread: float
    decades: float
    share: float | None


def _kept(summary: Summary, results: Sequence[Result]) -> _Kept | None:
    """Read what the carrousel keeps; None where nothing was recorded at a summary's place."""
    named = ("keep_mean", "keep_spread", "keep_decades")
    each = [[_at(summary, result.get(name)) for name in named] for result in results]
    found = [[value for value in seed if value is not None] for seed in each]
    if not found or any(len(seed) < len(named) for seed in found):
        return None
    mean, spread, decades = (float(np.median(values)) for values in zip(*found, strict=True))
    coords = results[0]["keep_mean"].coords
    layer = np.asarray(coords["layer"]).tolist().index(summary.layer)
    gate, above = str(coords["gate"][layer]), bool(coords["above"][layer])
    paths = [] if summary.several else results
    shares = [_at(summary, result.get("path_share")) for result in paths]
    known = [share for share in shares if share is not None]
    share = float(np.median(known)) if known else None
    return _Kept(gate, above, mean, spread, decades, share)


def _at(summary: Summary, quantity: Quantity | None) -> float | None:
    """The median over sequences at a summary's place; along time at the far end."""
    if quantity is None:
        return None
    layers, ways = (np.asarray(quantity.coords[name]).tolist() for name in ("layer", "direction"))
    if summary.layer not in layers or summary.direction not in ways:
        return None
    values = quantity.values[layers.index(summary.layer), ways.index(summary.direction)]
    values = values[:, 0] if "step" in quantity.dims else values
    values = values[~np.isnan(values)]
    return float(np.median(values)) if values.size else None


def _carrousel(summary: Summary, kept: _Kept) -> str:
    """What the carrousel alone predicts."""
    if kept.mean == 1 and kept.spread == 0:
        factor = "the carrousel's factor is 1"
        measured = f", measured {power(summary.decades)} over {summary.lags} steps"
        return factor if _near(0.0, summary.decades) else factor + measured
    text = f"mean {kept.gate or 'factor of the carrousel'} {_digits(kept.mean)}"
    even = summary.lags * math.log10(kept.mean) if kept.mean > 0 else -math.inf
    if not _near(even, kept.decades):
        text += f" ± {_digits(kept.spread)} from unit to unit"
    return f"{text} predicts {_outcome(summary, kept.decades)}"


def _rest(summary: Summary, kept: _Kept, said: Mapping[str, Prediction]) -> Iterator[str]:
    """What was recorded of the rest, where the carrousel alone does not explain the measurement."""
    if _near(kept.decades, summary.decades):
        return
    if kept.share is not None:
        ways = "the carrousel brings", kept.share
        if kept.share < MOST:
            ways = "paths through gates and hidden state bring", 1 - kept.share
        yield f"{ways[0]} {100 * ways[1]:.3g} % of the error at the far end"
    field = said.get("mean field")
    if field is not None:
        text = f"mean field of all paths: {power(field.rate * summary.lags)}"
        yield text if field.applies else f"[{text}: {field.note}]"


def _vanilla(summary: Summary, said: Mapping[str, Prediction]) -> str:
    parts = []
    bound, field = said.get("γ‖W‖₂"), said.get("mean field")
    if bound and bound.applies and bound.rate < 0:
        outcome = "leaves no other way" if summary.verdict == "vanishes" else "lets nothing grow"
        parts.append(f"γ‖W‖₂ = {number(10**bound.rate, 2)} < 1 {outcome}")
    if field:
        chi = number(10 ** (2 * field.rate), 2)
        outcome = _outcome(summary, field.rate * summary.lags)
        text = f"mean field χ = {chi} predicts {outcome}"
        parts.append(text if field.applies else f"[{text}: {field.note}]")
    return "; ".join(parts)


def _digits(kept: float) -> str:
    return number(kept, 2 if kept < 0.9 else 3)


def _outcome(summary: Summary, predicted: float) -> str:
    return f"{power(predicted)} over {summary.lags} steps, measured {power(summary.decades)}"


def _near(predicted: float, measured: float) -> bool:
    if math.isinf(predicted) or math.isinf(measured):
        return predicted == measured
    return abs(predicted - measured) <= max(1.0, ENOUGH * abs(measured))


def _several(group: Group) -> bool:
    """Whether there are losses at several steps."""
    at = group.points[0].settings["loss"]["at"]
    return at == "all" or (not isinstance(at, str) and len(at) > 1)
