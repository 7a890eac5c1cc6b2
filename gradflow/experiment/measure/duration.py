"""What a bundle will take, predicted and paced by a short piece of it, and how it is cut.

The figures need only be right relative to each other: they order the work, balance it, and make
progress count work instead of points. What a step of each network costs, counted from its
equations and timed on this machine, is `prices`.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import threadpoolctl

from gradflow.core.cost import Cost, critical_path, step_cost, step_seconds
from gradflow.core.learning.feed import CHUNK
from gradflow.errors import GradflowError
from gradflow.experiment.config import Experiment
from gradflow.experiment.config.sections import RecordConfig
from gradflow.experiment.measure.measurement import measure
from gradflow.experiment.measure.plan import Bundle, plan
from gradflow.experiment.measure.setting import build_network

__all__ = ["Price", "pace", "pieces", "predicted", "prices", "share", "split"]

STEP = 1e-5
"""Seconds of overhead of one gate's step, whatever its size, forward and back."""

FLOP = 8e-11
"""Seconds of one multiplication with addition in a matrix product of moderate size."""

ELEMENT = 7e-9
"""Seconds of one element of a gate: its non-linearity, its derivative, its norms."""

DRAWN = 5e-5
"""Seconds of drawing one sequence to learn from."""

PASSES = 3
"""What a step of an update costs over one forward: itself, back, and the parameters' gradients."""

LESSON = 0.1
"""Predicted seconds of the updates by which two pieces of a probe of nets that learn differ: enough
to stand out from drawing the sequences, which both do."""

REPEATS = 2
"""Times that each of these is measured: both draw many more sequences than they read."""

WORTH = 2.0
"""Seconds below which a piece is not worth its own hand-over."""

PIECES = 64
"""Into how many equal parts the work of a sweep should be divisible at least."""


STEPS = (32, 192)
"""Steps of the two pieces of a probe, unless the task needs more: what they differ by is the steps'
own time, not that of drawing weights and inputs."""

PROBES = 6
"""Bundles that are probed at most, the most expensive ones."""

PATIENCE = 4.0
"""Seconds of the processor after which no further one is probed."""


def predicted(bundle: Bundle) -> float:
    """Predict the seconds that measuring a bundle takes on one core.

    Of nets that learn it is the time of all updates and tests; those that learn earlier need fewer.
    """
    overhead, work = _parts(bundle)
    return overhead + work + _learning(bundle)


def pieces(bundles: Sequence[Bundle]) -> tuple[Bundle, ...]:
    """Cut bundles that are large beside the whole along their seeds.

    What is cut depends on the sweep alone, never on how many workers there are, so that these
    cannot change a result even in its last bit. A bundle whose steps are mostly overhead stays
    whole: its seeds share that overhead.
    """
    target = max(WORTH, sum(map(predicted, bundles)) / PIECES)
    return tuple(piece for bundle in bundles for piece in _cut(bundle, target))


def share(bundles: Iterable[Bundle], shard: int, shards: int) -> tuple[Bundle, ...]:
    """Return the bundles of shard 1..`shards`: the longest first, each to the least loaded."""
    loads = [0.0] * shards
    chosen = []
    for bundle in sorted(bundles, key=predicted, reverse=True):
        lightest = loads.index(min(loads))
        loads[lightest] += predicted(bundle)
        if lightest == shard - 1:
            chosen.append(bundle)
    return tuple(chosen)


