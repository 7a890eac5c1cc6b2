"""What stands beside a net in files of its own: initial states, a head, targets, cotangents.

Of each file the first sequences are taken, as many as there are inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.network.stack import Network, States
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.data.reading import enough, finite, mistake, once, read_npy, read_npz
from gradflow.experiment.models.weights import apart, read_near

__all__ = ["Answers", "read_answers", "read_states"]

STACKED = "(layers · directions, batch, size)"


def read_states(path: Path, net: Network, sequences: int) -> States:
    """Read s_0 of every layer and direction from an .npz.

    ``h0`` and, of an LSTM, ``c0`` are shaped (layers · directions, batch, size) as PyTorch has
    them: layer by layer, forward before backward. Where sizes differ each stands by itself,
    (batch, size): ``h0_l0``, ``h0_l0_reverse``, ``h0_l1``, …. A batch of 1 is shared by all.

    Raises
    ------
    UserError
        If a part is missing, of another shape, not finite, or none of the net's.
    """
    places = list(net.places())
    parts = {part: [p for p in places if part in net.layers[p[0]].cell.parts] for part in net.parts}
    found = read_npz(path, lambda there: _known(there, parts, path))
    each: dict[tuple[int, int, str], Array] = {}
    for part, owners in parts.items():
        whole = found.get(f"{part}0")
        for index, (layer, way) in enumerate(owners):
            name = f"{part}0" if whole is not None else _called(part, layer, way)
            cell = net.layers[layer].cell
            size = cell.sizes[cell.parts.index(part)]
            if name not in found:
                raise mistake(
                    path,
                    f"holds no {part}0 and no {name}",
                    expected=f"the initial {part} of {net.name(layer, way)}",
                    fix=f"save {part}0, shaped ({len(owners)}, batch, size)",
                )
            a = found[name]
            if whole is not None:
                a = a[:, None] if a.ndim == 2 else a
                _shaped(path, name, a, (len(owners), None, size), STACKED)
                a = a[index]
            _shaped(path, name, a, (None, size), "(batch, size)")
            a = finite(a, path, name, ("sequence", "unit"))
            if len(a) > 1:
                a = _cut(path, a, None, sequences)
            each[layer, way, part] = a.T[None].astype(np.float64)
    return tuple(
        tuple(
            tuple(each[index, way, part] for part in layer.cell.parts)
            for way in range(len(layer.directions))
        )
        for index, layer in enumerate(net.layers)
    )


def _called(part: str, layer: int, way: int) -> str:
    return f"{part}0_l{layer}" + "_reverse" * way


def _known(there: list[str], parts: Mapping[str, list[tuple[int, int]]], path: Path) -> list[str]:
    names = {f"{part}0" for part in parts}
    names |= {_called(part, *place) for part, places in parts.items() for place in places}
    if more := sorted({*there} - names):
        raise mistake(
            path,
            f"holds {', '.join(more[:6])}, which is no state of the net",
            expected=f"{' and '.join(f'{part}0' for part in parts)}",
            fix="save the initial states alone",
        )
    return there


@dataclass(frozen=True)
class Answers:
    """What a loss has from files.

    Parameters
    ----------
    outputs : int
        Features of o, 0 where nothing says how many.
    head : pair of array, or None
        V ``(m, outputs)`` and b ``(m,)`` or None.
    targets : array or None
        As `Loss` takes them.
    """

    outputs: int
    head: tuple[Array, Array | None] | None = None
    targets: Array | None = None


def read_answers(
    loss: Any,
    weights: str | None,
    net: Network,
    steps: int,
    sequences: int,
    own_lengths: Array | None,
) -> Answers:
    """Read what the section ``loss`` names: a head, and targets or cotangents.

    Parameters
    ----------
    loss : LossConfig
        The section.
    weights : str or None
        The file that the head stands in.
    net : Network
        Whose outputs the head reads.
    steps, sequences, own_lengths
        Of the inputs.

    Raises
    ------
    UserError
        If a file does not fit.
    """
    width = net.width(loss.of)
    head = None if loss.head is None else _head(loss.head, weights, width)
    outputs = 0 if head is None else len(head[0])
    ends = np.full(sequences, steps) if own_lengths is None else own_lengths
    if loss.path is not None:
        a = _cotangents(Path(loss.path), outputs or width, sequences, ends, steps)
        return Answers(outputs or width, head, a)
    if loss.targets is None:
        return Answers(outputs, head)
    path, classes = Path(loss.targets), loss.compares == "classes"
    targets = _classes(path, steps, ends) if classes else _values(path, steps, ends)
    found = int(targets.max()) + 1 if classes else targets.shape[2]
    if head is not None and (found > outputs if classes else found != outputs):
        raise mistake(
            path,
            f"holds class {found - 1}" if classes else f"holds {found} values for each",
            expected=f"what the head gives: {outputs} {'classes' if classes else 'values'}",
        )
    there = np.asarray(targets >= 0 if classes else ~np.isnan(targets).all(axis=2))
    at = np.arange(1, steps + 1)[:, None]
    asked = at == ends if loss.at in ("last", "ends") else at <= ends
    asked = asked & np.isin(at, loss.at) if isinstance(loss.at, tuple) else asked
    if not (there[:, 0] & asked).any():
        raise mistake(path, "has no target at any step where the loss stands", fix="correct at")
    return Answers(outputs or found, head, targets)


def _head(name: str, weights: str | None, width: int) -> tuple[Array, Array | None]:
    """V and b of a head in the file of the weights."""
    if weights is None:
        raise UserError("loss.head stands in the file of model.weights, and there is none")
    V, b = read_near(weights, name, "a head")
    if V.shape[1] != width:
        raise mistake(
            apart(weights)[0],
            f"the head {name} reads {V.shape[1]} features, the net gives {width}",
            expected=f"a head of the net's {width} outputs",
        )
    return V, b


def _cotangents(path: Path, width: int, sequences: int, ends: Array, steps: int) -> Array:
    """∂L/∂o, (sequences, steps, features) in the file, as (steps, 1, m, columns)."""
    a = _array(path)
    a = a[None] if a.ndim == 2 else a
    _shaped(path, "the array", a, (None, None, width), "(sequences, steps, features)")
    a = _cut(path, a, steps, sequences)
    a = np.where(np.arange(steps)[:, None] < ends[:, None, None], a, 0)
    a = finite(a, path, "the array", ("sequence", "step", "feature"))
    return a.transpose(1, 2, 0)[:, None].astype(np.float64)


def _values(path: Path, steps: int, ends: Array) -> Array:
    """Targets that are numbers, as (steps, 1, m, columns).

    (sequences, steps, m) in the file, NaN where there is none; or (sequences, m), one at each
    one's last step.
    """
    a = _array(path)
    if a.ndim not in (2, 3) or a.size == 0 or np.isinf(a).any():
        expected = "finite numbers (sequences, steps, features), or (sequences, features)"
        raise mistake(path, f"the array is shaped {a.shape}", expected=expected)
    a = _cut(path, a.astype(np.float64), steps if a.ndim == 3 else None, len(ends))
    return _at_the_end(a.T, np.nan, steps, ends) if a.ndim == 2 else a.transpose(1, 2, 0)[:, None]


def _classes(path: Path, steps: int, ends: Array) -> Array:
    """Targets that are classes, as (steps, 1, columns).

    (sequences, steps) in the file, −1 where there is none; or (sequences,), one at each one's last
    step.
    """
    a = _array(path)
    if a.ndim not in (1, 2) or a.size == 0 or a.dtype.kind not in "iu" or a.min() < -1:
        raise mistake(
            path,
            f"the array is shaped {a.shape}, {a.dtype.name}",
            expected="whole numbers from 0, or −1 for none: (sequences, steps), or (sequences,)",
        )
    a = _cut(path, a.astype(np.int64), steps if a.ndim == 2 else None, len(ends))
    return _at_the_end(a, -1, steps, ends) if a.ndim == 1 else a.T[:, None]


def _at_the_end(a: Array, nothing: float, steps: int, ends: Array) -> Array:
    """Put what each sequence has once, ``(..., columns)``, at its last step."""
    there = np.arange(1, steps + 1)[:, None] == ends
    shape = (steps, 1, *[1] * (a.ndim - 1), len(ends))
    return np.where(there.reshape(shape), a, np.asarray(nothing, a.dtype))


@once
def _array(path: Path) -> Array:
    """Read the one array of a .npy or .npz file."""
    if path.suffix.lower() == ".npy":
        return read_npy(path)

    def only(there: list[str]) -> list[str]:
        if len(there) != 1:
            raise mistake(path, f"holds {len(there)} arrays", expected="one", fix="save it alone")
        return there

    return next(iter(read_npz(path, only).values()))


def _shaped(path: Path, name: str, a: Array, wanted: tuple[int | None, ...], axes: str) -> None:
    """Refuse an array of another shape; a size of None may be any but 0."""
    fits = a.ndim == len(wanted) and all(
        size == asked or (asked is None and size > 0)
        for size, asked in zip(a.shape, wanted, strict=True)
    )
    if not fits or a.dtype.kind not in "biuf":
        text = ", ".join("any" if asked is None else str(asked) for asked in wanted)
        raise mistake(path, f"{name} is shaped {a.shape}", expected=f"({text}): {axes}")


def _cut(path: Path, a: Array, steps: int | None, sequences: int) -> Array:
    """The first sequences, and of each the first steps where it has any."""
    enough(path, "sequences", len(a), sequences, "inputs.sequences")
    if steps is None:
        return a[:sequences]
    enough(path, "steps", a.shape[1], steps, "length")
    return a[:sequences, :steps]
