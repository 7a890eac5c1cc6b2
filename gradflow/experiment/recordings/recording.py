"""What a recording is: everything that the house asks of it, in one class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from gradflow.core.engine.bptt import backpropagate
from gradflow.core.engine.observe import Observer
from gradflow.core.engine.schedule import Schedule
from gradflow.core.engine.tape import Keep
from gradflow.core.network.losses import Loss
from gradflow.core.network.stack import Network, States, Weights, states_among
from gradflow.core.quantity import Result
from gradflow.core.record import Timeline
from gradflow.core.typing import Array, DType

__all__ = ["Recorder", "Recording", "Scope", "Setting"]


class Recorder(Observer, Protocol):
    """An observer that fills a part of a stored result."""

    def quantities(self, net: int, length: int) -> Result:
        """What was recorded of one of the nets at one of the lengths."""


@dataclass(frozen=True)
class Setting:
    """What a bundle's configuration describes, as arrays; see `backpropagate`."""

    net: Network
    weights: Weights
    x: Array
    loss: Loss
    initial: States | None = None
    own_lengths: Array | None = None

    def backpropagate(
        self,
        lengths: Sequence[int],
        observers: Sequence[Observer],
        schedule: Schedule,
        at: Sequence[int | Array] | None = None,
    ) -> None:
        """Go forward and back, watched by observers."""
        backpropagate(
            self.net, self.weights, self.x, self.loss, lengths, observers, schedule,
            at=at, initial=self.initial, own_lengths=self.own_lengths,
        )  # fmt: skip

    def few(self, columns: int) -> Setting:
        """The first sequences alone."""
        few, own = slice(columns), self.own_lengths
        initial = states_among(self.initial, few)
        own = None if own is None else own[few]
        loss, x = self.loss.among(few), self.x[..., few]
        return replace(self, x=x, loss=loss, initial=initial, own_lengths=own)


@dataclass(frozen=True, kw_only=True)
class Scope(Timeline):
    """What is recorded and how large it is, known before anything is measured.

    Parameters
    ----------
    states : tuple of str
        Whose norms are asked for.
    dtype : dtype
        Of states and adjoints.
    reads : bool
        Whether there is a readout.
    """

    states: tuple[str, ...]
    dtype: DType
    reads: bool = False

    @property
    def places(self) -> int:
        """Layers times directions."""
        return len(self.net.layers) * len(self.net.directions)

    @property
    def recorded(self) -> int:
        """Recorded steps of all lengths."""
        return sum(self.count(length) for length in self.lengths)

    @property
    def series(self) -> int:
        """Numbers in one quantity along time, of all nets, places and sequences."""
        return self.recorded * self.places * self.nets * self.columns

    def each(self) -> list[Scope]:
        """The same for every length by itself."""
        return [replace(self, lengths=(length,)) for length in self.lengths]


@dataclass(frozen=True)
class Recording:
    """Something to record beside the norms; its fields are the options under ``record.NAME``.

    A recording looks on while the adjoints go by (`observer`), or needs passes of its own
    (`analyse`), or both. What it returns are `Quantity` arrays: their axes become columns of the
    export, a logarithm over `SERIES` whose name is a word can be plotted and tabulated as a state.

    Register a subclass in `RECORDINGS`, or in a package of one's own under the entry points
    ``gradflow.recordings``: experiment files, their schema, plans, workers and exports find it.
    """

    name: ClassVar[str]
    """Its key under ``record``."""

    summary: ClassVar[str]
    """What it measures, in a few words."""

    figure: ClassVar[str] = "curves"
    """The kind of plot that shows it; empty: only exports have it."""

    together: ClassVar[bool] = False
    """Whether it is refused for sequences that end at lengths of their own."""

    needs: ClassVar[Keep] = Keep.NOTHING
    """What the tapes must hold of every step for its observer."""

    def check(self, net: Network) -> None:
        """Raise ValueError where it is not defined on a network."""

    def numbers(self, scope: Scope) -> int:
        """Count the numbers in its results."""
        return scope.series

    def observer(self, scope: Scope) -> Recorder | None:
        """Make what looks on while the adjoints of all lengths go by."""
        return None

    def beside(self, scope: Scope, schedule: Schedule) -> int:
        """Predict the bytes that it takes while it looks on, its results left aside."""
        return 0

    def analyse(self, scope: Scope, setting: Setting, schedule: Schedule) -> Sequence[Result]:
        """Measure in passes of its own, cut by the schedule, for the one length of the scope.

        Returns
        -------
        sequence of Result
            One for each net; empty if there is nothing to measure.
        """
        return ()

    def alone(self, scope: Scope, schedule: Schedule) -> int:
        """Predict the bytes that its own passes take for one length, its results left aside."""
        return 0
