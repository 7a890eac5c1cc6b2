"""What a configuration describes, as arrays: the network, its weights, the inputs and the loss.

A recording is defined on some cells only: a vanilla RNN has no carrousel and no gates. In a sweep
over cells it is kept of those that have it; it is a mistake where none has. A method has to be
defined on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.cells.carrousel_only import CarrouselOnly
from gradflow.core.inputs import Batch
from gradflow.core.network.initialise import draw_parameters
from gradflow.core.network.losses import Loss
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.random import stream
from gradflow.core.typing import Array, DType
from gradflow.errors import UserError
from gradflow.experiment.config import ModelConfig, PointConfig
from gradflow.experiment.config.sections import RecordConfig
from gradflow.experiment.config.text.mistakes import choices
from gradflow.experiment.data import sources
from gradflow.experiment.models import weights
from gradflow.experiment.models.companions import read_answers, read_states
from gradflow.experiment.recordings import Recording, Setting
from gradflow.experiment.recordings.along import KeptRecording

__all__ = ["build_network", "check_defined", "prepare", "recorded", "undefined"]


def prepare(
    config: PointConfig, seeds: Sequence[int], length: int, noise: float = 0.0, twin: int = 0
) -> Setting:
    """Draw or read what a configuration describes: the nets of all seeds side by side.

    Parameters
    ----------
    config : PointConfig
        The configuration, its own seed and length left aside.
    seeds : sequence of int
        One net for each.
    length : int
        Steps of the inputs.
    noise : float
        Relative Gaussian noise on inputs and weights.
    twin : int
        Which draw of the noise.
    """
    dtype = np.dtype(config.dtype)
    batch = sources.load_inputs(config.inputs, length, config.inputs.seed)
    x = batch.x
    net = build_network(config, x.shape[2])
    loss = _loss(net, config, batch, seeds, dtype)
    drawn = _weights(net, config, seeds, dtype)
    if noise:
        random = stream(config.inputs.seed, "noise", twin)
        x = _shaken(x, noise, random)
        drawn = tuple(
            tuple({name: _shaken(a, noise, random) for name, a in p.items()} for p in layer)
            for layer in drawn
        )
    return Setting(
        net,
        drawn,
        x.astype(dtype, copy=False),
        loss,
        _initial(net, config, x.shape[-1]),
        batch.lengths,
    )


def _shaken(a: Array, noise: float, random: np.random.Generator) -> Array:
    return (a * (1 + noise * random.standard_normal(a.shape))).astype(a.dtype, copy=False)


def build_network(config: PointConfig, features: int) -> Network:
    """Make the network of a configuration for inputs of so many features."""
    net = config.model.build(features)
    return net.of_cells(CarrouselOnly.of) if config.method == "carrousel" else net


def _weights(net: Network, config: PointConfig, seeds: Sequence[int], dtype: DType) -> Weights:
    model = config.model
    if model.weights is not None:
        imported = _imported(model)
        return tuple(
            tuple(
                {name: np.repeat(a, len(seeds), axis=0).astype(dtype) for name, a in p.items()}
                for p in layer
            )
            for layer in imported.weights
        )
    init = config.init.build()

    def side_by_side(layer: int, direction: str) -> dict[str, Array]:
        cell, inputs = net.layers[layer].cell, net.features(layer)
        each = [
            draw_parameters(cell, inputs, init, seed, layer, direction, dtype) for seed in seeds
        ]
        return {name: np.stack([p[name] for p in each]) for name in each[0]}

    return tuple(
        tuple(side_by_side(index, direction) for direction in layer.directions)
        for index, layer in enumerate(net.layers)
    )


def _imported(model: ModelConfig) -> weights.Imported:
    """The net of the weights' file, which is read once."""
    assert model.weights is not None
    return weights.read_weights(
        model.weights, kind=model.cell.kind, options=model.asked, names=model.names
    )


def _loss(
    net: Network, config: PointConfig, batch: Batch, seeds: Sequence[int], dtype: DType
) -> Loss:
    """The loss with its targets, its readout, and what it draws for itself."""
    kind, width = config.loss.core, net.width(config.loss.of)
    steps, columns = len(batch.x), batch.x.shape[-1]
    found = read_answers(config.loss, config.model.weights, net, steps, columns, batch.lengths)
    outputs = found.outputs or (batch.outputs if config.loss.compares else width)
    own: dict[str, Any] = dict(kind.drawn(outputs, columns, seeds, dtype))
    if kind.compares != "nothing":
        own["targets"] = batch.targets if found.targets is None else found.targets
    if found.head is not None:
        _fitting(config, batch, outputs)
        V, b = found.head
        same = np.ones((len(seeds), 1, 1), dtype)
        b = None if b is None else same * b.astype(dtype)[:, None]
        own["readout"] = Readout(same * V.astype(dtype), b)
    elif config.loss.compares:
        own["readout"] = Readout.draw(outputs, width, seeds, dtype)
    return config.loss.build(**own)


