"""Tidy rows of a run for other programs: csv or parquet."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from gradflow.errors import UserError, visible
from gradflow.experiment.store.runs import Run
from gradflow.experiment.store.whole import whole_file
from gradflow.report.export.tidy import TidyRows, columns, own_axes, scalar, swept, tidy_rows
from gradflow.report.format import one_of

__all__ = ["TO", "export"]

TO = ("csv", "csv.gz", "parquet")
"""What can be written: the suffixes of the files."""

GROUP = 1 << 18
"""Rows that a parquet file keeps together."""


def export(run: Run, to: str | None = None, out: str | Path = "-") -> int:
    """Write a run as tidy rows, sorted as the plan and the arrays are.

    Numbers are written with the fewest digits that give the same float64 back; an exact zero is
    ``-inf``. A file appears under its name only when it is whole.

    Parameters
    ----------
    run : Run
        A stored run, or results in memory.
    to : {"csv", "csv.gz", "parquet"}, optional
        The format; by default the file's suffix says it. parquet needs pyarrow.
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
    to = _format(to, str(out))
    if str(out) == "-":
        if to != "csv":
            raise UserError(f"{to} is not text\n  fix: name a file: --out FILE.{to}")
        return _csv(run, sys.stdout)
    with whole_file(Path(out)) as path:
        if to == "parquet":
            return _parquet(run, path)
        with path.open("wb") as raw, _text_file(raw, to) as file:
            return _csv(run, file)


def _format(to: str | None, out: str) -> str:
    """Return the format that was asked for and is that of the file's suffix."""
    if to is not None:
        one_of("format", to, TO)
    name = Path(out).name
    by_suffix = next((form for form in TO if name.endswith(f".{form}")), None)
    if out == "-" or not Path(out).suffix:
        return to or "csv"
    if by_suffix is None:
        raise UserError(
            f"{out}: nothing says what to write\n"
            f"  expected: a file's name that ends in .{', .'.join(TO)}\n"
            f"  fix: --out {Path(out).with_suffix('.csv')}"
        )
    if to not in (None, by_suffix):
        raise UserError(
            f"--to {to}, but {out} ends in .{by_suffix}\n  fix: leave out --to, or name the file so"
        )
    return by_suffix


@contextmanager
def _text_file(raw: IO[bytes], to: str) -> Iterator[IO[str]]:
    """Wrap a file for text; compressed ones are the same bytes every time."""
    packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if to == "csv.gz" else None
    text = io.TextIOWrapper(cast("IO[bytes]", packed or raw), encoding="utf-8", newline="")
    yield text
    text.flush()
    text.detach()
    if packed is not None:
        packed.close()


def _csv(run: Run, file: IO[str]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    names = columns(run)
    writer.writerow(names)
    count = 0
    for block in tidy_rows(run, own_axes(run)):
        front = tuple(_text(value) for value in block.constant)
        rows = zip(*block.lists()[: len(names) - len(front)], strict=True)
        writer.writerows((*front, *row) for row in rows)
        count += block.size
    return count


def _parquet(run: Run, path: Path) -> int:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise UserError(
            "export to parquet needs pyarrow, which is not installed\n"
            "  fix: pip install 'gradflow-rnn[parquet]', or export --to csv"
        ) from error
    names = columns(run)
    axes = [_kind(run, axis) for axis in swept(run)]
    text = pa.dictionary(pa.int32(), pa.string())
    of = {str: text, bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    own = own_axes(run)
    kinds = [of[kind] for kind in axes]
    kinds += [text, *[pa.int64()] * 4, text, text]
    front = len(kinds)
    kinds += [pa.int64(), pa.int64(), pa.float64()]
    kinds += [text, *[pa.int64()] * 4, *(of[kind] for kind in own.values()), text, pa.float64()]
    kinds = kinds[: len(names)]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for together in _batches(tidy_rows(run, own)):
            sizes = [block.size for block in together]
            arrays = []
            for i, kind in enumerate(kinds[:front]):
                values = [block.constant[i] for block in together]
                if i < len(axes) and axes[i] is str:
                    values = [None if value is None else _text(value) for value in values]
                value_type = kind.value_type if kind == text else kind
                indices = pa.array(np.repeat(np.arange(len(together)), sizes))
                arrays.append(pa.array(values, value_type).take(indices).cast(kind))
            each = zip(*(block.lists() for block in together), strict=True)
            for parts, kind in zip(each, kinds[front:], strict=False):
                value_type = kind.value_type if kind == text else kind
                arrays.append(pa.array(list(itertools.chain(*parts)), value_type).cast(kind))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += sum(sizes)
    return count


def _batches(blocks: Iterable[TidyRows]) -> Iterator[list[TidyRows]]:
    together: list[TidyRows] = []
    size = 0
    for block in blocks:
        together.append(block)
        size += block.size
        if size >= GROUP:
            yield together
            together, size = [], 0
    if together:
        yield together


def _kind(run: Run, axis: str) -> type:
    """Return the type that holds all values of an axis; text where they are mixed or composed."""
    kinds = {type(scalar(point.axes[axis])) for point in run.points if axis in point.axes}
    kinds.discard(type(None))
    if kinds == {int, float}:
        return float
    (kind,) = kinds if len(kinds) == 1 else (str,)
    return kind if kind in (bool, int, float) else str


def _text(value: Any) -> str:
    """A label that breaks no row and that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else visible(str(value))
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@") else text
