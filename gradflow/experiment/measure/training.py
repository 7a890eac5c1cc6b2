"""Nets that learn before they are measured: from the section ``train`` to parameters and curves."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from gradflow.core.engine.schedule import Schedule
from gradflow.core.inputs import Batch, Task
from gradflow.core.learning.feed import Draw, Feed, question
from gradflow.core.learning.loop import Trainer, Window
from gradflow.core.learning.objective import Objective
from gradflow.core.learning.parameters import Layout
from gradflow.core.learning.symptoms import stall
from gradflow.core.network.readout import Head, Readout
from gradflow.core.network.stack import Network
from gradflow.core.quantity import Quantity, Result
from gradflow.core.random import stream
from gradflow.core.record import Norms
from gradflow.core.typing import Array
from gradflow.errors import NumericalError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.config.train import TrainConfig
from gradflow.experiment.data import sources
from gradflow.experiment.measure.setting import recorded
from gradflow.experiment.models.written import written
from gradflow.experiment.recordings import Recording, Scope, Setting
from gradflow.experiment.store.whole import write_atomic

__all__ = ["Trained", "train", "write_net"]

WATCHED = ("contributions", "gates")
"""Recordings that are looked at while nets learn, not only when they have."""

ALONG = ("conflict_U", "conflict_W", "conflict_V", "gate_saturated")
"""What is seen beside the norms at the end of each window, where it is recorded at all."""

PAUSE = 10.0
"""Seconds between two copies of a training's state on disk, at least."""


@dataclass(frozen=True)
class Trained:
    """Nets that have learnt.

    Parameters
    ----------
    setting : Setting
        With their weights, and their readout where the loss that is measured has one.
    results : list of Result
        What was seen while they learned, one for each net.
    failures : dict of int to NumericalError
        Nets that diverged.
    layout : Layout
        Where their parameters stand in a row.
    kept : list of dict of str to array
        For each net its parameters by when they were so: ``0-updates``, those of the windows as far
        as asked for, ``end``.
    """

    setting: Setting
    results: list[Result]
    failures: dict[int, NumericalError]
    layout: Layout
    kept: list[dict[str, Array]]


def train(
    config: PointConfig,
    seeds: Sequence[int],
    length: int,
    setting: Setting,
    scope: Scope,
    scratch: Path | None = None,
) -> Trained:
    """Let the nets of all seeds learn side by side.

    Parameters
    ----------
    config : PointConfig
        The configuration, its own seed left aside.
    seeds : sequence of int
        One net for each.
    length : int
        Steps of the inputs.
    setting : Setting
        The nets as they were drawn, and the inputs that they are measured on, which none learns
        from.
    scope : Scope
        What is recorded of them.
    scratch : Path, optional
        Where the state is kept between windows; what is there goes on, bit for bit as if it had
        never stopped.
    """
    rules, task = config.train, config.inputs.task
    assert rules is not None
    batch = sources.load_inputs(config.inputs, length, config.inputs.seed)
    objective = Objective(rules.loss or config.loss.kind, _head(config, batch))  # type: ignore[arg-type]  # checked when the file was read
    layout = Layout(setting.net, objective.head)
    theta = layout.row(setting.weights, _drawn(config, layout, seeds)).astype(float)
    feed = Feed(_draw(config, task, length, batch), length, seeds, rules.batch, _pool(config, task))
    trainer = Trainer(setting.net, objective, theta, feed, rules.rules(task))
    trivial = _trivial(objective, task, batch, length)
    asked = [one for one in recorded(config.record, setting.net) if one.name in WATCHED]
    seen = _Seen(layout, setting, scope, asked, rules, trivial)
    for window in _kept(trainer, scratch):
        seen.add(window)
    failures = {
        net: _diverged(trainer, net, end)
        for net, (end, why) in trainer.stopped.items()
        if why == "diverged"
    }
    ends = [{} if n in failures else seen.result(n, trainer.stopped[n]) for n in range(len(seeds))]
    kept = [
        {"0-updates": theta[net]}
        | (seen.rows(net, trainer.stopped[net][0]) if rules.watch.weights else {})
        | {"end": trainer.theta[net]}
        for net in range(len(seeds))
    ]
    after = taught(setting, layout, _without(trainer.theta, failures))
    return Trained(after, ends, failures, layout, kept)


