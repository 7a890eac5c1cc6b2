"""What needs computations of its own beside the passes back, for one length at a time."""

from __future__ import annotations

import numpy as np

from gradflow.core.analyses.readout_conflict import readout
from gradflow.core.analyses.spectrum import condition, participation, spectrum
from gradflow.core.analyses.truncated import bias
from gradflow.core.cost.step import cost, critical_path
from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.schedule import Schedule
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import FlowMap, recorded_steps
from gradflow.core.theory import predict
from gradflow.experiment.config.models import RecordConfig
from gradflow.experiment.measure.recordings import lacking
from gradflow.experiment.measure.setting import Setting

__all__ = ["analyse"]

SPECTRA = 24
"""Steps at most whose singular values are kept, about evenly over the logarithm of the lag."""


def analyse(
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
    if record.contributions and setting.loss.sees_outputs:
        read = readout(
            setting.net, setting.weights, setting.x[:length], setting.loss, length, schedule
        )
        for result, found in zip(results, read, strict=True):
            result |= found
    for name, measure in LATER.items():
        if getattr(record, name) and name not in missing:
            for result, found in zip(results, measure(record, setting, length, nets), strict=True):
                result |= found
    return results


def _truncation(record: RecordConfig, setting: Setting, length: int, nets: int) -> list[Result]:
    asked = record.truncation
    assert asked is not None
    block = Schedule(min(64, length))
    return bias(
        setting.net,
        setting.weights,
        setting.x,
        setting.loss,
        length,
        asked.k1,
        asked.k2,
        block,
        every=record.every,
    )


def _theory(record: RecordConfig, setting: Setting, length: int, nets: int) -> list[Result]:
    """Predictions for each net under its first sequence."""
    results: list[Result] = []
    for net in range(nets):
        own = tuple(
            tuple({name: a[net : net + 1] for name, a in p.items()} for p in layer)
            for layer in setting.weights
        )
        found = predict(setting.net, own, setting.x[:length, :1, :, :1].astype(np.float64))
        coords = {
            "prediction": np.array([p.name for p in found]),
            **{
                name: np.array([getattr(p, name) for p in found])
                for name in ("kind", "applies", "error", "note", "source")
            },
        }
        rates = np.array([p.rate for p in found])
        quantity = Quantity("theory_rate", ("prediction",), rates, coords, "decades/step")
        results.append({"theory_rate": quantity})
    return results


def _spectra(record: RecordConfig, setting: Setting, length: int, nets: int) -> list[Result]:
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


def _cost(record: RecordConfig, setting: Setting, length: int, nets: int) -> list[Result]:
    """What a step of the bottom layer costs for all sequences of one net."""
    net, x = setting.net, setting.x
    each = cost(net.cell, net.inputs, x.shape[-1], x.dtype)
    forward, backward = critical_path(net, length)
    counts = {
        "parameters": net.size,
        "flops forward": each.forward.flops,
        "flops backward": each.backward.flops,
        "bytes forward": each.forward.traffic,
        "bytes backward": each.backward.traffic,
        "bytes kept": each.tape,
        "sequential forward": forward,
        "sequential backward": backward,
    }
    values = np.array(list(counts.values()), float)
    coords = {"count": np.array(list(counts))}
    return [{"cost": Quantity("cost", ("count",), values, coords, "1")} for _ in range(nets)]


LATER = {"cost": _cost, "spectrum": _spectra, "theory": _theory, "truncation": _truncation}
"""What is computed for each length, beside the passes back."""
