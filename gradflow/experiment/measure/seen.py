"""What is seen of nets while they learn: window by window, for the record and for who watches."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from gradflow.core.engine.schedule import Schedule
from gradflow.core.learning.loop import Window
from gradflow.core.learning.parameters import Layout
from gradflow.core.learning.symptoms import stall
from gradflow.core.network.readout import Readout
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Quantity, Result, loss_end
from gradflow.core.record import Norms
from gradflow.core.typing import Array
from gradflow.errors import NumericalError
from gradflow.experiment.config.train import TrainConfig
from gradflow.experiment.recordings import Recording, Scope, Setting
from gradflow.experiment.store.whole import write_within

__all__ = ["Pulse", "Seen", "calmed", "pulses", "taught"]

PULSE = ".pulse"
"""Suffix of the file that says where nets are, beside that of their state."""

BEAT = 0.5
"""Seconds between two of its changes, at least."""

WATCHED = ("contributions", "gates")
"""Recordings that are looked at while nets learn, not only when they have."""

ALONG = ("conflict_U", "conflict_W", "conflict_V", "gate_saturated")
"""What is seen beside the norms at the end of each window, where it is recorded at all."""


def calmed(theta: Array, nets: Iterable[int]) -> Array:
    """Parameters of 0 for nets that cannot be measured, so that the others can."""
    calm = theta.copy()
    calm[list(nets)] = 0
    return calm


@dataclass(frozen=True)
class Pulse:
    """Where nets that learn side by side are.

    Parameters
    ----------
    cell, length : str, int
        Which they are.
    update, updates : int
        Made, and the most that there are.
    learning, nets : int
        Those that took part in the last window, of how many.
    loss, far : float
        In the last window: the median loss, and the median of log10 of the norm at the far end over
        that at the loss.
    speed : float
        Sequences a second, all nets together.
    left : float
        Seconds until the last update; nets that learn earlier need fewer.
    """

    cell: str
    length: int
    update: int
    updates: int
    learning: int
    nets: int
    loss: float
    far: float
    speed: float
    left: float


def pulses(folder: Path) -> list[Pulse]:
    """Read where the nets are whose state is kept in a folder, as far as it can be read."""
    found = []
    for path in sorted(folder.glob(f"*{PULSE}")):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(Pulse(**json.loads(path.read_text("utf-8"))))
    return found


class Seen:
    """What is recorded while nets learn, window by window."""

    def __init__(
        self,
        layout: Layout,
        setting: Setting,
        scope: Scope,
        asked: Sequence[Recording],
        rules: TrainConfig,
        trivial: float,
    ) -> None:
        self.layout, self.trivial = layout, trivial
        self.asked = [one for one in asked if one.name in WATCHED]
        self.batch = rules.batch
        columns = min(rules.watch.sequences, setting.x.shape[-1])
        own = scope.own_lengths
        self.scope = replace(
            scope, columns=columns, own_lengths=None if own is None else own[:columns]
        )
        self.setting = setting.few(columns)
        self.windows: list[Window] = []
        self.looks: list[list[Result]] = []
        self.updates, self._begun, self._told = rules.updates, (time.monotonic(), 0), 0.0
        self.radii: list[Array] = []

    def add(self, window: Window) -> None:
        """Look at the nets as they are at the end of a window."""
        self.windows.append(window)
        nets = range(len(window.theta))
        try:
            at, results = self.look(window.theta)
        except NumericalError:  # some are about to diverge
            lost = [net for net in nets if not self.holds(window.theta, net)]
            at, results = self.look(calmed(window.theta, lost))
        self.looks.append(results)
        self.radii.append(_radii(at.weights[0][0].get("W"), at.net))

    def tell(self, scratch: Path) -> None:
        """Say beside the state where the nets are, for who watches; seldom, as writing costs."""
        now, window, results = time.monotonic(), self.windows[-1], self.looks[-1]
        since, first = self._begun
        if not first:  # windows before were read from disk, or are too short to tell the speed
            self._begun, self._told = (now, window.update), now
        elif now - self._told >= BEAT and not np.isnan(window.loss).all():
            self._told, there = now, np.flatnonzero(~np.isnan(window.loss))
            pace = (window.update - first) / (now - since)
            state = "s" if "s" in results[0] else self.scope.states[0]
            curves = np.stack([results[net][state].values[0, 0].mean(axis=0) for net in there])
            pulse = Pulse(
                cell=self.setting.net.label,
                length=self.scope.lengths[0],
                update=window.update,
                updates=self.updates,
                learning=there.size,
                nets=len(results),
                loss=float(np.nanmedian(window.loss)),
                far=float(np.median(curves[:, 0] - curves[:, loss_end(results[there[0]][state])])),
                speed=pace * self.batch * there.size,
                left=(self.updates - window.update) / pace,
            )
            write_within(scratch.with_suffix(PULSE), json.dumps(asdict(pulse)).encode())

    @np.errstate(over="ignore", invalid="ignore")  # of nets about to diverge
    def look(self, theta: Array) -> tuple[Setting, list[Result]]:
        """Measure nets with these parameters: the norms, and what else is watched."""
        at, schedule = taught(self.setting, self.layout, theta), Schedule(64)
        beside = [one.observer(self.scope) for one in self.asked]
        observers = [Norms(self.scope, self.scope.states), *filter(None, beside)]
        at.backpropagate(self.scope.lengths, observers, schedule)
        alone = [one.analyse(self.scope, at, schedule) for one in self.asked]
        results: list[Result] = [{} for _ in theta]
        for net, result in enumerate(results):
            for observer in observers:
                result |= observer.quantities(net, self.scope.lengths[0])
            for found in filter(None, alone):
                result |= found[net]
        return at, results

    def holds(self, theta: Array, net: int) -> bool:
        """Whether a net can be measured."""
        try:
            self.look(calmed(theta, [other for other in range(len(theta)) if other != net]))
        except NumericalError:
            return False
        return True

    def rows(self, net: int, end: int) -> dict[str, Array]:
        """The parameters of a net at the end of each window in which it took part."""
        each = [one for one in self.windows if not np.isnan(one.loss[net])]
        return {f"{min(one.update, end)}-updates": one.theta[net] for one in each}

    def result(self, net: int, stopped: tuple[int, str]) -> Result:
        """All of it for one net, until it stopped."""
        end, why = stopped
        kept = [k for k, one in enumerate(self.windows) if not np.isnan(one.loss[net])]
        windows = [self.windows[k] for k in kept]
        updates = np.array([min(one.update, end) for one in windows])
        found: Result = {}

        def put(name: str, values: Array, unit: str = "1", **coords: Array) -> None:
            dims = (*coords, "update")
            found[name] = Quantity(name, dims, values, {**coords, "update": updates}, unit)

        def over(name: str) -> Array:
            return np.array([getattr(one, name)[net] for one in windows])

        for name in ("loss", "error", "wrong"):
            put(name, over(name))
        put("gain", stall(over("loss"), self.trivial))
        with np.errstate(divide="ignore", over="ignore"):
            put("gradient", np.log10(over("gradient")), "log10")
            put("update", np.log10(over("delta")), "log10")
            sizes = np.array([np.linalg.norm(one.theta[net]) for one in windows])
            put("parameters", np.log10(sizes), "log10")
        kinds = np.array(list(self.layout.kinds))
        put("turns", over("turns").T, kind=kinds)
        put("cosine_of_updates", over("cosines").T, kind=kinds)
        if self.radii and self.radii[0].size:
            radii = np.array([self.radii[k][net] for k in kept]).T
            put("radius", radii, gate=np.array(_square(self.setting.net)))
        for name in self.looks[0][net] if kept else ():
            if name in self.scope.states or name in ALONG:
                each = [self.looks[k][net][name] for k in kept]
                found |= _along(f"{name}.learning", each, updates)
        read = float(end * self.batch)
        values = np.array([read, read if why == "learnt" else np.nan, self.trivial])
        labels = np.array(["read", "learnt", "trivial"])
        found["training"] = Quantity("training", ("figure",), values, {"figure": labels}, "1")
        return found


def _along(name: str, each: list[Quantity], updates: Array) -> Result:
    """The mean over sequences, and of what is no norm over steps, by update."""
    first = each[0]
    pooled = ("sequence",) if first.unit == "log10" else ("sequence", "step")
    axes = tuple(i for i, dim in enumerate(first.dims) if dim in pooled)
    values = np.stack([one.values.mean(axis=axes) for one in each])
    dims = ("update", *(dim for dim in first.dims if dim not in pooled))
    shared = {key: value for key, value in first.coords.items() if key in dims}
    if "step" in dims and "lag" in first.coords:
        shared["lag"] = first.coords["lag"]
    return {name: Quantity(name, dims, values, {**shared, "update": updates}, first.unit)}


def _square(net: Network) -> tuple[str, ...]:
    """The gates of the bottom layer whose recurrent weights are square."""
    spec = net.parameters(0).get("W")
    return spec.blocks if spec is not None and spec.rows == spec.cols else ()


def _radii(W: Array | None, net: Network) -> Array:
    """The spectral radius of each gate's recurrent weights, ``(nets, gates)``."""
    gates = _square(net)
    if W is None or not gates:
        return np.zeros((1, 0))
    square = W.reshape(len(W), len(gates), -1, W.shape[-1])
    square = np.where(np.isfinite(square), square, 0)
    radii: Array = np.abs(np.linalg.eigvals(square)).max(axis=-1)
    return radii


def taught(setting: Setting, layout: Layout, theta: Array) -> Setting:
    """The setting with what was learnt: weights, and V and b where the loss measured has them."""
    kind = setting.x.dtype
    weights, learnt = layout.views(theta)
    cast = tuple(
        tuple({name: a.astype(kind) for name, a in p.items()} for p in layer) for layer in weights
    )
    loss = setting.loss
    if loss.readout is not None:
        head = {name: a.astype(kind) for name, a in learnt.items()}
        loss = replace(loss, readout=Readout(**head, activation=layout.head.activation))
    return replace(setting, weights=cast, loss=loss)
