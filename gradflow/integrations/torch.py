"""The live probe: how error flows back through a PyTorch model, for the loss that it really has.

>>> from gradflow.integrations.torch import watch                          # doctest: +SKIP
>>> with watch(model) as probe:                                            # doctest: +SKIP
...     loss = criterion(model(x), y)
...     loss.backward()
>>> print(probe.table())                                                   # doctest: +SKIP

Every nn.RNN, nn.LSTM, nn.GRU and their Cell modules are found, wherever they run. Hooks take what
went in, and ∂L/∂ of what came out; the recurrence itself is run again in NumPy, and its adjoints go
back through the engine: total derivatives at every step, out of no number's range.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from rich.console import Console

from gradflow.api import Flow
from gradflow.core.quantity import Quantity, Result
from gradflow.core.typing import Array, DType
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Point, Run
from gradflow.integrations.heard import Chains, Heard, Sequences
from gradflow.integrations.modules import CELLS, SEQUENCES, Module
from gradflow.integrations.replay import NAMES, Call, last_alone, norms, of_equal_length
from gradflow.report.read.records import curves
from gradflow.report.tables.closing import closing_sheet
from gradflow.report.tables.layout import print_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Probe", "watch"]


def watch(model: Module, *, every: int = 1, dtype: str = "float64") -> Probe:
    """Return a probe for the recurrent modules of a model.

    Parameters
    ----------
    model : torch.nn.Module
        A recurrent module, or one that holds some.
    every : int
        Of the blocks that are entered, the first and each `every`-th after it are measured; the
        others cost nothing. What was measured last is kept until the next one.
    dtype : {"float64", "float32"}
        In which the recurrence is run again.

    Raises
    ------
    UserError
        If the model holds no recurrent module, or the options make no sense.
    """
    found = {
        name or type(module).__name__.lower(): module
        for name, module in model.named_modules()
        if isinstance(module, SEQUENCES + CELLS)
    }
    if not found:
        raise UserError(
            f"{type(model).__name__} holds no recurrent module\n"
            "  expected: nn.RNN, nn.LSTM, nn.GRU or their Cell modules somewhere in it"
        )
    if every < 1 or dtype not in ("float64", "float32"):
        raise UserError(
            f"every={every}, dtype={dtype!r}\n  expected: every at least 1, and float64 or float32"
        )
    return Probe(found, every, np.dtype(dtype))


class Probe:
    """What a model's recurrent modules were given, and how error flows back through them.

    Made by `watch`. A block that it is entered for holds the forward pass and the backward pass;
    results are made when they are first asked for.

    Attributes
    ----------
    measured : bool
        Whether the block that was entered last is the one that is shown.
    notes : tuple of str
        What could not be replayed, and what to do.
    """

    def __init__(self, modules: dict[str, Module], every: int, dtype: DType) -> None:
        self.modules, self.every, self.dtype = modules, every, dtype
        self.measured = False
        self.notes: tuple[str, ...] = ()
        self._entered = 0
        self._handles: list[Any] = []
        self._heard: list[Heard] = []
        self._calls: list[tuple[str, int, Call]] = []

    def __enter__(self) -> Self:
        """Begin to listen, where it is this block's turn."""
        self.measured = self._entered % self.every == 0
        self._entered += 1
        if self.measured:
            self._heard = []
            for name, module in self.modules.items():
                kind = Sequences if isinstance(module, SEQUENCES) else Chains
                listener = kind(name, module, self.dtype, self._heard)
                self._handles += listener.hooks()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Stop listening, and keep what was heard."""
        for handle in self._handles:
            handle.remove()
        heard, self._handles, self._heard = self._heard, [], []
        if not self.measured or kind is not None:
            self.measured = False
            return
        self._calls = []
        self.__dict__.pop("flow", None)
        self.__dict__.pop("_pieces", None)
        notes: dict[str, None] = {}
        times = Counter[str]()
        for one in heard:
            if one.note:
                notes[one.note] = None
                continue
            call = one.call()
            if call.reached:
                self._calls.append((one.name, times[one.name], call))
            times[one.name] += 1
        if not self._calls and not notes:
            notes[
                "no gradient came back to a recurrent module: the model's call and loss.backward() "
                "both belong inside the with block"
            ] = None
        self.notes = tuple(notes)
        for note in self.notes:
            warnings.warn(note, stacklevel=2)

    @cached_property
    def flow(self) -> Flow:
        """The norms of h, c, s and x at every step, with the module as a label.

        Sequences of a batch that differ in length are points of their own, each with the places
        in the batch that it stands for (``coords["sequence"]``).

        Raises
        ------
        UserError
            If nothing has been measured, or nothing could be.
        """
        points, parts = [], {}
        again = any(one.again for one in self._pieces)
        for index, one in enumerate(self._pieces):
            net, length = one.call.net, len(one.call.x)
            axes: dict[str, Any] = {"model.cell": net.label, "length": length, "seed": 0}
            axes |= {"module": one.name} if len(self.modules) > 1 else {}
            axes |= {"call": one.again} if again else {}
            at = "last" if one.call.steps == (length,) else "all"
            settings = {"loss": {"kind": "given", "at": at}, "record": {"states": list(NAMES)}}
            told = {"cell": net.label, "kind": net.layers[0].cell.kind, "features": net.inputs}
            points.append(Point(f"{index:016x}", axes, length, 0, settings, told))
            parts[points[-1].hash] = one
        return Flow(Run("probe", tuple(points), load=lambda point: parts[point.hash].judged))

    @cached_property
    def _pieces(self) -> list[Piece]:
        """What can be shown, each of sequences of equal length."""
        if not self._calls:
            why = "\n".join(self.notes) or "the with block has not been entered yet"
            raise UserError(f"nothing has been measured: {why}")
        return [
            Piece(name, again, part)
            for name, again, call in self._calls
            for part in of_equal_length(call)
        ]

    def table(self) -> str:
        """Return the closing table, as ``gradflow show`` prints it, with what was left out."""
        text = io.StringIO()
        sheet = closing_sheet(self.flow.rows(every=True), self.flow.source.name)
        print_sheet(sheet, Console(file=text, width=100))
        return "\n".join((text.getvalue().rstrip(), *self.notes))

    def plot(self, ax: Axes, **options: Any) -> None:
        """Draw the curves onto an Axes; see `gradflow.report.figures.draw_curves`."""
        self.flow.plot(ax, **options)

    def scalars(self) -> dict[str, float]:
        """Return a flat dict for a logger, of every module, layer, direction and state.

        ``…/start`` is log10 of the norm at the initial state (of x at the first input), ``…/end``
        at the last loss step, ``…/decades`` their difference: the median over sequences.
        """
        found: dict[str, list[Array]] = {}
        for one in self._pieces:
            for name, quantity in one.norms.items():
                for place, ends in _ends(quantity):
                    found.setdefault(f"gradflow/{one.name}/{place}{name}", []).append(ends)
        scalars = {}
        for key, each in found.items():
            start, end = np.concatenate(each, axis=1)
            with np.errstate(invalid="ignore"):  # no error at all: −inf − −inf
                decades = np.where(np.isneginf(start), -np.inf, start - end)
            for what, values in {"start": start, "end": end, "decades": decades}.items():
                scalars[f"{key}/{what}"] = float(np.median(values))
        return scalars


@dataclass(frozen=True)
class Piece:
    """A module's call, or the sequences of it that have one length, and its results."""

    name: str
    again: int
    call: Call

    @cached_property
    def norms(self) -> Result:
        """Of the loss as it is."""
        return norms(self.call)

    @cached_property
    def judged(self) -> Result:
        """With those of the last loss step alone, where there are several."""
        return self.norms | last_alone(self.call)


def _ends(quantity: Quantity) -> Iterator[tuple[str, Array]]:
    """The norms at the far end and at the loss end, ``(2, sequences)``, by layer and direction.

    The loss end is the smallest lag with a norm above zero.
    """
    for one in curves(quantity):
        way = "" if one.direction in ("forward", "both") else f"/{one.direction}"
        place = "" if quantity.name == "x" else f"layer{one.layer}{way}/"
        first = np.argmax(one.values > -np.inf, axis=1)
        yield place, np.stack([one.values[:, -1], one.values[np.arange(len(first)), first]])
