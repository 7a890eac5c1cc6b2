"""Tidy rows of a run, one norm each, for other programs: csv or parquet."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from gradflow.core.quantity import SERIES, Quantity
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.report.records import COLUMNS, Run, length_of, original_step

__all__ = ["NAMES", "TO", "Block", "blocks", "columns", "export"]

TO = ("csv", "parquet")
"""What can be written."""

NAMES = (
    "cell",
    "length",
    "seed",
    "sequence",
    "layer",
    "direction",
    "state",
    "step",
    "lag",
    "log10_norm",
)
"""Columns after those of the other swept axes."""

GROUP = 1 << 18
"""Rows that a parquet file keeps together."""


@dataclass(frozen=True)
class Block:
    """Rows that differ in step, lag and norm only.

    Parameters
    ----------
    constant : tuple
        The columns in front: swept axes, cell, length, seed, sequence, layer, direction, state.
    step, lag, norm : array (n,)
        Original time (a backward direction's step j is T + 1 − j), steps back from the
        direction's last loss (negative after it), log10 of the norm.
    """

    constant: tuple[Any, ...]
    step: Array
    lag: Array
    norm: Array


def columns(run: Run) -> tuple[str, ...]:
    """Name the columns: every swept axis that has none of its own, then `NAMES`."""
    return (*_swept(run), *NAMES)


def blocks(run: Run) -> Iterator[Block]:
    """Go through all norms of a run, one result in memory at a time."""
    swept = _swept(run)
    for point in run.points:
        result = run.result(point)
        length = length_of(point, result)
        config = point.config
        front = (
            *(_plain(point.axes.get(axis)) for axis in swept),
            config.model.cell_label,
            length,
            config.seed,
        )
        for state, quantity in result.items():
            if quantity.dims == SERIES:
                yield from _series(front, state, quantity, length)


def export(run: Run, to: str = "csv", out: str | Path = "-") -> int:
    """Write a run as tidy rows, sorted as the plan and the arrays are.

    Numbers are written with the fewest digits that give the same float64 back; an exact zero is
    ``-inf``. A file appears under its name only when it is whole.

    Parameters
    ----------
    run : Run
        A stored run, or results in memory.
    to : {"csv", "parquet"}
        The format; parquet needs pyarrow.
    out : path
        The file; ``-`` is standard output, for csv only.

    Returns
    -------
    int
        How many rows were written.

    Raises
    ------
    UserError
        If the format is unknown, or cannot be written there or without what is not installed.
    """
    if to not in TO:
        raise UserError(f"no format {to!r}; there is {', '.join(TO)}")
    if to == "parquet":
        if str(out) == "-":
            raise UserError("parquet is not text\n  fix: name a file: --out FILE.parquet")
        with _whole(Path(out)) as path:
            return _parquet(run, path)
    if str(out) == "-":
        return _csv(run, sys.stdout)
    with _whole(Path(out)) as path, path.open("w", encoding="utf-8", newline="") as file:
        return _csv(run, file)


def _csv(run: Run, file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns(run))
    count = 0
    for block in blocks(run):
        front = tuple(_text(value) for value in block.constant)
        writer.writerows(
            (*front, *row)
            for row in zip(
                block.step.tolist(), block.lag.tolist(), block.norm.tolist(), strict=True
            )
        )
        count += block.norm.size
    return count


def _parquet(run: Run, path: Path) -> int:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise UserError(
            "export to parquet needs pyarrow, which is not installed\n"
            "  fix: pip install 'gradflow[parquet]', or export --to csv"
        ) from error
    names = columns(run)
    swept = [_kind(run, axis) for axis in _swept(run)]
    text = pa.dictionary(pa.int32(), pa.string())
    kinds = [{str: text, bool: pa.bool_(), int: pa.int64(), float: pa.float64()}[k] for k in swept]
    kinds += [text, *[pa.int64()] * 4, text, text, pa.int64(), pa.int64(), pa.float64()]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for together in _batches(run):
            sizes = [block.norm.size for block in together]
            arrays = []
            for i, kind in enumerate(kinds[:-3]):
                values = [block.constant[i] for block in together]
                if i < len(swept) and swept[i] is str:
                    values = [None if value is None else _text(value) for value in values]
                value_type = kind.value_type if kind == text else kind
                indices = pa.array(np.repeat(np.arange(len(together)), sizes))
                arrays.append(pa.array(values, value_type).take(indices).cast(kind))
            for name, kind in zip(("step", "lag", "norm"), kinds[-3:], strict=True):
                joined = np.concatenate([getattr(block, name) for block in together])
                arrays.append(pa.array(joined).cast(kind))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += sum(sizes)
    return count


def _batches(run: Run) -> Iterator[list[Block]]:
    together: list[Block] = []
    size = 0
    for block in blocks(run):
        together.append(block)
        size += block.norm.size
        if size >= GROUP:
            yield together
            together, size = [], 0
    if together:
        yield together


def _series(front: tuple[Any, ...], state: str, quantity: Quantity, length: int) -> Iterator[Block]:
    steps = np.asarray(quantity.coords["step"])
    layers = np.asarray(quantity.coords.get("layer", np.arange(quantity.values.shape[0])))
    directions = np.asarray(quantity.coords["direction"]).tolist()
    for i, layer in enumerate(layers.tolist()):
        for j, direction in enumerate(directions):
            step = original_step(steps, direction, length)
            lag = np.asarray(quantity.coords["lag"])[j]
            for sequence, norms in enumerate(quantity.values[i, j]):
                constant = (*front, sequence, layer, direction, state)
                yield Block(constant, step, lag, norms)


def _swept(run: Run) -> list[str]:
    paths = dict.fromkeys(path for point in run.points for path in point.axes)
    return [path for path in paths if path not in COLUMNS]


def _kind(run: Run, axis: str) -> type:
    """Return the type that holds all values of an axis; text where they are mixed or composed."""
    kinds = {type(_plain(point.axes[axis])) for point in run.points if axis in point.axes}
    kinds.discard(type(None))
    if kinds == {int, float}:
        return float
    (kind,) = kinds if len(kinds) == 1 else (str,)
    return kind if kind in (bool, int, float) else str


def _plain(value: Any) -> Any:
    """Leave a number, a truth value, a text or nothing as it is; write all else as JSON."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, default=_items)


def _items(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else str(value)


def _text(value: Any) -> Any:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` that becomes it when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
