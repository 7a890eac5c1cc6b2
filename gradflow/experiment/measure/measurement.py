"""A bundle of points measured: a pure function of their configuration."""

from __future__ import annotations

import numpy as np

from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Footprint, Schedule, Work
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.quantity import Result
from gradflow.core.record import Norms, recorded_steps
from gradflow.errors import UserError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.measure import recordings as extras
from gradflow.experiment.measure.plan import Bundle
from gradflow.experiment.measure.recordings import Recorder
from gradflow.experiment.measure.setting import Setting, network, prepare

__all__ = ["footprint", "measure"]


def measure(bundle: Bundle, *, input_noise: float = 0.0) -> list[Result]:
    """Measure the points of a bundle, which share everything but seed and length.

    Parameters
    ----------
    bundle : Bundle
        The points.
    input_noise : float
        Relative Gaussian noise on the inputs, to see how sensitive the result is.

    Returns
    -------
    list of Result
        One for each point, in the bundle's order.

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
    setting = prepare(config, seeds, max(lengths), input_noise)
    record, net, loss = config.record, setting.net, setting.loss
    if config.method == "rtrl":
        return _forward_in_time(bundle, setting)
    sizes = (lengths, len(seeds), setting.x.shape[-1])
    observers: list[Recorder] = [
        Norms(net, *sizes, record.states, record.every),
        *extras.recorders(record, net, *sizes),
    ]
    backpropagate(net, setting.weights, setting.x, loss, lengths, observers, schedule)
    later: dict[int, list[Result]] = {}
    if extras.wanted(record):
        from gradflow.experiment.measure.analyses import (
            analyse,  # costs its import where it is asked for
        )

        later = {n: analyse(record, setting, n, len(seeds), schedule) for n in lengths}
    results: list[Result] = []
    for point in bundle.points:
        seed, length = seeds.index(point.config.seed), point.config.length
        result = dict(later[length][seed]) if later else {}
        for observer in observers:
            result |= observer.quantities(seed, length, loss)
        results.append(result)
    return results


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
        )
        for length in bundle.lengths
    }
    return [
        each[point.config.length].quantities(
            seeds.index(point.config.seed), point.config.length, setting.loss
        )
        for point in bundle.points
    ]


def footprint(bundle: Bundle) -> tuple[Schedule, Footprint]:
    """Plan a bundle's memory: its schedule, and the bytes it will take.

    Raises
    ------
    UserError
        If even the smallest schedule exceeds the budget; says how many bytes are needed.
    """
    config = bundle.points[0].config
    net, columns = network(config, config.inputs.features), config.inputs.sequences or 1
    record = config.record
    recorded = sum(len(recorded_steps(n, record.every)) for n in bundle.lengths)
    recorded = recorded * len(record.states) + extras.numbers(record, net, bundle.lengths)
    work = Work(
        net=net,
        nets=len(bundle.seeds),
        columns=columns,
        lengths=tuple(bundle.lengths),
        records=recorded,
        dtype=np.dtype(config.dtype),
        keep=Keep.LOCAL | _kept(config),
    )
    schedule = work.schedule(config.memory)
    needed = work.footprint(schedule)
    if config.method == "rtrl":
        from gradflow.core.analyses.rtrl import bytes_needed

        longest = len(recorded_steps(max(bundle.lengths), record.every))
        sizes = (net, work.nets, columns, longest, work.dtype)
        needed = Footprint(needed.fixed, bytes_needed(*sizes, parameters=False), 0)
    if needed.peak > config.memory:
        raise UserError(
            f"{net.cell.label} at length {max(bundle.lengths):,} needs {needed.peak:,} bytes, the "
            f"memory budget is {config.memory:,}\n"
            "  expected: a point that fits, checkpoints in place of tapes included\n"
            "  fix: raise `memory`, or record fewer steps (`record.every`), sequences or seeds"
        )
    return schedule, needed


def _kept(config: PointConfig) -> Keep:
    """What is left of every step beside the local derivatives."""
    kept = extras.needs(config.record) | Loss(config.loss.kind).needs
    return kept | Keep.COTANGENTS if "x" in config.record.states else kept
