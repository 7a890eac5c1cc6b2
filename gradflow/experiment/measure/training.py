"""Nets that learn before they are measured: from the section ``train`` to parameters and curves."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gradflow.core.inputs import Batch, Task
from gradflow.core.learning.feed import Draw, Feed, question
from gradflow.core.learning.loop import Trainer, Window
from gradflow.core.learning.objective import Objective
from gradflow.core.learning.parameters import Layout
from gradflow.core.network.readout import Head
from gradflow.core.quantity import Result
from gradflow.core.random import stream
from gradflow.core.typing import Array
from gradflow.errors import NumericalError
from gradflow.experiment.config import PointConfig
from gradflow.experiment.data import sources
from gradflow.experiment.measure.seen import Seen, calmed, taught
from gradflow.experiment.measure.setting import recorded
from gradflow.experiment.models.written import packed, written
from gradflow.experiment.recordings import Scope, Setting
from gradflow.experiment.store.whole import sealed, unsealed, write_within

__all__ = ["Trained", "train", "write_net"]

TaskDraw: TypeAlias = Callable[[int, int, np.random.Generator], Batch]
"""A task's sequences: their steps, how many, and from which generator."""

PAUSE = 10.0
"""Seconds between two copies of a training's state on disk, at least."""


CHUNK, SAMPLE = 64, 1024
"""Sequences that are drawn at a time, and in all, for the loss of the trivial answer."""


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
    objective = Objective(
        rules.loss or config.loss.kind,  # type: ignore[arg-type]  # checked when the file was read
        _head(config, batch),
        ends=config.loss.at == "ends" and config.model.backward,
    )
    layout = Layout(setting.net, objective.head)
    theta = layout.row(setting.weights, _drawn(config, layout, seeds)).astype(float)
    draw, draw_test = (_draw(config, one, length, batch) for one in (task.draw, task.draw_test))
    feed = Feed(draw, length, seeds, rules.batch, _pool(config, task), draw_test)
    trainer = Trainer(setting.net, objective, theta, feed, rules.rules(task))
    trivial = _trivial(objective, task, draw, config.loss.at, length)
    seen = Seen(layout, setting, scope, recorded(config.record, setting.net), rules, trivial)
    for window in _kept(trainer, scratch):
        seen.add(window)
        if scratch is not None:
            seen.tell(scratch)
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
    after = taught(setting, layout, calmed(trainer.theta, failures))
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
    write_within(path, packed(found, path.suffix))


def _kept(trainer: Trainer, scratch: Path | None) -> Iterator[Window]:
    """The windows of a training, those first that were seen before it was stopped."""
    names = [field.name for field in fields(Window)]
    windows: list[Window] = []
    state = _state(scratch)
    if state is not None:
        with np.load(io.BytesIO(state)) as kept:
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
            write_within(scratch, sealed(buffer.getvalue()))
            due = time.monotonic() + PAUSE
        yield window


def _state(scratch: Path | None) -> bytes | None:
    """What was kept, if it is there and sound: what is damaged is learnt again."""
    if scratch is None or not scratch.exists():
        return None
    try:
        return unsealed(scratch.read_bytes())
    except ValueError:
        return None


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


def _draw(config: PointConfig, drawn: TaskDraw, length: int, batch: Batch) -> Draw:
    """Fresh sequences of the task, with lengths of their own if asked for."""
    assert config.train is not None
    lengths, at = config.train.lengths, config.loss.at

    def draw(count: int, rng: np.random.Generator) -> Batch:
        if config.inputs.task.longest is not None:
            return _asked(batch, at)
        if lengths is None:
            return _asked(drawn(length, count, rng), at)
        chosen = rng.integers(lengths[0], lengths[1] + 1, size=count).tolist()
        return _asked(_padded([drawn(steps, 1, rng) for steps in chosen], length), at)

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
    """Batches of one sequence side by side, silence without targets after the end of each."""

    def joined(name: str, nothing: float) -> Array:
        each: list[Array] = [getattr(batch, name) for batch in batches]
        whole = np.full((length, *each[0].shape[1:-1], len(each)), nothing, each[0].dtype)
        for column, a in enumerate(each):
            whole[: len(a), ..., column] = a[..., 0]
        return whole

    nothing = -1 if batches[0].target_kind == "classes" else np.nan
    allowed = None if batches[0].allowed is None else joined("allowed", False)
    x, targets = joined("x", 0.0), joined("targets", nothing)
    return replace(batches[0], x=x, targets=targets, prefix=False, allowed=allowed)


def _trivial(objective: Objective, task: Task, draw: Draw, at: object, length: int) -> float:
    """The loss of a net that remembers nothing: the task's, or that of the best constant answer.

    The task's is a mean over all steps that have a target; where fewer are learnt, and where it is
    not known, the constant answer is that to sequences which no net reads.
    """
    whole = task.longest is not None  # then a draw gives all that there is
    each = [
        question([draw(CHUNK, stream(0, "train", "trivial", part))]).targets
        for part in range(1 if whole else SAMPLE // CHUNK)
    ]
    targets = np.concatenate([np.moveaxis(a, 2, 0).reshape(a.shape[2], -1) for a in each], axis=1)
    targets = targets[:, ~np.isnan(targets).all(axis=0)]
    steps = targets.shape[1] / sum(a.shape[-1] for a in each)
    outputs = len(targets)
    base = task.baseline(length) if at == "all" or task.targets_at == "last" else None
    if objective.loss == "cross_entropy":
        if base is not None:
            return float(base * steps)
        share = np.nanmean(targets, axis=1)
        share = share[share > 0]
        return float(-(share * np.log(share)).sum() * steps)
    if base is not None and task.target_kind == "values":
        return float(base * steps * (1 if objective.loss == "mse" else outputs / 2))
    spread = np.nanvar(targets, axis=1).sum()
    return float(spread * steps * (0.5 if objective.loss == "half_squares" else 1 / outputs))


def _diverged(trainer: Trainer, net: int, update: int) -> NumericalError:
    """Say where a net's numbers left the range."""
    where = f"{trainer.trouble(net)} at update {update + 1}"
    return NumericalError(f"{where}: a smaller rate, or clip.norm, keeps it finite")
