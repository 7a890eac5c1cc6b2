"""What a checkpoint holds: nets, what stands near them, and the experiment that measures one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradflow.core.network.stack import Network
from gradflow.core.typing import Array
from gradflow.errors import typed
from gradflow.experiment.data.reading import mistake
from gradflow.experiment.models.found import FoundNet, Near
from gradflow.experiment.models.opening import Contents, open_checkpoint
from gradflow.experiment.models.pytorch import NAME
from gradflow.experiment.models.tensors import flat, mappings
from gradflow.experiment.models.weights import apart, choose, read_near, read_weights
from gradflow.experiment.models.written import NAMES, written

__all__ = ["Inspected", "experiment", "inspect", "net_tensors"]


@dataclass(frozen=True)
class Inspected:
    """What was found in a file.

    Parameters
    ----------
    path : path
        The file.
    nets : tuple of FoundNet
        The nets; the one that was asked for, if one was.
    several : bool
        Whether the file holds more than one, so that a name has to be given.
    near : tuple of Near
        Heads and embeddings.
    rest : tuple of str
        Names of the other tensors.
    names : tuple of mappings
        What may be meant by PyTorch's names, where no net was found.
    """

    path: Path
    nets: tuple[FoundNet, ...]
    several: bool
    near: tuple[Near, ...]
    rest: tuple[str, ...]
    names: tuple[dict[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "file": str(self.path),
            "nets": [
                {
                    "name": net.prefix,
                    "layers": [
                        {
                            "kind": layer.kind, "hidden": layer.hidden, "inputs": layer.inputs,
                            "directions": layer.directions, "options": dict(layer.options),
                        }
                        for layer in net.layers
                    ],
                    "notes": list(net.notes),
                    "problem": net.problem or None,
                }
                for net in self.nets
            ],
            "near": [
                {"kind": one.kind, "prefix": one.prefix, "rows": one.rows, "cols": one.cols}
                for one in self.near
            ],
            "not_recognised": list(self.rest),
            "names": list(self.names),
        }  # fmt: skip


def inspect(source: str | Path) -> Inspected:
    """Look into a checkpoint, ``file`` or ``file#prefix``, without reading its numbers.

    Raises
    ------
    UserError
        If it is not a sound file of a known format, or has no such net.
    """
    path, prefix = apart(source)
    with open_checkpoint(path) as contents:
        nets = (choose(contents, path, prefix),) if prefix else contents.nets
        several = len(contents.nets) > 1 or bool(prefix)
        found = tuple(mappings(contents.shapes)) if not contents.singles else ()
        near = contents.near
        if prefix:  # what stands below a net's own name is its own
            near = tuple(one for one in near if _below(nets[0], one)) or near
        return Inspected(path, nets, several, near, tuple(_rest(contents)), found)


def _below(net: FoundNet, one: Near) -> bool:
    return not net.prefix or one.prefix.startswith(f"{net.prefix}.")


def _rest(contents: Contents) -> Iterable[str]:
    """Names of the tensors that belong to no net, head or embedding."""
    owners = [net.prefix for net in contents.singles if net.prefix]
    owners += [one.prefix for one in contents.near]
    bare = any(not net.prefix for net in contents.singles)
    for name in contents.shapes:
        dotted = "." + re.sub("[/:]", ".", name).strip(".") + "."
        own = bare and (
            "parametrizations." in name
            or NAMES.fullmatch(name)
            or NAME.fullmatch(re.sub("_([gv]|orig|raw)$", "", name))
        )
        if not own and not any(f".{owner}." in dotted for owner in owners):
            yield name


def experiment(found: Inspected, file: Path) -> str:
    """Return the experiment file that measures the one net that was found.

    Parameters
    ----------
    found : Inspected
        What `inspect` says of one net.
    file : path
        Where the text will stand: the path of the weights is relative to its folder.

    Raises
    ------
    UserError
        If there is no net, or more than one, or it cannot be read.
    """
    return experiment_text(found, _one(found, file), file)


def net_tensors(found: Inspected, file: Path) -> dict[str, Array]:
    """Return the one net that was found, and heads below its name, by PyTorch's names.

    Where PyTorch has no such module the names are gradflow's own, see `written`.

    Raises
    ------
    UserError
        As `experiment` does.
    """
    net = _one(found, file)
    source = f"{found.path}#{net.prefix}" if found.several else found.path
    imported = read_weights(source)
    tensors = written(Network(imported.inputs, imported.stack), imported.weights, 0)
    for one in found.near:
        if one.kind == "head" and _below(net, one):
            name = one.prefix.removeprefix(f"{net.prefix}." if net.prefix else "")
            V, b = read_near(found.path, one.prefix, "a head")
            tensors |= {f"{name}.weight": V} | ({} if b is None else {f"{name}.bias": b})
    return tensors


def _one(found: Inspected, file: Path) -> FoundNet:
    """Return the one net that was found."""
    readable = [net for net in found.nets if not net.problem]
    if len(readable) != 1:
        names = ", ".join(flat(net.prefix) for net in readable) or "none"
        first = readable[0].prefix if readable else "NET"
        one = f"{typed(found.path)}#{flat(first)}"
        raise mistake(
            found.path,
            f"{typed(file)} would hold one net, and there are {len(readable)}: {names}",
            fix=f"gradflow inspect {one} --write {typed(file)}",
        )
    return readable[0]


def experiment_text(found: Inspected, net: FoundNet, file: Path) -> str:
    """Return the experiment file that measures a net."""
    weights = os.path.relpath(found.path, file.parent) + (f"#{net.prefix}" if found.several else "")
    states = ["h", "c", "s"] if any(layer.kind == "lstm" for layer in net.layers) else ["h", "s"]
    line = weights if re.fullmatch(r"[\w./#+-]*[\w]", weights) else json.dumps(weights)
    near = "".join(f"# {_words(one)}\n" for one in found.near)
    notes = "".join(f"# note: {note}\n" for note in net.notes)
    return (
        f"# How far does error flow back in {flat(net.prefix or found.path.name)}? {_sizes(net)}\n"
        f"{near}{notes}"
        f"model: {{weights: {line}}}\n"
        f"# noise stands in for your data: {{kind: file, path: data.npy}}, "
        f"(sequences, steps, {net.layers[0].inputs})\n"
        f"inputs: {{kind: noise, features: {net.layers[0].inputs}, sequences: 16}}\n"
        "loss: {kind: probe, at: last}\n"
        "length: 100\n"
        f"record: {{states: [{', '.join(states)}]}}\n"
    )


def _sizes(net: FoundNet) -> str:
    return " → ".join(
        [str(net.layers[0].inputs)]
        + [f"{layer.kind} {layer.hidden}{' ↔' * (layer.directions - 1)}" for layer in net.layers]
    )


def _words(one: Near) -> str:
    name = flat(one.prefix)
    if one.kind == "embedding":
        use = f"inputs: {{kind: file, path: tokens.npy, embedding: {name}}}"
        return f"near: embedding {name}, {one.rows} tokens of {one.cols}; {use}"
    kind = "mse" if one.rows == 1 else "cross_entropy"
    use = f"loss: {{kind: {kind}, head: {name}, targets: y.npy}}"
    return f"near: head {name}, {one.cols} → {one.rows}; {use}"
