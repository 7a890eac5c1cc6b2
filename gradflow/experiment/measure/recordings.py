"""What is recorded beyond the norms, each only where an experiment asks for it.

A kind of record is asked for by its name under ``record`` and is defined on some cells only: a
vanilla RNN has no carrousel and no gates. In a sweep over cells it is kept of those that have it;
it is a mistake where none has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from gradflow.core.cells.specimen import carrousel_of, gates_of
from gradflow.core.engine.observe import Observer
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Result
from gradflow.core.record import Contributions, Gates, Paths, recorded_steps
from gradflow.errors import UserError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.config.models import RecordConfig

__all__ = ["Recorder", "check", "lacking", "needs", "numbers", "recorders", "wanted"]


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


def _single(net: Network) -> None:
    if net.layers > 1 or net.bidirectional:
        raise ValueError("theory knows nets of one layer in one direction only")


def _forward_only(net: Network) -> None:
    if net.bidirectional:
        raise ValueError("truncated BPTT and RTRL follow a stream forward, in one direction")


CONDITIONS: dict[str, Callable[[Network], None]] = {
    "paths": _has_carrousel,
    "contributions": _anything,
    "gates": _has_gates,
    "flow_map": _anything,
    "spectrum": _one_direction,
    "theory": _single,
    "cost": _anything,
    "truncation": _forward_only,
}
"""Raise ValueError where a kind of record is not defined on a network."""

METHODS: dict[str, Callable[[Network], None]] = {
    "bptt": _anything,
    "rtrl": _forward_only,
    "carrousel": _has_carrousel,
}
"""The same for the engines."""

OBSERVERS: dict[str, type[Paths | Contributions | Gates]] = {
    "paths": Paths,
    "contributions": Contributions,
    "gates": Gates,
}


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


def check(configs: Iterable[PointConfig]) -> None:
    """Raise UserError where the points of an experiment ask for what their networks do not have.

    A method has to be defined on all of them; a record on at least one.
    """
    seen = {
        (c.method, c.model): c.record for c in configs if c.method != "bptt" or wanted(c.record)
    }
    reasons: dict[str, list[str]] = {}
    for (method, model), record in seen.items():
        net = Network(model.build_cell(), 1, model.layers, model.bidirectional)
        try:
            METHODS[method](net)
        except ValueError as error:
            raise UserError(f"method: {method}: {error}\n  fix: method: bptt") from None
        missing = lacking(record, net)
        if method == "rtrl":
            missing = dict.fromkeys(wanted(record), "RTRL has no way back on which to record it")
        for name in missing:
            reasons.setdefault(name, []).append(missing[name])
    for name, each in reasons.items():
        if len(each) == len(seen):
            raise UserError(
                f"record.{name}: {each[0]}\n"
                "  expected: at least one network of the experiment that it is defined on\n"
                f"  fix: remove record.{name}, or choose another cell"
            )


def needs(record: RecordConfig) -> Keep:
    """What the tapes must hold for it."""
    kept = Keep.NOTHING
    for name in wanted(record):
        kept |= OBSERVERS[name].needs if name in OBSERVERS else Keep.NOTHING
    return kept


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
