"""What hooks take from PyTorch's recurrent modules while a model runs and its error comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.nn.utils.rnn import PackedSequence

from gradflow.core.network.stack import Network, States, Weights
from gradflow.core.typing import Array, DType
from gradflow.integrations.modules import (
    Module,
    Tensor,
    array,
    network,
    padded,
    states,
    weights,
)
from gradflow.integrations.replay import Call

__all__ = ["Chains", "Heard", "Sequences"]


@dataclass
class Gradient:
    """∂L/∂ of a tensor, by whatever reads it; the sum, if error comes back more than once."""

    of: Tensor = None

    def listen(self, tensor: Tensor) -> None:
        """Hear what comes back to a tensor."""
        if tensor.requires_grad:
            tensor.register_hook(self._add)

    def _add(self, gradient: Tensor) -> None:
        own = gradient.detach()
        self.of = own.clone() if self.of is None else self.of + own


@dataclass
class Heard(ABC):
    """A call of a module, or a chain of calls."""

    name: str
    net: Network
    weights: Weights
    dtype: DType

    @property
    @abstractmethod
    def note(self) -> str:
        """Why it cannot be replayed, once error has come back; empty if it can."""

    @abstractmethod
    def call(self) -> Call:
        """Return it as arrays, once error has come back."""


@dataclass(kw_only=True)
class HeardSequence(Heard):
    """A call of nn.RNN, nn.LSTM or nn.GRU."""

    module: Module
    x: Array
    lengths: Array
    initial: States | None
    packing: PackedSequence | None
    masked: bool
    dy: Gradient = field(default_factory=Gradient)
    ends: tuple[Gradient, ...] = ()

    @property
    def note(self) -> str:
        """Dropout between layers."""
        if not self.masked:
            return ""
        return (
            f"{self.name}: dropout between its layers drew masks that no one can see, so it cannot "
            "be replayed; while watching, set its dropout to 0 or call eval() on it, or build it "
            "of one-layer modules with nn.Dropout between them"
        )

    def call(self) -> Call:
        """Return it as arrays."""
        dy, columns = None, self.x.shape[-1]
        if self.dy.of is not None:
            packing = self.packing
            gradient = self.dy.of if packing is None else packing._replace(data=self.dy.of)
            dy, _ = padded(self.module, gradient, self.dtype)
        beyond = states(self.net, tuple(end.of for end in self.ends), columns, self.dtype)
        return Call(
            self.net,
            self.weights,
            self.x,
            self.initial,
            dy,
            beyond,
            self.lengths,
            np.arange(columns),
        )


class Listener(ABC):
    """Listens to one module.

    Parameters
    ----------
    name : str
        What the module is called in its model.
    module : torch.nn.Module
        The module.
    dtype : dtype
        Of the copies.
    heard : list of Heard
        Where calls are put.
    """

    def __init__(self, name: str, module: Module, dtype: DType, heard: list[Heard]) -> None:
        self.name, self.module, self.dtype, self.heard = name, module, dtype, heard
        self.net = network(module)

    @abstractmethod
    def hooks(self) -> list[Any]:
        """Put hooks on the module; their handles remove them."""


class Sequences(Listener):
    """Listens to nn.RNN, nn.LSTM and nn.GRU, which take all steps in a call."""

    def hooks(self) -> list[Any]:
        """See `Listener`."""
        return [self.module.register_forward_hook(self._after, with_kwargs=True)]

    def _after(self, module: Module, args: Any, kwargs: Any, result: Any) -> None:
        x, hx = _arguments(args, kwargs)
        output, ends = result
        ends = ends if isinstance(ends, tuple) else (ends,)
        packed = isinstance(output, PackedSequence)
        data = output.data if packed else output
        if not any(tensor.requires_grad for tensor in (data, *ends)):
            return
        own, lengths = padded(module, x, self.dtype)
        hx = hx if isinstance(hx, tuple) else (hx,)
        heard = HeardSequence(
            self.name,
            self.net,
            weights(module, self.net, self.dtype),
            self.dtype,
            module=module,
            x=own,
            lengths=lengths,
            initial=None if hx[0] is None else states(self.net, hx, own.shape[-1], self.dtype),
            packing=output._replace(data=data.detach()) if packed else None,
            masked=module.dropout > 0 and module.training and module.num_layers > 1,
            ends=tuple(Gradient() for _ in ends),
        )
        heard.dy.listen(data)
        for gradient, end in zip(heard.ends, ends, strict=True):
            gradient.listen(end)
        self.heard.append(heard)


@dataclass
class Step:
    """A call of a Cell module in a chain of them."""

    x: Array
    given: tuple[Tensor, ...]
    versions: tuple[int, ...]
    gradients: tuple[Gradient, ...]


@dataclass(kw_only=True)
class HeardChain(Heard):
    """Calls of a Cell module, each from the very state that the one before gave."""

    initial: States | None
    inherits: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def note(self) -> str:
        """What happens to the state between the steps."""
        if self.inherits and len(self.steps) == 1:
            return (
                f"{self.name}: its state is changed after each step (a mask, a norm, dropout), so "
                "there is no chain of steps to replay; hand it on as it is while watching"
            )
        if any(each.of is not None for step in self.steps[:-1] for each in step.gradients[1:]):
            return (
                f"{self.name}: the loss looks at its cell state between steps, which cannot be "
                "replayed; let it look at h, or at the last c alone"
            )
        return ""

    def call(self) -> Call:
        """Return it as arrays."""
        x = np.stack([step.x for step in self.steps])
        nothing = np.zeros((1, self.net.outputs, x.shape[-1]), self.dtype)
        each = [step.gradients[0].of for step in self.steps]
        dy = np.stack([nothing if d is None else _columns(d, self.dtype) for d in each])
        beyond = None
        if len(self.net.parts) > 1 and (dc := self.steps[-1].gradients[1].of) is not None:
            beyond = (((np.zeros_like(nothing), _columns(dc, self.dtype)),),)
        columns = x.shape[-1]
        lengths = np.full(columns, len(x))
        return Call(
            self.net, self.weights, x, self.initial, dy, beyond, lengths, np.arange(columns)
        )


class Chains(Listener):
    """Listens to the Cell modules, which take one step in a call.

    A model gets a copy of each state; where it hands that very copy back, the cell goes on from the
    original. So what comes back to the copy is ∂L/∂h_k by the model's own paths, without the path
    through the next step, and the numbers are those that they were.
    """

    def hooks(self) -> list[Any]:
        """See `Listener`."""
        self.chains: list[HeardChain] = []
        self.going: HeardChain | None = None
        self.originals: tuple[Tensor, ...] = ()
        return [
            self.module.register_forward_pre_hook(self._before, with_kwargs=True),
            self.module.register_forward_hook(self._after, with_kwargs=True),
        ]

    def _before(self, module: Module, args: Any, kwargs: Any) -> Any:
        """Let a chain go on, or begin one."""
        x, hx = _arguments(args, kwargs)
        given = hx if isinstance(hx, tuple) else (hx,)
        if self.going is not None and self._hands_on(given):
            again = self.originals
            return (x, again if len(again) > 1 else again[0]), {}
        self.going = None
        return None

    def _hands_on(self, given: tuple[Tensor, ...]) -> bool:
        assert self.going is not None
        last = self.going.steps[-1]
        same = len(given) == len(last.given) and all(map(_is, given, last.given))
        return same and last.versions == tuple(tensor._version for tensor in given)

    def _after(self, module: Module, args: Any, kwargs: Any, result: Any) -> Any:
        """Add a step, and give copies of the state."""
        x, hx = _arguments(args, kwargs)
        self.originals = result if isinstance(result, tuple) else (result,)
        if not self.originals[0].requires_grad:
            self.going = None
            return None
        own = _columns(x, self.dtype)
        if self.going is None:
            given = hx if isinstance(hx, tuple) else (hx,)
            self.going = HeardChain(
                self.name,
                self.net,
                weights(module, self.net, self.dtype),
                self.dtype,
                initial=states(self.net, given, own.shape[-1], self.dtype),
                inherits=hx is not None and given[0].requires_grad and bool(self.chains),
            )
            self.chains.append(self.going)
            self.heard.append(self.going)
        copies = tuple(tensor.clone() for tensor in self.originals)
        gradients = tuple(Gradient() for _ in copies)
        for gradient, copy in zip(gradients, copies, strict=True):
            gradient.listen(copy)
        versions = tuple(copy._version for copy in copies)
        self.going.steps.append(Step(own, copies, versions, gradients))
        return copies if isinstance(result, tuple) else copies[0]


def _is(one: Tensor, other: Tensor) -> bool:
    return one is other


def _columns(tensor: Tensor, dtype: DType) -> Array:
    """(sequences, features), or features alone, as ``(1, features, sequences)``."""
    return array(tensor.reshape(-1, tensor.shape[-1]), dtype, 1, 0)[None]


def _arguments(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The input and the initial state of a call."""
    given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
    return given["input"], given.get("hx")