def _fitting(config: PointConfig, batch: Batch, outputs: int) -> None:
    """Refuse a head that gives other than the inputs' own targets are."""
    lacking = (
        batch.outputs > outputs if batch.target_kind == "classes" else batch.outputs != outputs
    )
    if config.loss.compares and config.loss.targets is None and lacking:
        raise UserError(
            f"loss.head: {config.loss.head} gives {outputs} outputs, the targets of the inputs "
            f"have {batch.outputs}\n  fix: name targets of the head in loss.targets"
        )


def _initial(net: Network, config: PointConfig, sequences: int) -> States | None:
    """s_0 as it is given."""
    model = config.model
    if model.state is not None:
        return read_states(Path(model.state), net, sequences)
    return None if model.weights is None else _imported(model).initial


EXPLAINED = ("gates", "paths", "theory")
"""Recordings beside which stands what the carrousel keeps, for the sentences about them."""


def _anywhere(net: Network) -> None:
    """No condition."""


def _forward_only(net: Network) -> None:
    if net.bidirectional:
        raise ValueError("truncated BPTT and RTRL follow a stream forward, in one direction")


METHODS: dict[str, Callable[[Network], object]] = {
    "bptt": _anywhere,
    "rtrl": _forward_only,
    "carrousel": lambda net: net.of_cells(CarrouselOnly.of),
}
"""Raise ValueError where an engine is not defined on a network."""


def undefined(record: RecordConfig, net: Network) -> dict[str, str]:
    """Name what is asked for but not defined on a network, and say why."""
    each = {recording.name: _why_not(recording, net) for recording in record.asked}
    return {name: why for name, why in each.items() if why}


def recorded(record: RecordConfig, net: Network) -> list[Recording]:
    """Return what is asked for and defined on a network, with what explains it."""
    asked: list[Recording] = [*record.asked]
    if any(recording.name in EXPLAINED for recording in asked):
        asked.append(KeptRecording())
    return [recording for recording in asked if not _why_not(recording, net)]


def _why_not(recording: Recording, net: Network) -> str:
    try:
        recording.check(net)
    except ValueError as error:
        return str(error)
    return ""


def check_defined(configs: Iterable[PointConfig]) -> None:
    """Raise UserError where the points of an experiment ask for what their networks do not have."""
    configs = list(configs)
    _check_states(configs)
    _check_lengths(configs)
    seen = {(c.method, c.model): c.record for c in configs if c.method != "bptt" or c.record.asked}
    reasons: dict[str, list[str]] = {}
    for (method, model), record in seen.items():
        net = model.build(1)
        try:
            METHODS[method](net)
        except ValueError as error:
            raise UserError(f"method: {method}: {error}\n  fix: method: bptt") from None
        missing = undefined(record, net)
        if method == "rtrl":
            why = "RTRL has no way back on which to record it"
            missing = {recording.name: why for recording in record.asked}
        for name in missing:
            reasons.setdefault(name, []).append(missing[name])
    for name, each in reasons.items():
        if len(each) == len(seen):
            forward = any(method == "rtrl" for method, _ in seen)
            other = "set method: bptt" if forward else "choose another network"
            raise UserError(
                f"record.{name}: {each[0]}\n"
                "  expected: at least one network of the experiment that it is defined on\n"
                f"  fix: remove record.{name}, or {other}"
            )


def _check_lengths(configs: Sequence[PointConfig]) -> None:
    """Raise UserError where what asks for sequences that end together would not get them."""
    for config in configs:
        if config.inputs.own_lengths(config.length) is None:
            continue
        asked = [f"record.{one.name}" for one in config.record.asked if one.together]
        asked += ["method: rtrl"] if config.method == "rtrl" else []
        if asked:
            raise UserError(
                f"{asked[0]}: it follows sequences that end together, and those of the inputs have "
                "lengths of their own\n"
                f"  fix: remove {asked[0]}, or cut the sequences to one length"
            )


def _check_states(configs: Sequence[PointConfig]) -> None:
    """Raise UserError where no network has a state that was asked for; ``c`` may be one of many."""
    nets = {c.model: c.record.states for c in configs}
    asked = dict.fromkeys(state for states in nets.values() for state in states)
    if not nets or (asked.keys() <= {"h", "c", "s", "x"} and len(asked) > 1):
        return
    built = [model.build(1) for model in nets]
    known = dict.fromkeys(part for net in built for part in (*net.parts, "s", "x"))
    for state in asked:
        if state not in known:
            raise UserError(
                f"record.states: {built[0].label} has no {state}\n"
                f"  expected: what some network of the experiment has: {choices(known)}\n"
                f"  fix: remove {state} from record.states, or choose another cell"
            )