def write_net(path: Path, trained: Trained, net: int) -> None:
    """Write a net as it was before, and after, and in between as far as that was kept.

    Each stands below a prefix of its own: ``file.npz#end``. A readout o = V y + b stands beside it
    as ``head``; one that is more than that as ``readout``.
    """
    found: dict[str, Array] = {}
    head = trained.layout.head
    linear = head.activation == "identity" and not head.shortcut
    names = {"V": "head.weight", "b": "head.bias"} if linear else {}
    for prefix, row in trained.kept[net].items():
        weights, readout = trained.layout.views(row[None])
        own = written(trained.layout.net, weights, 0)
        for name, a in readout.items():
            own[names.get(name, f"readout.{name}")] = a[0, :, 0] if name == "b" else a[0]
        found |= {f"{prefix}.{name}": a for name, a in own.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **found)  # type: ignore[arg-type]  # arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def _without(theta: Array, nets: Iterable[int]) -> Array:
    """Parameters of 0 for nets that cannot be measured, so that the others can."""
    calm = theta.copy()
    calm[list(nets)] = 0
    return calm


def _kept(trainer: Trainer, scratch: Path | None) -> Iterator[Window]:
    """The windows of a training, those first that were seen before it was stopped."""
    names = [field.name for field in fields(Window)]
    windows: list[Window] = []
    if scratch is not None and scratch.exists():
        with np.load(scratch) as kept:
            trainer.resume({key: kept[key] for key in kept if not key.startswith("window.")})
            columns = [kept[f"window.{name}"] for name in names]
        windows = [Window(int(row[0]), *row[1:]) for row in zip(*columns, strict=True)]
        yield from windows
    due = time.monotonic() + PAUSE
    for window in trainer.windows():
        windows.append(window)
        if scratch is not None and time.monotonic() >= due:
            rows = {f"window.{n}": np.array([getattr(one, n) for one in windows]) for n in names}
            buffer = io.BytesIO()
            np.savez(buffer, **{**trainer.snapshot(), **rows})  # type: ignore[arg-type]  # arrays
            scratch.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(scratch, buffer.getvalue())
            due = time.monotonic() + PAUSE
        yield window


def _head(config: PointConfig, batch: Batch) -> Head:
    assert config.train is not None
    head = config.train.head
    return Head(batch.outputs, head.bias, head.shortcut, head.activation)


def _drawn(config: PointConfig, layout: Layout, seeds: Sequence[int]) -> dict[str, Array]:
    """The head's parameters of each net; biases are 0."""
    assert config.train is not None
    init, gain = config.train.head.init, config.train.head.gain
    found = {}
    for (layer, _, name), (rows, cols) in layout.shapes.items():
        if layer != -1:
            continue
        each = []
        for seed in seeds:
            rng = stream(seed, "head", name)
            if name == "b":
                each.append(np.zeros((rows, cols)))
            elif init == "interval":
                each.append(gain * rng.uniform(-1, 1, (rows, cols)))
            else:
                each.append(gain * rng.standard_normal((rows, cols)) / np.sqrt(cols))
        found[name] = np.stack(each)
    return found


def _pool(config: PointConfig, task: Task) -> int | None:
    """Sequences that are read again and again: what a file holds has an end."""
    assert config.train is not None
    return config.inputs.sequences if task.longest is not None else config.train.pool


def _draw(config: PointConfig, task: Task, length: int, batch: Batch) -> Draw:
    """Fresh sequences of the task, with lengths of their own if asked for."""
    assert config.train is not None
    lengths, at = config.train.lengths, config.loss.at

    def draw(count: int, rng: np.random.Generator) -> Batch:
        if task.longest is not None:
            return _asked(batch, at)
        if lengths is None:
            return _asked(task.draw(length, count, rng), at)
        chosen = rng.integers(lengths[0], lengths[1] + 1, size=count).tolist()
        each = [_asked(task.draw(steps, 1, rng), at) for steps in chosen]
        return _padded(each, length)

    return draw


