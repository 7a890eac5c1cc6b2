"""A reader for what Keras saves: HDF5 files, and .keras archives that hold one.

Nothing outside the named file is opened: links to other files, datasets whose bytes lie elsewhere
and virtual ones are refused, and so are filters that would load a plug-in. What a dataset unpacks
to is held against the bytes that it takes before anything is allocated.

What the configuration inside says of the recurrent layers (Keras 1 to 3) is `described`.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import MAX_BYTES, UNSOUND, mistake, too_large
from gradflow.experiment.models.tensors import Tensor, Tensors, broken, flat, unknown_type

__all__ = ["Described", "Saved", "described", "hdf5"]

MAX_TEXT = 1 << 24
MAX_DEPTH, MAX_OBJECTS = 32, 100_000
FILTERS = (1, 2, 3)
"""deflate, shuffle and fletcher32: those that HDF5 has inside."""

INFLATES = 1100
"""How many times its size deflate may unpack to, at the very most."""


@dataclass(frozen=True)
class Saved:
    """What Keras saved.

    Parameters
    ----------
    tensors : mapping
        Datasets by their path.
    names : mapping
        What groups are called, by their path, where they say so.
    config : mapping
        The model's configuration; empty if the file has none.
    version : str
        Keras's version; empty if the file does not say.
    """

    tensors: Tensors
    names: dict[str, str]
    config: dict[str, Any]
    version: str


def hdf5(file: IO[bytes], path: Path) -> Saved:
    """Read the headers.

    Raises
    ------
    UserError
        If the file is cut short, contradicts itself, or leads outside.
    """
    import h5py

    archived = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    config, version, source = _unpacked(file, path) if archived else ({}, "", file)
    try:
        whole = h5py.File(source, "r")
        tensors, names = _walk(whole, path)
        texts = {key: _text(whole, key, path) for key in ("model_config", "keras_version")}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, UnicodeError) as error:
        raise _broken(path, flat(str(error))) from error
    config = config or _json(texts["model_config"], path)
    return Saved(tensors, names, config, version or texts["keras_version"])


def _broken(path: Path, problem: str) -> Exception:
    return broken(path, "model of Keras", problem, "what model.save or model.save_weights writes")


def _unpacked(file: IO[bytes], path: Path) -> tuple[dict[str, Any], str, IO[bytes]]:
    """Take a .keras archive apart: configuration, version and weights."""
    try:
        with zipfile.ZipFile(file) as archive:
            there = {member.filename: member.file_size for member in archive.infolist()}
            most = {
                "config.json": MAX_TEXT,
                "metadata.json": MAX_TEXT,
                "model.weights.h5": MAX_BYTES,
            }
            for name, limit in most.items():
                if there.get(name, 0) > limit:
                    raise too_large(path, there[name])
            parts = {name: archive.read(name) for name in most}
    except (*UNSOUND, KeyError) as error:
        raise _broken(path, flat(str(error))) from error
    config = _json(parts["config.json"].decode("utf-8", "replace"), path)
    version = str(
        _json(parts["metadata.json"].decode("utf-8", "replace"), path).get("keras_version")
    )
    return config, version, io.BytesIO(parts["model.weights.h5"])


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise _broken(path, "its configuration is not JSON") from error
    return value if isinstance(value, dict) else {}


def _text(group: Any, key: str, path: Path) -> str:
    """Return an attribute that holds a text; empty if there is none."""
    if key not in group.attrs:
        return ""
    if group.attrs.get_id(key).get_storage_size() > MAX_TEXT:
        raise too_large(path, group.attrs.get_id(key).get_storage_size())
    value = group.attrs[key]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _walk(whole: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    import h5py

    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", whole)]
    while todo:
        at, group = todo.pop()
        where = h5py.h5o.get_info(group.id).addr
        if where in seen or at.count("/") > MAX_DEPTH:
            continue
        seen.add(where)
        if len(seen) + len(tensors) > MAX_OBJECTS:
            raise _broken(path, f"more than {MAX_OBJECTS:,} objects")
        if name := _text(group, "name", path):
            names[at] = name
        for key in group:
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise _outside(path, f"{at}/{key} is a link to another place")
            item, inner = group.get(key), f"{at}/{key}".lstrip("/")
            if isinstance(item, h5py.Dataset):
                tensors[inner] = Tensor(tuple(item.shape or ()), partial(_load, item, inner, path))
            elif isinstance(item, h5py.Group):
                todo.append((inner, item))
    return dict(sorted(tensors.items(), key=lambda item: _natural(item[0]))), names


def _natural(text: str) -> list[Any]:
    """Order numbers in names as numbers."""
    parts: Iterator[str] = iter(text.replace("/", "/\0").replace("_", "_\0").split("\0"))
    return [(len(part), part) if part.strip("/_:").isdigit() else (0, part) for part in parts]


def _outside(path: Path, problem: str) -> Exception:
    return mistake(
        path,
        f"{flat(problem)}, and nothing but the named file is opened",
        expected="a file that holds its own data",
        fix="save the model again with model.save",
    )


def _load(dataset: Any, name: str, path: Path) -> Array:
    """Read a dataset whose bytes lie in this file, packed in a way that HDF5 itself knows."""
    if dataset.is_virtual or dataset.external:
        raise _outside(path, f"the bytes of {name} lie elsewhere")
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    if not set(filters) <= set(FILTERS):
        raise _broken(path, f"{flat(name)} is packed in a way that Keras does not write")
    half = str(dataset.attrs.get("dtype", "")) == "bfloat16" and dataset.dtype.kind in "uiV"
    if dataset.dtype.kind != "f" and not half:
        raise unknown_type(path, flat(name), str(dataset.dtype))
    size, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if size > stored * (INFLATES if filters else 1):
        raise _broken(path, f"{flat(name)} is shaped {dataset.shape}, but has {stored:,} bytes")
    if size > MAX_BYTES:
        raise too_large(path, size)
    try:
        array = np.asarray(dataset[()])
    except (OSError, RuntimeError, ValueError) as error:
        raise _broken(path, flat(str(error))) from error
    if half:
        array = (array.view("<u2").astype("<u4") << 16).view("<f4")
    return array


RECURRENT = ("LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU")
THROUGH = (
    "ActivityRegularization", "Dropout", "GaussianDropout", "GaussianNoise", "InputLayer",
    "Masking", "SpatialDropout1D",
)  # fmt: skip
"""Layers that give what they read, once training is over."""

MAX_NESTED = 16


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
    if not isinstance(listed, list) or depth > MAX_NESTED:
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
    if depth > MAX_NESTED:
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
