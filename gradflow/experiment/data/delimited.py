"""Series of numbers from .csv files."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import mistake, read_text

__all__ = ["read_csv"]

SEQUENCE = "sequence"
Row = tuple[int, list[str]]


def read_csv(path: Path) -> Array:
    """Read series: a row for each step, a column for each feature.

    A first row without any number is a header. Where it names a column ``sequence``, rows with
    equal entries there form one sequence, in their order in the file.

    Returns
    -------
    array, (sequences, steps, features)

    Raises
    ------
    UserError
        With the line, if a cell is no finite number, or rows or sequences differ in length.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise mistake(path, "holds no rows", expected="a row of numbers for each step")
    header = first[1] if not any(_is_number(cell) for cell in first[1]) else None
    width, key = len(first[1]), None
    if header is not None and SEQUENCE in header:
        key = header.index(SEQUENCE)
        if width == 1:
            raise mistake(path, "has no column but `sequence`", fix="add a column of numbers")
    series: dict[str, array[float]] = {}
    for line, cells in _body(rows, first, header is not None):
        if len(cells) != width:
            raise mistake(
                path,
                f"line {line} has {len(cells)} columns, line {first[0]} has {width}",
                expected="the same columns in every row",
                fix=f"mend line {line}",
            )
        name = cells.pop(key) if key is not None else ""
        series.setdefault(name, array("d")).extend(_number(c, path, line) for c in cells)
    return _stack(series, width - (key is not None), path)


def _rows(path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise mistake(path, f"line {reader.line_num}: {error}", expected="a .csv file") from error


def _body(rows: Iterator[Row], first: Row, has_header: bool) -> Iterator[Row]:
    if not has_header:
        yield first
    yield from rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, path: Path, line: int) -> float:
    if _is_number(cell) and math.isfinite(value := float(cell)):
        return value
    raise mistake(
        path,
        f"line {line}: {cell!r} is not a finite number" if cell else f"line {line}: empty cell",
        expected="numbers separated by commas, with a decimal point; a header only in line 1",
        fix="correct or remove the row",
    )


def _stack(series: dict[str, array[float]], features: int, path: Path) -> Array:
    if not series:
        raise mistake(path, "has a header and no rows", expected="a row of numbers for each step")
    (name, model), *others = series.items()
    for other, values in others:
        if len(values) != len(model):
            raise mistake(
                path,
                f"sequence {name!r} has {len(model) // features} steps, "
                f"sequence {other!r} has {len(values) // features}",
                expected="sequences of one length",
                fix="cut them to the shortest",
            )
    return np.array([np.frombuffer(v) for v in series.values()]).reshape(len(series), -1, features)
