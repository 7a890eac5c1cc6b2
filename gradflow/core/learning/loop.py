"""The loop over updates: all nets side by side, each until it has learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from gradflow.core.analyses.truncated import windows
from gradflow.core.cells.base import carrousel_of
from gradflow.core.engine.plain import Unrolled, unrolled, weight_gradients
from gradflow.core.inputs import Criterion
from gradflow.core.learning.feed import Feed
from gradflow.core.learning.objective import Answer, Objective, Question
from gradflow.core.learning.optimisers import Clip, Optimiser
from gradflow.core.learning.parameters import Layout
from gradflow.core.learning.symptoms import Oscillation, Record, wrong
from gradflow.core.network.stack import Network
from gradflow.core.typing import Array

__all__ = ["Method", "Rules", "Trainer", "Window"]

Method: TypeAlias = Literal["exact", "carrousel"] | tuple[int, int]
"""Which gradient: exact, the truncated one of 1997, or every k1 steps, k2 steps back."""

REASONS = ("", "learnt", "diverged", "updates")
"""Why a net stops; the first: it has not."""

SUMS = ("loss", "error", "wrong", "gradient", "delta")
"""What is added up over the updates of a window."""


@dataclass(frozen=True)
class Rules:
    """How nets learn.

    Parameters
    ----------
    optimiser : Optimiser
        What makes an update of a gradient.
    clip : Clip
        Bounds on the gradient.
    method : Method
        Which gradient.
    until : Criterion or None
        When a net has learnt; None: only after the last update.
    right : Criterion or None
        What counts as a sequence answered rightly where `until` does not say; None: nothing.
    watch : tuple of int
        After which updates a window closes, ascending; the last is the last update.
    """

    optimiser: Optimiser
    clip: Clip = field(default_factory=Clip)
    method: Method = "exact"
    until: Criterion | None = None
    right: Criterion | None = None
    watch: tuple[int, ...] = (1000,)


@dataclass(frozen=True)
class Window:
    """What a window of updates has shown; arrays have a net a row, NaN where it took no part.

    Parameters
    ----------
    update : int
        Updates made until its end.
    theta : array
        The parameters then, of a net that has stopped its last ones.
    loss, error, wrong : array
        Means over the window's sequences: L, |target − o|, the share answered wrongly (NaN where
        no criterion says which are).
    gradient, delta : array
        Root mean square norms of gradient and update.
    turns, cosines : array
        See `Oscillation.shares`, ``(nets, kinds)``.
    """

    update: int
    theta: Array
    loss: Array
    error: Array
    wrong: Array
    gradient: Array
    delta: Array
    turns: Array
    cosines: Array


class Trainer:
    """Nets that learn side by side.

    Parameters
    ----------
    net, objective : Network, Objective
        The net and what is asked of it.
    theta : array
        The parameters of each net before the first update, see `Layout`.
    feed : Feed
        What they read.
    rules : Rules
        How they learn.
    """

    def __init__(
        self,
        net: Network,
        objective: Objective,
        theta: Array,
        feed: Feed,
        rules: Rules,
    ) -> None:
        self.net, self.objective, self.feed, self.rules = net, objective, feed, rules
        self._whole = replace(feed)
        self.layout = Layout(net, objective.head)
        self.theta = theta.copy()
        nets = len(theta)
        self.stopped: dict[int, tuple[int, str]] = {}
        """By net, after which update it stopped and why: learnt, diverged or updates."""
        self.active = np.arange(nets)
        self.update = 0
        self._rates = self.layout.rates(rules.optimiser.rate)
        if rules.method == "carrousel":
            net.where(carrousel_of)
        self._memory = rules.optimiser.memory(theta.shape)
        self._record = None if rules.until is None else Record.of(rules.until, nets)
        spans = {
            kind: [self.layout.spans[place] for place in places]
            for kind, places in self.layout.kinds.items()
        }
        self._oscillation = Oscillation(spans, nets)
        self._take(theta.copy())

    def _take(self, theta: Array) -> None:
        """Go on with these rows, those of the active nets."""
        self._theta = theta
        self._weights, self._head = self.layout.views(theta)

    def windows(self) -> Iterator[Window]:
        """Learn, and give what each window has shown, until no net is left or updates end."""
        for end in self.rules.watch:
            if end <= self.update:
                continue
            self._open()
            with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
                while self.update < end and len(self.active):
                    self._step()
            if end == self.rules.watch[-1]:
                self._stop(np.ones(len(self.active), bool), "updates")
            yield self._close()
            if not len(self.active):
                return

    def _open(self) -> None:
        nets = len(self.theta)
        self._sums = {name: np.zeros(nets) for name in SUMS}
        self._counts = np.zeros(nets)
        self._shares = np.full((2, nets, len(self.layout.kinds)), np.nan)
        self._oscillation.clear()

    def _close(self) -> Window:
        self._store(np.arange(len(self.active)))
        with np.errstate(invalid="ignore", divide="ignore"):
            means = {name: total / self._counts for name, total in self._sums.items()}
        means |= {name: np.sqrt(means[name]) for name in ("gradient", "delta")}
        turns, cosines = self._shares
        return Window(self.update, self.theta.copy(), **means, turns=turns, cosines=cosines)

    def _store(self, rows: Array) -> None:
        """Note parameters and shares of some of the active nets, by row."""
        which = self.active[rows]
        self.theta[which] = self._theta[rows]
        for found, share in zip(self._shares, self._oscillation.shares(), strict=True):
            found[which] = share[rows]

    def _step(self) -> None:
        """Make one update of every net that still learns."""
        question = self.feed(self.update)
        answer, gradient = self._learn(question)
        sane = np.isfinite(np.concatenate([answer.loss, gradient], axis=1)).all(axis=1)
        if not sane.all():  # the others make this update without them
            self._stop(~sane, "diverged")
            return
        clipped = self.rules.clip(gradient)
        self.update += 1
        optimiser = self.rules.optimiser
        rates = optimiser.at(self._rates, self.update)
        delta = optimiser.delta(clipped, self._memory, rates, self.update)
        self._theta += delta
        self._oscillation.add(delta)
        missed = wrong(self.rules.until or self.rules.right, answer)
        self._count(answer, missed, gradient, delta)
        self._judge(answer, missed)

    def _learn(self, question: Question) -> tuple[Answer, Array]:
        """The answers to a question, and ∂L/∂θ, a row for each net."""
        forward = unrolled(self.net, self._weights, question.x)
        y = self.objective.read(forward, question)
        answer, o, do = self.objective.answer(self._head, y, question)
        readout = self.objective.head.of(self._head)
        own = readout.summed(y, question.x[question.steps], o, do)
        return answer, self._gradient(forward, question, readout.vjp(do, o), own)

    def _gradient(
        self, forward: Unrolled, question: Question, dy: Array, own: dict[str, Array]
    ) -> Array:
        """∂L/∂θ, a row for each net."""
        injected = self.objective.placed(dy, question)
        shorten, method = self.rules.clip.shorten, self.rules.method
        common: dict[str, Any] = {"carrousel": method == "carrousel", "shorten": shorten}
        if not isinstance(method, tuple):
            back = weight_gradients(self.net, self._weights, forward, injected, **common)
            return self.layout.row(back, own)
        rows: list[Array] = []
        for start, first, end in windows(self.feed.length, *method):
            part = [d if first <= t < end else None for t, d in enumerate(injected)]
            if any(d is not None for d in part):
                span = (start, min(end, len(part)))
                back = weight_gradients(self.net, self._weights, forward, part, span=span, **common)
                rows.append(self.layout.row(back, own))
                own = {name: np.zeros_like(a) for name, a in own.items()}  # once is enough
        total: Array = np.sum(rows, axis=0)
        return total

    def _count(self, answer: Answer, missed: Array, gradient: Array, delta: Array) -> None:
        """Add an update to the sums of the window."""
        for name, each in (
            ("loss", answer.loss.mean(axis=1)),
            ("error", answer.error.mean(axis=1)),
            ("wrong", missed.mean(axis=1)),
            ("gradient", np.einsum("np,np->n", gradient, gradient)),
            ("delta", np.einsum("np,np->n", delta, delta)),
        ):
            self._sums[name][self.active] += each
        self._counts[self.active] += 1

    def _judge(self, answer: Answer, missed: Array) -> None:
        """Stop the nets that have learnt."""
        until, record = self.rules.until, self._record
        if until is None or record is None:
            return
        if until.test is None:
            record.add(missed, answer.error)
        elif self.update % until.every == 0:
            record.restart(*self._tested(until))
        else:
            return
        reached = record.reached(until)
        if reached.any():
            self._stop(reached, "learnt")

    def _tested(self, until: Criterion) -> tuple[Array, Array]:
        """Which sequences of the test set, and of the pool, are answered wrongly; the errors."""
        each = [
            self.objective.ask(self.net, self._weights, self._head, question)
            for question in self.feed.tests(until.test or 0)
        ]
        missed = np.concatenate([wrong(until, answer) for answer in each], axis=1)
        return missed, np.concatenate([answer.error for answer in each], axis=1)

    def _stop(self, which: Array, why: str) -> None:
        """Take nets out: they keep their parameters, and cost nothing more."""
        self._store(np.flatnonzero(which))
        for net in self.active[which]:
            self.stopped[int(net)] = (self.update, why)
        rows = np.flatnonzero(~which)
        self.active = self.active[rows]
        self.feed.keep(rows)
        self._oscillation.keep(rows)
        self._memory = {name: a[rows] for name, a in self._memory.items()}
        if self._record is not None:
            self._record.keep(rows)
        self._take(self._theta[rows])

    @np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")
    def trouble(self, net: int) -> str:
        """Say where the numbers of a net that diverged left the range: cell, layer and step."""
        feed = replace(self._whole, seeds=[self._whole.seeds[net]])
        weights, head = self.layout.views(self.theta[net : net + 1])
        question = feed(self.stopped[net][0])
        forward = unrolled(self.net, weights, question.x)
        for layer, tapes in enumerate(forward.tapes):
            for way, tape in enumerate(tapes):
                for step, state in enumerate(tape.states):
                    if not all(np.isfinite(part).all() for part in state):
                        return f"the state of {self.net.name(layer, way)} overflows at step {step}"
        top = len(self.net.layers) - 1
        _, o, do = self.objective.answer(head, self.objective.read(forward, question), question)
        sane = np.isfinite([o, do * do]).all(axis=(0, 2, 3, 4))
        if not sane.all():
            step = int(question.steps[np.argmin(sane)]) + 1
            return f"the loss on what is read from {self.net.name(top, 0)} overflows at step {step}"
        steps = len(forward.tapes[0][0].states) - 1
        return f"the gradient of {self.net.name(0, 0)} overflows on its way back from step {steps}"

    def snapshot(self) -> dict[str, Array]:
        """All that it takes to go on bit for bit, between two windows."""
        whys = [self.stopped.get(net, (-1, "")) for net in range(len(self.theta))]
        found = {
            "update": np.array(self.update),
            "theta": self.theta,
            "stopped": np.array([update for update, _ in whys]),
            "why": np.array([REASONS.index(why) for _, why in whys]),
        }
        found |= {f"memory.{name}": a for name, a in self._memory.items()}
        if self._record is not None:
            found |= {"wrong": self._record.wrong, "errors": self._record.errors}
            found["seen"] = np.array(self._record.seen)
        if self._oscillation.before is not None:
            found["before"] = self._oscillation.before
        return found

    def resume(self, snapshot: Mapping[str, Array]) -> None:
        """Go on from a snapshot of a trainer that was made of the same arguments."""
        self.update, self.theta = int(snapshot["update"]), snapshot["theta"].copy()
        ends = zip(snapshot["stopped"].tolist(), snapshot["why"].tolist(), strict=True)
        self.stopped = {n: (end, REASONS[why]) for n, (end, why) in enumerate(ends) if end >= 0}
        self.active = np.flatnonzero(snapshot["stopped"] < 0)
        self.feed.keep(self.active)
        self._memory = {name: snapshot[f"memory.{name}"].copy() for name in self._memory}
        self._oscillation.keep(self.active)
        if self._record is not None:
            wrong, errors = snapshot["wrong"].copy(), snapshot["errors"].copy()
            self._record = Record(wrong, errors, int(snapshot["seen"]))
        if "before" in snapshot:
            self._oscillation.seen(snapshot["before"].copy())
        self._take(self.theta[self.active])
