"""Series of numbers from .csv files."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gradflow.core.typing import Array
from gradflow.experiment.data.reading import mistake, read_text

__all__ = ["read_csv"]

SEQUENCE = "sequence"
SEPARATORS = (";", "\t", ",")
NumberedRow = tuple[int, list[str]]


def read_csv(path: Path, columns: Sequence[str] | None = None) -> tuple[Array, tuple[str, ...]]:
    """Read series: a row for each step, a column for each feature.

    Columns are separated as the first line says: by ``;``, a tab or else by commas. A first row
    without any number is a header. Where it names a column ``sequence``, rows with equal entries
    there form one sequence, in their order in the file.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str, optional
        Names of the features that are read, or their positions from 0 where there is no header;
        default all. What stands in the others does not matter.

    Returns
    -------
    array, (sequences, steps, features)
        The numbers.
    tuple of str
        The features' names; empty without a header.

    Raises
    ------
    UserError
        With the line, if a cell is no finite number, or rows or sequences differ in length; and
        where it cannot be told what is a feature: an index without a name, a header of numbers.
    """
    text = read_text(path)
    separator = _separator(text)
    rows = _rows(text, separator, path)
    first = next(rows, None)
    if first is None:
        raise mistake(path, "holds no rows", expected="a row of numbers for each step")
    header = first[1] if _is_header(first[1], columns) else None
    chosen, key = _chosen(header, len(first[1]), columns, path)
    if header is None and columns is None:
        _not_counting(first, path)
    names = [header[i] if header else str(i) for i in chosen]
    series: dict[str, array[float]] = {}
    for line, cells in rows if header else _after(first, rows):
        if len(cells) != len(first[1]):
            raise mistake(
                path,
                f"line {line} has {len(cells)} columns, line {first[0]} has {len(first[1])}",
                expected="the same columns in every row",
                fix=f"mend line {line}",
            )
        series.setdefault(cells[key] if key is not None else "", array("d")).extend(
            _number(cells, i, path, line, header, separator) for i in chosen
        )
    return _stack(series, len(chosen), path), tuple(names) if header else ()


def _separator(text: str) -> str:
    """What stands between the columns of the first line that holds anything."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    return next((mark for mark in SEPARATORS if mark in line), ",")


def _rows(text: str, separator: str, path: Path) -> Iterator[NumberedRow]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t"
    )
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise mistake(path, f"line {reader.line_num}: {error}", expected="a .csv file") from error


def _after(first: NumberedRow, rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
    yield first
    yield from rows


def _is_header(cells: list[str], columns: Sequence[str] | None) -> bool:
    """Whether the first row names the columns: it holds no number, or the names asked for."""
    return not any(map(_is_number, cells)) or (columns is not None and {*columns} <= {*cells})


def _not_counting(first: NumberedRow, path: Path) -> None:
    """Refuse a first row of 0, 1, 2, …: it is hardly a step, and names nothing."""
    line, cells = first
    if len(cells) > 1 and cells == [str(i) for i in range(len(cells))]:
        raise mistake(
            path,
            f"line {line} counts the columns, {', '.join(cells[:3])}"
            f"{', …' if len(cells) > 3 else ''}: is it a header, or the first step?",
            expected="names, or numbers that are no header",
            fix=f"for a header write columns: [{', '.join(cells)}] under inputs; else write "
            f"line {line} as {', '.join(f'{cell}.0' for cell in cells[:2])}, …",
        )


def _chosen(
    header: list[str] | None, width: int, columns: Sequence[str] | None, path: Path
) -> tuple[list[int], int | None]:
    """Positions of the features, and that of the sequences' names."""
    names = header or [str(i) for i in range(width)]
    key = names.index(SEQUENCE) if header and SEQUENCE in names else None
    others = [i for i in range(width) if i != key]
    if columns is not None:
        lost = [name for name in columns if name not in names]
        if lost:
            raise mistake(
                path,
                f"there is no column {lost[0]!r}",
                expected=f"some of {', '.join(filter(None, names))}",
                fix="correct columns, under inputs",
            )
        return [names.index(name) for name in columns], key
    if not others:
        raise mistake(path, "has no column but `sequence`", fix="add a column of numbers")
    if header and "" in header:
        named = [names[i] for i in others if names[i]]
        which = header.index("") + 1
        raise mistake(
            path,
            f"column {which} has no name: it looks like an index",
            expected="a name for every column that is a feature",
            fix=f"write columns: [{', '.join(named)}] under inputs, or give it a name",
        )
    return others, key


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(
    cells: list[str], i: int, path: Path, line: int, header: list[str] | None, separator: str
) -> float:
    cell = cells[i]
    if _is_number(cell) and math.isfinite(value := float(cell)):
        return value
    where = f"line {line}, column {header[i] if header else i}"
    fix = "correct or remove the row"
    if cell and not _is_number(cell):
        good = [header[j] if header else str(j) for j, c in enumerate(cells) if _is_number(c)]
        good = [name for name in good if name]
        if good:
            fix = f"if it is no feature, write columns: [{', '.join(good)}] under inputs"
        if "," in cell and _is_number(cell.replace(",", ".", 1)):
            fix = "write decimal points; pandas reads them with decimal=','"
    between = {";": "';'", "\t": "tabs", ",": "commas"}[separator]
    raise mistake(
        path,
        f"{where}: {cell!r} is not a finite number" if cell else f"{where}: empty cell",
        expected=f"numbers between {between}, with a decimal point; a header only in line 1",
        fix=fix,
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
