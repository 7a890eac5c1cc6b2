"""How long work will take on this machine: a short piece of it, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import threadpoolctl

from gradflow.errors import GradflowError
from gradflow.experiment.config.models import RecordConfig
from gradflow.experiment.measure.duration import seconds
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle

__all__ = ["pace"]

STEPS = (32, 192)
"""Steps of the two pieces of a probe, unless the task needs more: what they differ by is the steps'
own time, not that of drawing weights and inputs."""

PROBES = 6
"""Bundles that are probed at most, the most expensive ones."""


def pace(bundles: Sequence[Bundle]) -> float:
    """Return measured over predicted seconds of short pieces of the most expensive bundles.

    The median of a few; 1 where nothing can be measured. Takes well under a second in all for nets
    of ordinary size.
    """
    ratios = []
    with threadpoolctl.threadpool_limits(1):
        for bundle in sorted(bundles, key=seconds, reverse=True)[:PROBES]:
            short, longer = (_shortened(bundle, steps) for steps in STEPS)
            try:
                measure(short)
                took = _timed(longer) - _timed(short)
            except GradflowError:
                continue
            ratios.append(max(took, 0.0) / (seconds(longer) - seconds(short)))
    return statistics.median(ratios) if ratios else 1.0


def _timed(bundle: Bundle) -> float:
    start = time.perf_counter()
    measure(bundle)
    return time.perf_counter() - start


def _shortened(bundle: Bundle, steps: int) -> Bundle:
    """Return the bundle's first seeds at one short length, norms alone."""
    config = bundle.points[0].config
    steps += config.inputs.shortest
    plain = RecordConfig(states=config.record.states)
    at = config.loss.at
    loss = config.loss if isinstance(at, str) else config.loss.model_copy(update={"at": "last"})
    changes = {"length": steps, "record": plain, "loss": loss}
    seeds = bundle.seeds[:16]
    return Bundle(
        tuple(
            replace(
                bundle.points[0],
                config=config.model_copy(update={**changes, "seed": seed}),
            )
            for seed in seeds
        )
    )
