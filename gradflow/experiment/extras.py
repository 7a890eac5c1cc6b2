"""What is recorded beyond the norms, each only where an experiment asks for it.

A kind of record is asked for by its name under ``record`` and is defined on some cells only: a
vanilla RNN has no carrousel and no gates. In a sweep over cells it is kept of those that have it;
it is a mistake where none has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from gradflow.core.bptt import backpropagate
from gradflow.core.cells.specimen import carrousel_of, gates_of
from gradflow.core.losses import Loss
from gradflow.core.network import Network
from gradflow.core.observe import Observer
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import Contributions, FlowMap, Gates, Paths, recorded_steps
from gradflow.core.schedule import Schedule
from gradflow.core.spectrum import condition, participation, spectrum
from gradflow.errors import UserError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.config.models import RecordConfig
from gradflow.experiment.setting import Setting

__all__ = ["Recorder", "after", "check", "numbers", "recorders"]


class Recorder(Observer, Protocol):
    """An observer that fills a part of a stored result."""

    def quantities(self, net: int, length: int, loss: Loss) -> Result:
        """What was recorded of one of the nets at one of the lengths."""


def _has_carrousel(net: Network) -> None:
    carrousel_of(net.cell)


def _has_gates(net: Network) -> None:
    gates_of(net.cell)


def _anything(net: Network) -> None:
    """No condition."""


def _one_direction(net: Network) -> None:
    if net.bidirectional:
        raise ValueError(
            "a bidirectional net has no spectrum: no state at one step decides all that follow"
        )


CONDITIONS: dict[str, Callable[[Network], None]] = {
    "paths": _has_carrousel,
    "contributions": _anything,
    "gates": _has_gates,
    "flow_map": _anything,
    "spectrum": _one_direction,
}
"""Raise ValueError where a kind of record is not defined on a network."""

OBSERVERS = {"paths": Paths, "contributions": Contributions, "gates": Gates}

SPECTRA = 24
"""Steps at most whose singular values are kept, about evenly over the logarithm of the lag."""


def wanted(record: RecordConfig) -> list[str]:
    """Names of what an experiment asks for beyond norms."""
    return [name for name in CONDITIONS if getattr(record, name)]


def lacking(record: RecordConfig, net: Network) -> dict[str, str]:
    """What is asked for but not defined on a network, and why."""
    found = {}
    for name in wanted(record):
        try:
            CONDITIONS[name](net)
        except ValueError as error:
            found[name] = str(error)
    return found


def check(record: RecordConfig, configs: Iterable[PointConfig]) -> None:
    """Raise UserError where something is asked for that no network of an experiment has."""
    if not wanted(record):
        return
    models = {config.model for config in configs}
    nets = [Network(m.build_cell(), 1, bidirectional=m.bidirectional) for m in models]
    reasons = [lacking(record, net) for net in nets]
    for name in wanted(record):
        if all(name in each for each in reasons):
            raise UserError(
                f"record.{name}: {reasons[0][name]}\n"
                "  expected: at least one network of the experiment that it is defined on\n"
                f"  fix: remove record.{name}, or choose another cell"
            )


def recorders(
    record: RecordConfig, net: Network, lengths: Sequence[int], nets: int, columns: int
) -> list[Recorder]:
    """Make the observers that look on beside the norms."""
    missing = lacking(record, net)
    return [
        OBSERVERS[name](net, lengths, nets, columns, record.every)
        for name in wanted(record)
        if name in OBSERVERS and name not in missing
    ]


def numbers(record: RecordConfig, net: Network, lengths: Sequence[int]) -> int:
    """Count what is recorded beyond norms for each sequence, layer and direction."""
    steps = [len(recorded_steps(length, record.every)) for length in lengths]
    gates = len(net.cell.gates)
    each = {"paths": 4, "contributions": 2 * gates, "gates": 3 * gates}
    count = sum(sum(steps) * each.get(name, 0) for name in wanted(record))
    if record.flow_map:
        count += sum(n * n * len(record.states) for n in steps)
    return count


def after(
    record: RecordConfig, setting: Setting, length: int, nets: int, schedule: Schedule
) -> list[Result]:
    """Measure what needs passes of its own, for one length; a result for each net."""
    missing = lacking(record, setting.net)
    results: list[Result] = [{} for _ in range(nets)]
    if record.flow_map:
        flow = FlowMap(setting.net, length, nets, setting.x.shape[-1], record.states, record.every)
        x, loss = setting.x[:length], setting.loss
        backpropagate(
            setting.net, setting.weights, x, loss, flow.lengths, [flow], schedule, at=flow.at
        )
        for net, result in enumerate(results):
            result |= flow.quantities(net, length, loss)
    if record.spectrum and "spectrum" not in missing:
        for result, found in zip(results, _spectra(setting, length, nets), strict=True):
            result |= found
    return results


def _spectra(setting: Setting, length: int, nets: int) -> list[Result]:
    steps = recorded_steps(length, "log")
    steps = steps[np.unique(np.linspace(0, len(steps) - 1, SPECTRA).round().astype(int))]
    steps = steps[steps < length]
    whole = spectrum(setting.net, setting.weights, setting.x[:length], [int(k) for k in steps])
    at = {"step": whole.steps, "lag": length - whole.steps}
    results = []
    for net in range(nets):
        logs = whole.log10_singular[net]
        made = [
            Quantity("singular", ("sequence", "step", "vector"), logs, at),
            Quantity("condition", ("sequence", "step"), condition(logs), at),
            Quantity("participation", ("sequence", "step"), participation(logs), at, "directions"),
        ]
        for name, values in (
            ("lyapunov", whole.exponents.decades[net]),
            ("lyapunov_error", whole.exponents.error[net]),
        ):
            made.append(Quantity(name, ("sequence", "vector"), values, {}, "decades/step"))
        results.append({quantity.name: quantity for quantity in made})
    return results
