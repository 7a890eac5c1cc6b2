"""The probe: what `watch` returns, and what it shows."""

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
from gradflow.integrations.torch.heard import Heard
from gradflow.integrations.torch.listener import ModuleListener, Room
from gradflow.integrations.torch.modules import CELLS, SEQUENCES, Module
from gradflow.integrations.torch.replay import NAMES, Call, results_of
from gradflow.report.read.records import judged, states
from gradflow.report.tables.closing import closing_sheet
from gradflow.report.tables.layout import print_sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LiveProbe", "watch"]


def watch(
    model: Module, *, every: int = 1, dtype: str = "float64", memory: int = 2 << 30
) -> LiveProbe:
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
    memory : int
        Bytes that the calls of a block may take, and bytes for running them again.

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
    return LiveProbe(found, every, np.dtype(dtype), memory)


class LiveProbe:
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

    def __init__(self, modules: dict[str, Module], every: int, dtype: DType, memory: int) -> None:
        self.modules, self.every, self.dtype, self.memory = modules, every, dtype, memory
        self.measured = False
        self.notes: tuple[str, ...] = ()
        self._entered = 0
        self._handles: list[Any] = []
        self._heard: list[Heard] = []
        self._room = Room(memory)
        self._measured: list[Measured] = []

    def __enter__(self) -> Self:
        """Begin to listen, where it is this block's turn."""
        self.measured = self._entered % self.every == 0
        self._entered += 1
        if self.measured:
            self._heard, self._room = [], Room(self.memory)
            for name, module in self.modules.items():
                listener = ModuleListener(name, module, self.dtype, self._heard, self._room)
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
        self.__dict__.pop("flow", None)
        self._measured = []
        notes: dict[str, None] = {}
        if self._room.full:
            heard = []
            notes[
                f"the calls in this block take more than {self.memory:,} bytes: enter it for one "
                "step of training at a time, or give watch() more memory"
            ] = None
        times = Counter[str]()
        for one in heard:
            if note := one.note:
                notes[note] = None
                continue
            call = one.call()
            if call.reached:
                again = times[one.name]
                self._measured.append(Measured(one.name, again, call, self.memory))
            times[one.name] += 1
        if not self._measured and not notes:
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

        Raises
        ------
        UserError
            If nothing has been measured, or nothing could be.
        """
        points, parts = [], {}
        again = any(one.again for one in self._known)
        for index, one in enumerate(self._known):
            net, length = one.call.net, len(one.call.x)
            axes: dict[str, Any] = {"model.cell": net.label, "length": length, "seed": 0}
            axes |= {"module": one.name} if len(self.modules) > 1 else {}
            axes |= {"call": one.again} if again else {}
            at = "all" if one.call.several else "last"
            settings = {"loss": {"kind": "given", "at": at}, "record": {"states": list(NAMES)}}
            told = {"cell": net.label, "kind": net.layers[0].cell.kind, "features": net.inputs}
            points.append(Point(f"{index:016x}", axes, length, 0, settings, told))
            parts[points[-1].hash] = one
        return Flow(Run("probe", tuple(points), load=lambda point: parts[point.hash].norms))

    @property
    def _known(self) -> list[Measured]:
        """What can be shown."""
        if not self._measured:
            why = "\n".join(self.notes) or "the with block has not been entered yet"
            raise UserError(f"nothing has been measured: {why}")
        return self._measured

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
        at the last loss step: the median over sequences. ``…/decades`` is their difference; where
        the loss is a sum over steps, for its last one alone.
        """
        found: dict[str, Array] = {}
        for one in self._known:
            prefix = f"gradflow/{one.name}" + f"/call{one.again}" * bool(one.again) + "/"
            for name in states(one.norms):
                for place, start, end in _ends(one.norms[name]):
                    found |= {
                        f"{prefix}{place}{name}/start": start,
                        f"{prefix}{place}{name}/end": end,
                    }
                for place, start, end in _ends(judged(one.norms, name)):
                    with np.errstate(invalid="ignore"):  # no error at all: −inf − −inf
                        lost = np.where(np.isneginf(start), -np.inf, start - end)
                    found[f"{prefix}{place}{name}/decades"] = lost
        return {key: float(np.median(values)) for key, values in found.items()}


@dataclass(frozen=True)
class Measured:
    """A module's call, or chain of calls, and its norms once they are asked for."""

    name: str
    again: int
    call: Call
    memory: int

    @cached_property
    def norms(self) -> Result:
        """Of the loss as it is and, where it is a sum over steps, of the last one alone."""
        return results_of(self.call, self.memory)


def _ends(quantity: Quantity) -> Iterator[tuple[str, Array, Array]]:
    """Place, and the norms at the far end and at the loss end, ``(sequences,)`` each.

    The loss end is the smallest lag with a norm above zero.
    """
    ways, lags = (np.asarray(quantity.coords[name]) for name in ("direction", "lag"))
    for layer, way in np.ndindex(quantity.values.shape[:2]):
        values = quantity.values[layer, way]
        lag = np.broadcast_to(lags[way], values.shape)
        some = (lag >= 0) & (values > -np.inf)
        nearest = np.argmin(np.where(some, lag, lag.max() + 1), axis=1)
        place = f"layer{layer}/" + "backward/" * (ways[way] == "backward")
        end = values[np.arange(len(values)), nearest]
        yield "" if quantity.name.startswith("x") else place, values[:, 0], end
