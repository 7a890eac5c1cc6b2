"""Graphs of an ONNX model, and the arrays in them that depend on constants alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import MAX_BYTES, mistake
from gradflow.experiment.models.tensors import Tensor, Tensors, broken, flat, unknown_type

__all__ = ["Graph", "attributes", "graphs", "tensors"]


@dataclass
class Graph:
    """One graph: its nodes, and all arrays that can be seen from inside it.

    Parameters
    ----------
    nodes : list
        The nodes in order.
    made : mapping
        The node that makes each value.
    known : mapping
        Initialisers and constants by name, those of the graphs around it as well.
    """

    nodes: list[Any]
    made: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)

    def array(self, name: str, path: Path, depth: int = 0) -> Array | None:
        """Work out a value that depends on constants alone; None where it depends on more."""
        from onnx import TensorProto, numpy_helper

        if name in self.known:
            tensor = self.known[name]
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                raise mistake(
                    path,
                    f"the numbers of {flat(name)} lie in another file, which is not opened",
                    expected="a model that holds its own numbers",
                    fix="save it with onnx.save(model, path), without external data",
                )
            if any(size < 0 for size in tensor.dims):
                raise broken(path, "ONNX model", "a negative size", "what onnx.save writes")
            if tensor.data_type in (
                TensorProto.STRING,
                TensorProto.COMPLEX64,
                TensorProto.COMPLEX128,
            ):
                raise unknown_type(path, flat(name), TensorProto.DataType.Name(tensor.data_type))
            try:
                return np.asarray(numpy_helper.to_array(tensor))
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise broken(
                    path, "ONNX model", flat(str(error)), "what onnx.save writes"
                ) from error
        node = self.made.get(name)
        if node is None or node.op_type not in WORKED or depth > 32:
            return None
        parts = [self.array(part, path, depth + 1) if part else None for part in node.input]
        if not parts or parts[0] is None:
            return None
        try:
            return np.asarray(WORKED[node.op_type](attributes(node), *parts))
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise broken(path, "ONNX model", flat(str(error)), "what onnx.save writes") from error


def _axes(said: Mapping[str, Any], given: Array | None) -> tuple[int, ...]:
    return tuple(int(k) for k in (said["axes"] if given is None else given))


def _slice(
    said: Mapping[str, Any], data: Array, starts: Any = None, ends: Any = None, axes: Any = None,
    steps: Any = None,
) -> Array:  # fmt: skip
    starts = said["starts"] if starts is None else starts
    ends = said["ends"] if ends is None else ends
    axes = said.get("axes", range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    cut = [slice(None)] * data.ndim
    for axis, *ends_at in zip(axes, starts, ends, steps, strict=True):
        cut[int(axis)] = slice(*map(int, ends_at))
    return data[tuple(cut)]


WORKED: dict[str, Any] = {
    "Identity": lambda said, a: a,
    "Cast": lambda said, a: a,
    "Transpose": lambda said, a: a.transpose(said.get("perm")),
    "Concat": lambda said, *all: np.concatenate(all, axis=said["axis"]),
    "Unsqueeze": lambda said, a, axes=None: np.expand_dims(a, _axes(said, axes)),
    "Squeeze": lambda said, a, axes=None: a.squeeze(_axes(said, axes)),
    "Slice": _slice,
}
"""What exporters leave between a weight and the node that reads it."""


def attributes(node: Any) -> dict[str, Any]:
    """Return a node's attributes as Python's values; graphs stay out."""
    from onnx import AttributeProto, helper

    graphs_ = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    said = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type not in graphs_}
    return {k: v.decode("utf-8", "replace") if isinstance(v, bytes) else v for k, v in said.items()}


def graphs(file: IO[bytes], path: Path) -> list[Graph]:
    """Read the model: its graph, and those inside its nodes.

    Raises
    ------
    UserError
        If it is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read(MAX_BYTES))
    except DecodeError as error:
        raise broken(path, "ONNX model", flat(str(error)), "what onnx.save writes") from error
    return list(_inside(model.graph, {}, 0))


def _inside(graph: Any, around: Mapping[str, Any], depth: int) -> Iterator[Graph]:
    whole = Graph(list(graph.node), known={**around, **{t.name: t for t in graph.initializer}})
    for node in whole.nodes:
        whole.made |= dict.fromkeys((name for name in node.output if name), node)
        if node.op_type == "Constant":
            value = [a.t for a in node.attribute if a.name == "value"]
            whole.known |= dict(zip(node.output, value, strict=False))
    yield whole
    for node in whole.nodes if depth < 32 else ():
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _inside(inner, whole.known, depth + 1)


def tensors(found: list[Graph], path: Path) -> Tensors:
    """Return the initialisers and constants of all graphs."""

    def load(graph: Graph, name: str) -> Array:
        array = graph.array(name, path)
        return np.zeros(0) if array is None else array

    return {
        name: Tensor(tuple(tensor.dims), partial(load, graph, name))
        for graph in found
        for name, tensor in graph.known.items()
    }