def _asked(batch: Batch, at: object) -> Batch:
    """A batch whose targets are those at the steps that are learnt."""
    if at == "all" or batch.targets is None:
        return batch
    targets = batch.targets
    nothing = -1 if batch.target_kind == "classes" else np.nan
    known = targets >= 0 if batch.target_kind == "classes" else ~np.isnan(targets)
    if isinstance(at, tuple):
        keep = np.isin(np.arange(1, len(targets) + 1), at).reshape(-1, *[1] * (targets.ndim - 1))
    else:  # the last target of each sequence
        later = np.cumsum(known[::-1], axis=0)[::-1]
        keep = known & (later == 1)
    return replace(batch, targets=np.where(keep, targets, nothing))


def _padded(batches: list[Batch], length: int) -> Batch:
    """Sequences side by side, silence without targets after the end of each."""

    def joined(name: str, nothing: float) -> Array:
        each = []
        for batch in batches:
            a: Array = getattr(batch, name)
            space = np.full((length - len(a), *a.shape[1:]), nothing, a.dtype)
            each.append(np.concatenate([a, space]))
        return np.concatenate(each, axis=-1)

    nothing = -1 if batches[0].target_kind == "classes" else np.nan
    allowed = None if batches[0].allowed is None else joined("allowed", False)
    x, targets = joined("x", 0.0), joined("targets", nothing)
    return replace(batches[0], x=x, targets=targets, prefix=False, allowed=allowed)


def _trivial(objective: Objective, task: Task, batch: Batch, length: int) -> float:
    """The loss of a net that remembers nothing: the task's, or that of the best constant answer."""
    asked = question([batch])
    known = ~np.isnan(asked.targets)
    steps = known.any(axis=-2).sum() / asked.x.shape[-1]
    base = task.baseline(length)
    if objective.loss == "cross_entropy":
        if base is not None:
            return float(base * steps)
        share = np.nanmean(asked.targets, axis=(0, 1, 3))
        share = share[share > 0]
        return float(-(share * np.log(share)).sum() * steps)
    if base is not None and batch.target_kind == "values":
        return float(base * steps * (1 if objective.loss == "mse" else batch.outputs / 2))
    spread = np.nanvar(asked.targets, axis=(0, 1, 3)).sum()
    return float(spread * steps * (0.5 if objective.loss == "half_squares" else 1 / batch.outputs))


class _Seen:
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
        self.layout, self.asked, self.trivial = layout, asked, trivial
        self.batch = rules.batch
        columns = min(rules.watch.sequences, setting.x.shape[-1])
        own = scope.own_lengths
        self.scope = replace(
            scope, columns=columns, own_lengths=None if own is None else own[:columns]
        )
        self.setting = setting.few(columns)
        self.windows: list[Window] = []
        self.looks: list[list[Result]] = []
        self.radii: list[Array] = []

    def add(self, window: Window) -> None:
        """Look at the nets as they are at the end of a window."""
        self.windows.append(window)
        nets = range(len(window.theta))
        try:
            at, results = self.look(window.theta)
        except NumericalError:  # some are about to diverge
            lost = [net for net in nets if not self.holds(window.theta, net)]
            at, results = self.look(_without(window.theta, lost))
        self.looks.append(results)
        self.radii.append(_radii(at.weights[0][0].get("W"), at.net))

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
            self.look(_without(theta, [other for other in range(len(theta)) if other != net]))
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
    """The setting with what was learnt: weights, and V where the loss that is measured has it."""
    weights, head = layout.views(theta)
    kind = setting.x.dtype
    cast = tuple(
        tuple({name: a.astype(kind) for name, a in p.items()} for p in layer) for layer in weights
    )
    loss = setting.loss
    if loss.readout is not None:
        loss = replace(loss, readout=Readout(head["V"].astype(kind)))
    return replace(setting, weights=cast, loss=loss)


def _diverged(trainer: Trainer, net: int, update: int) -> NumericalError:
    """Say where a net's numbers left the range."""
    where = f"{trainer.trouble(net)} at update {update + 1}"
    return NumericalError(f"{where}: a smaller rate, or clip.norm, keeps it finite")
