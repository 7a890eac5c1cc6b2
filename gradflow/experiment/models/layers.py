"""What a model's configuration says of its recurrent layers (Keras 1 to 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Described", "described"]

RECURRENT = ("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU")
THROUGH = (
    "ActivityRegularization", "Dropout", "GaussianDropout", "GaussianNoise", "InputLayer",
    "Masking", "SpatialDropout1D",
)  # fmt: skip
"""Layers that give what they read, once training is over."""

MAX_DEPTH = 16


@dataclass(frozen=True)
class Described:
    """A layer as the configuration has it.

    Parameters
    ----------
    name : str
        What it is called.
    kind : str
        The class of layer, inside a Bidirectional if there is one.
    options : mapping
        That class's configuration.
    merge : str
        How the two directions become one.
    sources : tuple of str
        The layers that it reads.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    merge: str
    sources: tuple[str, ...]

    @property
    def sequences(self) -> bool:
        """Whether it gives an output at every step."""
        return bool(self.options.get("return_sequences"))


def described(config: Mapping[str, Any]) -> dict[str, Described]:
    """Return the recurrent layers by name, each with what it reads, past dropout and masks."""
    whole = {layer.name: layer for layer in _layers(config, 0)}

    def behind(name: str) -> str:
        for _ in whole:
            layer = whole.get(name)
            if layer is None or layer.kind not in THROUGH or len(layer.sources) != 1:
                break
            name = layer.sources[0]
        return name

    return {
        name: replace(layer, sources=tuple(map(behind, layer.sources)))
        for name, layer in whole.items()
        if layer.kind in RECURRENT
    }


def _layers(model: Any, depth: int) -> Iterator[Described]:
    """All layers of a model and of the models in it, in their order."""
    inner = model.get("config") if isinstance(model, dict) else None
    listed = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(listed, list) or depth > MAX_DEPTH:
        return
    before: tuple[str, ...] = ()
    for layer in listed:
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict | list):
            continue
        config = layer["config"] if isinstance(layer["config"], dict) else {}
        name = str(config.get("name", layer.get("name", "")))
        kind, merge = str(layer.get("class_name")), ""
        if kind == "Bidirectional" and isinstance(config.get("layer"), dict):
            merge = str(config.get("merge_mode", "concat"))
            kind = str(config["layer"].get("class_name"))
            config = config["layer"].get("config", {})
        inbound = layer.get("inbound_nodes")
        sources = before if inbound is None else tuple(dict.fromkeys(_inbound(inbound, 0)))
        yield Described(name, kind, config, merge, sources)
        before = (name,)
        yield from _layers(layer, depth + 1)


def _inbound(value: Any, depth: int) -> Iterator[str]:
    """Names of layers in a list of nodes: [name, node, tensor, …], in Keras 3 a keras_history."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        if len(value) > 2 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
            return
        for part in value:
            yield from _inbound(part, depth + 1)
    elif isinstance(value, dict):
        if isinstance(value.get("keras_history"), list):
            yield from _inbound(value["keras_history"], depth + 1)
            return
        for part in value.values():
            yield from _inbound(part, depth + 1)
