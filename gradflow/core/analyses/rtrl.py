"""Real-time recurrent learning: the exact gradient without a way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradflow.core.analyses.sensitivities import Jacobian, Sources, jacobian
from gradflow.core.engine.observe import Reading
from gradflow.core.engine.scan import advance
from gradflow.core.engine.tape import Taken
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.quantity import Result
from gradflow.core.record.norms import norm_series
from gradflow.core.record.series import Every, Series, Timeline
from gradflow.core.scaled import Scaled
from gradflow.core.typing import Array, DType
from gradflow.errors import NumericalError

__all__ = ["Sensitivities", "bytes_needed", "rtrl"]


@dataclass(frozen=True)
class Sensitivities:
    """What a forward run has found.

    Parameters
    ----------
    gradients : dict
        ∂L/∂θ by layer, direction (0) and name, summed over sequences, as in `Gradients`.
    series : list of Series
        log10 norms along time.
    """

    gradients: dict[tuple[int, int, str], Scaled]
    series: list[Series]

    def quantities(self, net: int, length: int) -> Result:
        """The norms of one of the nets, by name, as `Norms.quantities` gives them."""
        return {each.name: each.quantity(net, length) for each in self.series}


def rtrl(
    net: Network,
    weights: Weights,
    x: Array,
    loss: Loss,
    length: int,
    *,
    states: Sequence[str] = ("h", "c", "s", "x"),
    every: Every = 1,
    parameters: bool = True,
    initial: States | None = None,
) -> Sensitivities:
    """Carry the sensitivities of the state forward, together with the state.

    With S_t the states of all layers, D components in all, and θ anything that L depends on::

        ∂S_t/∂θ = (∂S_t/∂S_{t−1}) (∂S_{t−1}/∂θ) + ∂⁺S_t/∂θ      ∂⁺: θ's own part in step t
        ∂L/∂θ   = Σ_t (∂ℓ_t/∂y_t) (∂y_t/∂θ)                      over the loss steps

    θ is every parameter; and, for the norms ‖∂L/∂s_k‖ of recorded steps k, a nudge to each state
    and input there: ∂⁺ is then 1 at step k and 0 later. Nothing is shared with backpropagation
    through time but a cell's local derivatives: no adjoint, no tape, no way back.

    The memory does not grow with the length: P · D numbers for P parameters, O(H³) for a layer, and
    as many again for each P / D recorded states. A step takes O(P · D²), that is O(H⁴), operations
    against BPTT's O(H²), and O(K · D³) for K recorded steps. Each sensitivity has an exponent of
    its own, so vanished ones are exact at any length.

    Parameters
    ----------
    net, weights, x, loss, length, initial
        As in `backpropagate`; the net is unidirectional.
    states : sequence of str
        Which norms: any of ``h``, ``c``, ``s``, ``x``; ``c`` is passed over where there is none.
    every, parameters
        At which steps, and whether the parameters' gradients are wanted.

    Raises
    ------
    ValueError
        If the net is bidirectional.
    NumericalError
        If a state or a sensitivity overflows.

    References
    ----------
    R. J. Williams and D. Zipser, A learning algorithm for continually running fully recurrent
    neural networks, Neural Computation 1 (1989).
    """
    _check_forward(net)
    nets, columns = weights[0][0]["U"].shape[0], x.shape[-1]
    timeline = Timeline(net, loss, [length], nets, columns, every)
    firsts = {int(name == "x") for name in states}
    recorded = {int(k) for first in firsts for k in timeline.steps(length, first)}
    run = _Run(net, weights, x, loss, length, tuple(states), parameters, recorded, initial)
    total, sources = run()
    names = sources.names(states)
    return Sensitivities(
        _gradients(net, total, sources), _norms_of(timeline, total, sources, names)
    )


def _check_forward(net: Network) -> None:
    if net.bidirectional:
        raise ValueError(
            "RTRL runs forward as the data come; a backward direction reads them from the end, so "
            "it is not defined for a bidirectional net"
        )


def _norms_of(
    timeline: Timeline, total: Scaled, sources: Sources, names: Sequence[str]
) -> list[Series]:
    """The norms of what was nudged, along time."""
    series = []
    for name in names:
        each = norm_series(timeline, name)
        for (what, layer, step), where in sources.nudges.items():
            if what == name:
                each.put((layer, 0), step, total[..., where].norm(-1).log10[None, ..., 0])
        series.append(each)
    return series


def bytes_needed(
    net: Network, nets: int, columns: int, recorded: int, dtype: DType, *, parameters: bool = True
) -> int:
    """Bytes that `rtrl` takes at its peak for a number of recorded steps, whatever the length."""
    sources = Sources(net, ("h", "c", "s", "x"), parameters)
    for step in range(1, recorded + 1):
        sources.nudge(step)
    each = sources.count * (net.joint * 5 * dtype.itemsize + 3 * (dtype.itemsize + 8))
    return nets * columns * each


@dataclass
class _Run:
    """One call of `rtrl`."""

    net: Network
    weights: Weights
    x: Array
    loss: Loss
    length: int
    states: tuple[str, ...]
    parameters: bool
    recorded: set[int]
    initial: States | None = None

    def __call__(self) -> tuple[Scaled, Sources]:
        """∂L/∂ of every source, ``(nets, columns, 1, sources)``, and what the sources are."""
        net = self.net
        layers = [(layer.cell, p) for layer, (p,) in zip(net.layers, self.weights, strict=True)]
        nets, columns = layers[0][1]["U"].shape[0], self.x.shape[-1]
        sources = Sources(net, self.states, self.parameters)
        given = net.initial(nets, columns, self.x.dtype, self.initial)
        begin = [layer[0] for layer in given]
        M = sources.begin(nets, columns, self.x.dtype, nudge=0 in self.recorded)
        total = Scaled.of(np.zeros(M.exponent.shape))
        at = set(self.loss.steps(self.length).tolist())
        for step, taken in enumerate(advance(layers, self.x[: self.length], begin), 1):
            self.check(taken, step)
            if step in self.recorded:
                new = sources.nudge(step)
                M, total = _wider(M, new), _wider(total, new)
            maps = [
                jacobian(cell, p, each, parameters=self.parameters)
                for (cell, p), each in zip(layers, taken, strict=True)
            ]
            M = self.forward(M, maps, sources, step)
            if step in at:
                total += self.output(M, taken[-1], step)
        return total, sources

    def forward(self, M: Scaled, maps: list[Jacobian], sources: Sources, step: int) -> Scaled:
        """Take the sensitivities of all layers through a step."""
        nets, columns = M.parts[0].shape[:2]
        joining = Scaled(
            tuple(
                sources.joining(layer, each, step, nets, columns) for layer, each in enumerate(maps)
            ),
            np.zeros_like(M.exponent),
        )
        M = M.normalised(joining)
        after: list[Array] = []
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for each, was, join in zip(maps, M.parts, joining.at(M.exponent).parts, strict=True):
                own = each.state @ was
                own += join
                if after:
                    own += each.x @ after[-1][:, :, : each.x.shape[-1]]
                after.append(own)
        for layer, own in enumerate(after):
            if not np.isfinite(own).all():
                raise NumericalError(
                    f"a sensitivity of {self.net.name(layer, 0)} is not finite at step {step}"
                )
        return Scaled(tuple(after), M.exponent)

    def check(self, taken: Sequence[Taken], step: int) -> None:
        """Raise where a state is not finite."""
        for layer, each in enumerate(taken):
            if not all(np.isfinite(part).all() for part in each.after):
                raise NumericalError(
                    f"the state of {self.net.name(layer, 0)} overflows at step {step}: smaller "
                    "weights, gains or inputs keep it finite"
                )

    def output(self, M: Scaled, top: Taken, step: int) -> Scaled:
        """(∂ℓ_t/∂y_t) (∂y_t/∂θ)."""
        which = self.net.layers[-1].cell.parts.index(self.loss.of)
        y = top.after[which]
        counts = np.ones((1, 1, 1, 1), bool)
        dy = Reading(self.loss, np.array([step]), y[None], counts).cotangent[0]
        end = sum(part.shape[1] for part in top.after[: which + 1])
        rows = M.parts[-1][:, :, end - y.shape[1] : end]
        return Scaled((dy.transpose(0, 2, 1)[:, :, None] @ rows,), M.exponent)


def _wider(a: Scaled, new: int) -> Scaled:
    """With `new` more sources, nothing sensitive to them yet."""

    def grown(part: Array) -> Array:
        return np.concatenate([part, np.zeros((*part.shape[:-1], new), part.dtype)], axis=-1)

    return Scaled(tuple(map(grown, a.parts)), grown(a.exponent))


def _gradients(net: Network, total: Scaled, sources: Sources) -> dict[tuple[int, int, str], Scaled]:
    """Sum over sequences, and put the parameters back into shape."""
    found = {}
    for (layer, name), where in sources.parameters.items():
        summed = total[..., where].level((1, 3)).sum(1)
        shape = (len(summed.values), *net.parameters(layer)[name].shape)
        found[layer, 0, name] = Scaled((summed.values.reshape(shape),), summed.exponent)
    return found