def split(bundle: Bundle, count: int) -> tuple[Bundle, ...]:
    """Cut a bundle along its seeds into `count` parts, or into as many as it has seeds."""
    seeds = bundle.seeds
    count = min(count, len(seeds))
    bounds = [len(seeds) * part // count for part in range(count + 1)]
    groups = [set(seeds[first:last]) for first, last in itertools.pairwise(bounds)]
    return tuple(
        Bundle(tuple(point for point in bundle.points if point.config.seed in group))
        for group in groups
    )


def _cut(bundle: Bundle, target: float) -> tuple[Bundle, ...]:
    if bundle.learns:  # its nets share every step
        return (bundle,)
    overhead, work = _parts(bundle)
    affordable = int(work / (2 * overhead))
    return split(bundle, max(1, min(affordable, math.ceil((overhead + work) / target))))


def _parts(bundle: Bundle) -> tuple[float, float]:
    """Return the seconds of overhead, paid once, and of work, paid for each seed."""
    lengths, seeds = bundle.lengths, bundle.seeds
    step, gates = _step(bundle)
    sequences = bundle.points[0].config.inputs.sequences or 1  # a file says itself how many
    # One forward for all lengths, a backward for each.
    work = (max(lengths) + sum(lengths)) * sequences * len(seeds) * step
    return max(lengths) * gates * STEP, work


def _learning(bundle: Bundle) -> float:
    """Return the seconds of all updates, of drawing their sequences and of answering test sets."""
    config = bundle.points[0].config
    rules = config.train
    if rules is None:
        return 0.0
    step, gates = _step(bundle)
    length, nets, pool = max(bundle.lengths), len(bundle.seeds), rules.pool or 0
    updates = rules.updates * length * (gates * STEP + PASSES * rules.batch * nets * step)
    chunk = -(-CHUNK // rules.batch)  # updates whose sequences are drawn at a time
    drawn = nets * (pool or -(-rules.updates // chunk) * chunk * rules.batch) * DRAWN
    until = rules.criterion(config.inputs.task)
    if until is None or until.test is None:
        return updates + drawn
    asked = until.test + pool
    test = length * (-(-asked // CHUNK) * gates * STEP + asked * nets * step)
    return updates + drawn + rules.updates // until.every * test


def _step(bundle: Bundle) -> tuple[float, int]:
    """Return the seconds of one step of a sequence in one direction of time, and the gates."""
    net = bundle.points[0].config.model.build(1)
    step, gates = 0.0, 0
    for layer, _ in net.places():
        cell = net.layers[layer].cell
        parameters = cell.parameters(1).values()
        products = sum(math.prod(one.shape) for one in parameters if one.role == "recurrent")
        step += FLOP * products + ELEMENT * len(cell.gates) * cell.hidden
        gates += len(cell.gates)
    return step, gates


def pace(bundles: Sequence[Bundle]) -> float:
    """Return measured over predicted seconds of short pieces of the most expensive bundles.

    The median of a few; 1 where nothing can be measured. Takes well under a second in all for nets
    of ordinary size, a few where nets learn.
    """
    ratios: list[float] = []
    start = time.process_time()
    with threadpoolctl.threadpool_limits(1):
        for bundle in sorted(bundles, key=predicted, reverse=True)[:PROBES]:
            if time.process_time() - start > PATIENCE:
                break
            if bundle.learns:
                short, longer = _taught(bundle, 2), _taught(bundle, 2 + _lesson(bundle))
            else:
                short, longer = (_shortened(bundle, steps) for steps in STEPS)
            try:
                measure(short)
                took = _timed(longer) - _timed(short)
            except GradflowError:
                continue
            ratios.append(max(took, 0.0) / (predicted(longer) - predicted(short)))
    return statistics.median(ratios) if ratios else 1.0


def _timed(bundle: Bundle) -> float:
    """Return the processor's seconds, the least of a few: what else it does is not to count."""
    took = []
    for _ in range(REPEATS if bundle.learns else 1):
        start = time.process_time()
        measure(bundle)
        took.append(time.process_time() - start)
    return min(took)


def _lesson(bundle: Bundle) -> int:
    """Return the updates of `LESSON` seconds, sixty at most."""
    update = predicted(_taught(bundle, 2)) - predicted(_taught(bundle, 1))
    return min(math.ceil(LESSON / update), 60)


def _taught(bundle: Bundle, updates: int) -> Bundle:
    """Return the bundle with so few updates."""
    rules = bundle.points[0].config.train
    assert rules is not None
    watch = rules.watch.model_copy(update={"every": updates})
    changes = {"updates": updates, "until": "never", "watch": watch}
    train = rules.model_copy(update=changes)
    points = (
        replace(p, config=p.config.model_copy(update={"train": train})) for p in bundle.points
    )
    return Bundle(tuple(points))


def _shortened(bundle: Bundle, steps: int) -> Bundle:
    """Return the bundle's first seeds at one short length, norms alone."""
    config = bundle.points[0].config
    steps += config.inputs.task.shortest
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
        key = (config.model, config.inputs.task.features, config.inputs.sequences, config.dtype)
        if key not in longest or config.length > longest[key].length:
            longest[key] = config
    found = []
    for config in longest.values():
        net = build_network(config, config.inputs.task.features)
        columns, kind = config.inputs.sequences or 1, np.dtype(config.dtype)
        cell = net.layers[0].cell
        forward, backward = step_seconds(cell, net.inputs, columns, dtype=kind)
        found.append(
            Price(
                cell=net.label,
                hidden=cell.hidden,
                layers=len(net.layers),
                sequences=columns,
                length=config.length,
                parameters=net.size,
                counted=step_cost(cell, net.inputs, columns, kind),
                forward=forward,
                backward=backward,
                path=critical_path(net, config.length),
            )
        )
    return found
