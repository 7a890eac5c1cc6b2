"""A bundle of points measured: a pure function of their configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gradflow.core.engine.schedule import Footprint, Schedule, Work
from gradflow.core.engine.tape import Keep
from gradflow.core.learning.feed import CHUNK
from gradflow.core.network.losses import Sum
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Result
from gradflow.core.record import Norms
from gradflow.errors import NumericalError, UserError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.config.train import TrainConfig, watched
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.measure.setting import build_network, prepare, recorded
from gradflow.experiment.recordings import Recorder, Recording, Scope, Setting
from gradflow.experiment.recordings.along import last_alone, last_forward_in_time, passes
from gradflow.experiment.store.manifest import WEIGHTS
from gradflow.experiment.store.names import net_name

__all__ = ["footprint", "measure", "scratch", "weights_files"]

ENCODED = 2
"""How often a recorded number is held: filled in, and copied into its results."""


def measure(bundle: Bundle, *, noise: float = 0.0, twin: int = 0) -> list[Result | NumericalError]:
    """Measure the points of a bundle, which share everything but seed and length.

    Parameters
    ----------
    bundle : Bundle
        The points.
    noise, twin : float, int
        Relative Gaussian noise on inputs and weights, and which draw of it.

    Returns
    -------
    list of Result or NumericalError
        One for each point, in its order; an error for a net that diverged while it learned.

    Raises
    ------
    NumericalError
        If a state or an adjoint becomes NaN or infinite.
    UserError
        If inputs or weights cannot be had as configured, or do not fit into the memory budget.
    """
    config = bundle.points[0].config
    seeds, lengths = bundle.seeds, bundle.lengths
    schedule, _ = footprint(bundle)
    setting = prepare(config, seeds, max(lengths), noise, twin)
    if config.method == "rtrl":
        return list(_forward_in_time(bundle, setting))
    scope = _scope(bundle, setting.net, setting.x.shape[-1])
    taught: list[Result] = [{} for _ in seeds]
    failures: dict[int, NumericalError] = {}
    if config.train is not None:
        from gradflow.experiment.measure.training import train, write_net

        done = train(config, seeds, max(lengths), setting, scope, scratch(bundle))
        for seed, path in weights_files(bundle).items():
            if (net_at := seeds.index(seed)) not in done.failures:
                write_net(path, done, net_at)
        setting, taught, failures = done.setting, done.results, done.failures
    asked = recorded(config.record, setting.net)
    looking = [observer for one in asked if (observer := one.observer(scope)) is not None]
    observers: list[Recorder] = [Norms(scope, scope.states), *looking]
    setting.backpropagate(lengths, observers, schedule)
    alone = last_alone(scope, setting, schedule, len(seeds))
    own = {
        length: [one.analyse(each, setting, schedule) for one in asked]
        for length, each in zip(lengths, scope.each(), strict=True)
    }

    def result_of(seed: int, length: int) -> Result:
        result = dict(taught[seed])
        for observer in observers:
            result |= observer.quantities(seed, length)
        result |= alone[length][seed] if alone else {}
        for found in own[length]:
            result |= found[seed] if found else {}
        return result

    each = [(seeds.index(point.config.seed), point.config.length) for point in bundle.points]
    return [failures.get(seed) or result_of(seed, length) for seed, length in each]


def scratch(bundle: Bundle) -> Path | None:
    """Where the state of nets that learn is kept until they have."""
    if not bundle.scratch:
        return None
    codes = [dict(point.told.code) if point.told else {} for point in bundle.points]
    what = repr([codes, *(point.hash for point in bundle.points)])
    return Path(bundle.scratch) / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz"


def weights_files(bundle: Bundle) -> dict[int, Path]:
    """Where the weights of nets that learn are kept, by seed; nowhere for a run in memory."""
    if not bundle.scratch:
        return {}
    place = Path(bundle.scratch).parent / WEIGHTS
    return {p.config.seed: place / net_name(p.axes, p.hash) for p in bundle.points}


def _scope(bundle: Bundle, net: Network, columns: int) -> Scope:
    config = bundle.points[0].config
    reads = config.loss.head is not None or bool(config.loss.compares)
    return Scope(
        net,
        Sum(at=config.loss.at, of=config.loss.of),  # any loss: it is asked where it looks alone
        bundle.lengths,
        len(bundle.seeds),
        columns,
        config.record.every,
        own_lengths=config.inputs.own_lengths(max(bundle.lengths)),
        states=config.record.states,
        dtype=np.dtype(config.dtype),
        reads=reads,
    )


def _forward_in_time(bundle: Bundle, setting: Setting) -> list[Result]:
    """The same norms by real-time recurrent learning, length by length."""
    from gradflow.core.analyses.rtrl import Sensitivities, rtrl

    record, seeds = bundle.points[0].config.record, bundle.seeds
    each: dict[int, Sensitivities] = {
        length: rtrl(
            setting.net,
            setting.weights,
            setting.x,
            setting.loss,
            length,
            states=record.states,
            every=record.every,
            parameters=False,
            initial=setting.initial,
        )
        for length in bundle.lengths
    }
    scope = _scope(bundle, setting.net, setting.x.shape[-1])
    alone = last_forward_in_time(setting, scope, len(seeds))
    results: list[Result] = []
    for point in bundle.points:
        seed, length = seeds.index(point.config.seed), point.config.length
        own = alone[length][seed] if length in alone else {}
        results.append(each[length].quantities(seed, length) | own)
    return results


def footprint(bundle: Bundle) -> tuple[Schedule, Footprint]:
    """Plan a bundle's memory: its schedule, and the bytes it will take.

    Raises
    ------
    UserError
        If even the smallest schedule exceeds the budget; says how many bytes are needed.
    """
    config = bundle.points[0].config
    net, columns = build_network(config, config.inputs.task.features), config.inputs.sequences or 1
    scope = _scope(bundle, net, columns)
    asked = recorded(config.record, net)
    alone = passes(scope.loss, net, scope.lengths, scope.own_lengths)
    work = Work(
        net=net,
        nets=scope.nets,
        columns=columns,
        lengths=tuple(scope.lengths),
        records=scope.recorded * len(scope.states) * (1 + len(alone)),
        dtype=scope.dtype,
        keep=_kept(config, asked),
    )
    results = ENCODED * 8 * sum(one.numbers(scope) for one in asked)
    schedule = work.schedule(config.memory - results)
    needed = work.footprint(schedule)
    if results + needed.fixed > config.memory:
        needed = replace(needed, fixed=results + needed.fixed)  # beyond help: nothing is counted
    elif config.method != "rtrl":
        needed = _with(needed, scope, asked, results, schedule)
    else:
        from gradflow.core.analyses.rtrl import bytes_needed

        longest = scope.count(max(bundle.lengths))
        sizes = (net, work.nets, columns, longest, work.dtype)
        needed = Footprint(needed.fixed, bytes_needed(*sizes, parameters=False), 0)
    fewer = "record fewer steps (`record.every`), sequences or seeds"
    if config.train is not None:
        taught = _taught(config.train, work, columns)
        if taught.peak > needed.peak:
            needed, fewer = taught, "learn from fewer sequences at a time (`train.batch`) or seeds"
    if needed.peak > config.memory:
        raise UserError(
            f"{net.label} at length {max(bundle.lengths):,} needs {needed.peak:,} bytes, the "
            f"memory budget is {config.memory:,}\n"
            "  expected: a point that fits, checkpoints in place of tapes included\n"
            f"  fix: raise `memory`, or {fewer}"
        )
    return schedule, needed


def _taught(rules: TrainConfig, work: Work, sequences: int) -> Footprint:
    """Bytes that learning takes: whole tapes of a batch, sequences drawn ahead, and the windows."""
    keep = Keep.STATES | Keep.LOCAL | Keep.CACHES
    steps, net = max(work.lengths), work.net
    whole = replace(work, columns=rules.batch, records=0, dtype=np.dtype(float), keep=keep)
    taken = whole.footprint(Schedule(steps))
    ahead = 2 * 8 * work.nets * steps * net.inputs * max(CHUNK, rules.batch)
    seen = work.records * len([*net.places()]) * min(rules.watch.sequences, sequences)
    windows = len(watched(rules.updates, rules.watch.every))
    kept = 8 * work.nets * windows * (net.size + seen)
    return replace(taken, fixed=taken.fixed + ahead + kept)


def _with(
    needed: Footprint,
    scope: Scope,
    asked: Sequence[Recording],
    results: int,
    schedule: Schedule,
) -> Footprint:
    """Add what recordings take: results stay, the rest goes with the pass that it belongs to."""
    beside = sum(one.beside(scope, schedule) for one in asked)
    alone = [one.alone(each, schedule) for one in asked for each in scope.each()]
    block = max([needed.block + beside, *(taken - needed.tapes for taken in alone)])
    return Footprint(needed.fixed + results, needed.tapes, block)


def _kept(config: PointConfig, asked: Sequence[Recording]) -> Keep:
    """What is left of every step."""
    linear = config.loss.core.linear
    kept = Keep.LOCAL if linear else Keep.LOCAL | Keep.STATES
    for one in asked:
        kept |= one.needs
    return kept | Keep.COTANGENTS if "x" in config.record.states else kept
