"""Recordings that need passes of their own, for one length at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.engine.schedule import Schedule
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Quantity, Result
from gradflow.core.record import recorded_steps
from gradflow.core.registry import option
from gradflow.core.typing import Array
from gradflow.errors import OptionError
from gradflow.experiment.recordings.recording import Recording, Scope, Setting

__all__ = ["CostRecording", "SpectrumRecording", "TheoryRecording", "TruncationRecording"]

SPECTRA = 24
"""Steps at most whose singular values are kept, about evenly over the logarithm of the lag."""

THEORY = ("kind", "applies", "error", "note", "source")
"""What a prediction says beside its rate."""


@dataclass(frozen=True)
class SpectrumRecording(Recording):
    """See `spectrum`."""

    name = "spectrum"
    summary = "singular values and Lyapunov exponents"
    figure = "spectrum"
    together = True

    def check(self, net: Network) -> None:
        """One state has to decide all that follow."""
        if net.bidirectional:
            raise ValueError(
                "a bidirectional net has no spectrum: no state at one step decides all that follow"
            )

    def numbers(self, scope: Scope) -> int:
        """D singular values at each step, their condition and participation, D exponents."""
        D = scope.net.joint
        steps = sum(len(_spectra(length)) for length in scope.lengths)
        return scope.nets * scope.columns * (steps * (D + 2) + 2 * D * len(scope.lengths))

    def alone(self, scope: Scope, schedule: Schedule) -> int:
        """See `bytes_needed` of the analysis."""
        from gradflow.core.analyses.spectrum import bytes_needed

        (length,) = scope.lengths
        kept = len(_spectra(length))
        return bytes_needed(scope.net, scope.nets, scope.columns, length, kept, scope.dtype)

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Take a frame of D directions back."""
        from gradflow.core.analyses.spectrum import condition, participation, spectrum

        (length,) = scope.lengths
        whole = spectrum(
            setting.net, setting.weights, setting.x[:length], _spectra(length),
            initial=setting.initial,
        )  # fmt: skip
        at = {"step": whole.steps, "lag": length - whole.steps}
        results = []
        for net in range(scope.nets):
            logs = whole.log10_singular[net]
            made = [
                Quantity("singular", ("sequence", "step", "vector"), logs, at),
                Quantity("condition", ("sequence", "step"), condition(logs), at),
                Quantity(
                    "participation", ("sequence", "step"), participation(logs), at, "directions"
                ),
            ]
            for name, values in (
                ("lyapunov", whole.exponents.decades[net]),
                ("lyapunov_error", whole.exponents.error[net]),
            ):
                made.append(Quantity(name, ("sequence", "vector"), values, {}, "decades/step"))
            results.append({quantity.name: quantity for quantity in made})
        return results


def _spectra(length: int) -> list[int]:
    steps = recorded_steps(length, "log")
    steps = steps[np.unique(np.linspace(0, len(steps) - 1, SPECTRA).round().astype(int))]
    return [int(k) for k in steps[steps < length]]


@dataclass(frozen=True)
class TheoryRecording(Recording):
    """Predictions for each net under its first sequence; see `predict`."""

    name = "theory"
    summary = "predicted rates, to lay over the measured ones"
    figure = "theory"

    def check(self, net: Network) -> None:
        """Theory is of one layer."""
        if len(net.layers) > 1 or net.bidirectional:
            raise ValueError("theory knows nets of one layer in one direction only")

    def numbers(self, scope: Scope) -> int:
        """A handful of rates."""
        return 16 * scope.nets * len(scope.lengths)

    def alone(self, scope: Scope, schedule: Schedule) -> int:
        """See `bytes_needed` of the theory."""
        from gradflow.core.theory import bytes_needed

        (length,) = scope.lengths
        return bytes_needed(scope.net, length)

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Predict from the weights and the first sequence."""
        from gradflow.core.theory import predict

        (length,) = scope.lengths
        first = setting.few(1)
        steps = length if first.own_lengths is None else int(first.own_lengths[0])
        x: Array = first.x[:steps, :1].astype(np.float64)
        results: list[Result] = []
        for net in range(scope.nets):
            own = tuple(
                tuple({name: a[net : net + 1] for name, a in p.items()} for p in layer)
                for layer in setting.weights
            )
            found = predict(setting.net, own, x, first.initial)
            coords = {name: np.array([getattr(p, name) for p in found]) for name in THEORY}
            coords["prediction"] = np.array([p.name for p in found])
            rates = np.array([p.rate for p in found])
            rate = Quantity("theory_rate", ("prediction",), rates, coords, "decades/step")
            results.append({"theory_rate": rate})
        return results


@dataclass(frozen=True)
class CostRecording(Recording):
    """What a step of the bottom layer costs for all sequences of one net; see `cost`."""

    name = "cost"
    summary = "parameters, operations and bytes of a step, counted"
    figure = ""

    def numbers(self, scope: Scope) -> int:
        """A handful of counts."""
        return 8 * scope.nets * len(scope.lengths)

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Count."""
        from gradflow.core.cost import critical_path, step_cost

        (length,) = scope.lengths
        net, x = setting.net, setting.x
        each = step_cost(net.layers[0].cell, net.inputs, x.shape[-1], x.dtype)
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
        counted = Quantity("cost", ("count",), values, coords, "1")
        return [{"cost": counted} for _ in range(scope.nets)]


@dataclass(frozen=True)
class TruncationRecording(Recording):
    """Truncated BPTT, every k1 steps k2 steps back, beside the exact gradient; see `bias`."""

    name = "truncation"
    summary = "what truncated BPTT leaves out"
    figure = "truncation"
    together = True

    k1: int = option(summary="steps between two passes back", least=1, most=10**9)
    k2: tuple[int, ...] = option(
        summary="steps that each pass goes back, all tried", least=1, most=10**9
    )

    def __post_init__(self) -> None:
        for i, k2 in enumerate(self.k2):
            if k2 < self.k1:
                raise OptionError(
                    f"k2 = {k2} is less than k1 = {self.k1}",
                    "k2",
                    at=i,
                    expected=f"at least {self.k1}: else the error of some steps would go nowhere",
                    fix=f"write {self.k1} or more",
                )

    def check(self, net: Network) -> None:
        """There has to be a past to cut off."""
        if net.bidirectional:
            raise ValueError("truncated BPTT and RTRL follow a stream forward, in one direction")

    def numbers(self, scope: Scope) -> int:
        """A norm of each part of the state for each k2, and two numbers."""
        names = 1 + len(scope.net.parts)
        return len(self.k2) * (names * scope.series + 2 * scope.nets * len(scope.lengths))

    def alone(self, scope: Scope, schedule: Schedule) -> int:
        """See `bytes_needed` of the analysis."""
        from gradflow.core.analyses.truncated import bytes_needed

        net, (length,) = scope.net, scope.lengths
        return bytes_needed(net, scope.nets, scope.columns, length, self.k2, scope.dtype, schedule)

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Go back through windows."""
        from gradflow.core.analyses.truncated import bias

        (length,) = scope.lengths
        return bias(
            setting.net,
            setting.weights,
            setting.x,
            setting.loss,
            length,
            self.k1,
            self.k2,
            schedule,
            every=scope.every,
            initial=setting.initial,
        )
