"""One layout for all tables: as wide as the terminal, in UTF-8 or ASCII, and no digit is lost.

Where a table is too wide, labels are broken over lines, then the columns that can be spared are
left out, which a note says, and in the end the numbers go on in further blocks below the first.
A number is never cut. Names stand as they are: nothing in them is taken for markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal, TypeAlias

from rich.console import Console
from rich.text import Text

from gradflow.report.format import plain, shortest, wrap

__all__ = [
    "Column", "Sheet", "Written", "html", "label_column", "markdown", "number_column",
    "print_sheet",
]  # fmt: skip

Written: TypeAlias = str | tuple[str, str]
"""A text, or a text and its style."""

GAP = "  "


@dataclass(frozen=True)
class Column:
    """What stands below one another.

    Parameters
    ----------
    header : str
        Its name, on one line or several.
    cells : sequence of Written
        One for each row.
    kind : {"label", "number", "word"}
        A label stands to the left and may be broken, a number to the right, a word to the left.
    spared : bool
        Whether it may be left out, the last of them first.
    """

    header: str
    cells: Sequence[Written]
    kind: Literal["label", "number", "word"] = "number"
    spared: bool = False

    def texts(self) -> list[str]:
        """Header and cells without their styles."""
        return [self.header, *map(_text, self.cells)]

    def widest(self) -> int:
        """Columns of the terminal that it takes unbroken."""
        return max(len(line) for text in self.texts() for line in text.split("\n"))

    def narrowest(self) -> int:
        """Columns of the terminal that it takes at least, unless words are cut."""
        return (
            max(len(_indent(text)) + int(shortest(text)) for text in self.texts())
            if self.kind == "label"
            else self.widest()
        )


@dataclass(frozen=True)
class Sheet:
    """A table to print.

    Parameters
    ----------
    columns : sequence of Column
        From the left.
    title : str
        A line above.
    notes : sequence of Written
        Lines below, dim where they have no style.
    ruled : collection of int
        Rows above which a rule is drawn.
    """

    columns: Sequence[Column]
    title: str = ""
    notes: Sequence[Written] = ()
    ruled: Sequence[int] = ()


def label_column(header: str, cells: Sequence[Written]) -> Column:
    """Make a column of names."""
    return Column(header, cells, "label")


def number_column(header: str, cells: Sequence[Written], *, spared: bool = False) -> Column:
    """Make a column of numbers."""
    return Column(header, cells, "number", spared)


def print_sheet(sheet: Sheet, console: Console | None = None) -> None:
    """Print a table, as the console's width and encoding allow."""
    console = console or Console()
    ascii_only = not console.encoding.lower().startswith("utf")
    write = plain if ascii_only else str
    columns = [_written(column, write) for column in sheet.columns]
    kept = _spare(columns, console.width)
    notes = list(sheet.notes)
    left_out = [
        " ".join(one.header.split()) for one in columns if not any(one is other for other in kept)
    ]
    if left_out:
        notes.append(f"Left out here: {', '.join(left_out)}.")
    if sheet.title:
        console.print(Text(write(sheet.title), style="bold"))
    for i, block in enumerate(_blocks(kept, console.width) if kept else ()):
        if i:
            console.print()
        for line in _lines(block, console.width, sheet.ruled, "-" if ascii_only else "─"):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
    for note in notes:
        text, style = (note, "dim") if isinstance(note, str) else note
        console.print(Text(write(text), style=style))


def markdown(sheet: Sheet) -> str:
    """Write a table for a pull request or a job's summary; what has a style is bold."""
    escape = str.maketrans({"|": r"\|", "\n": " ", "<": "&lt;", "*": r"\*", "_": r"\_", "`": r"\`"})

    def cell(one: Written) -> str:
        text = _text(one).translate(escape)
        return f"**{text}**" if text and not isinstance(one, str) and one[1] != "dim" else text

    lines = [f"**{sheet.title.translate(escape)}**", ""] if sheet.title else []
    if sheet.columns:
        lines.append(
            f"| {' | '.join(column.header.translate(escape) for column in sheet.columns)} |"
        )
        marks = ["---:" if column.kind == "number" else "---" for column in sheet.columns]
        lines.append(f"| {' | '.join(marks)} |")
        rows = zip(*(column.cells for column in sheet.columns), strict=True)
        lines += [f"| {' | '.join(map(cell, row))} |" for row in rows]
        lines.append("")
    for note in sheet.notes:
        lines += [f"<sub>{_text(note).translate(escape)}</sub>", ""]
    return "\n".join(lines) + "\n"


def html(sheet: Sheet) -> str:
    """Write a table for a notebook, in the notebook's own style."""

    def row(tag: str, cells: Sequence[Written]) -> str:
        sides = ["right" if column.kind == "number" else "left" for column in sheet.columns]
        return "".join(
            f'<{tag} style="text-align: {side}">{escape(_text(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    rows = zip(*(column.cells for column in sheet.columns), strict=True)
    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in rows)
    head = row("th", [column.header for column in sheet.columns])
    notes = "".join(f"<small>{escape(_text(note))}</small><br>" for note in sheet.notes)
    return (
        f"<table><caption>{escape(sheet.title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
    )


def _text(cell: Written) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _indent(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def _written(column: Column, write: Callable[[str], str]) -> Column:
    cells = [write(c) if isinstance(c, str) else (write(c[0]), c[1]) for c in column.cells]
    return replace(column, header=write(column.header), cells=cells)


def _width(columns: Sequence[Column]) -> int:
    """Columns of the terminal that a table takes at least."""
    return sum(column.narrowest() for column in columns) + len(GAP) * (len(columns) - 1)


def _spare(columns: Sequence[Column], width: int) -> list[Column]:
    """Leave out what can be spared, as far as need be."""
    kept = list(columns)
    for i in reversed(range(len(columns))):
        if _width(kept) > width and columns[i].spared:
            del kept[i]
    return kept


def _blocks(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Split what is too wide into blocks that each begin with the labels."""
    front = [column for column in columns if column.kind == "label"]
    blocks = [[*front]]
    for column in columns:
        if column.kind == "label":
            continue
        if len(blocks[-1]) > len(front) and _width([*blocks[-1], column]) > width:
            blocks.append([*front])
        blocks[-1].append(column)
    return blocks if len(blocks) > 1 else [list(columns)]


def _widths(columns: Sequence[Column], width: int) -> list[int]:
    """Take from the widest label until all columns fit; in the end words are cut, not numbers."""
    found = [column.widest() for column in columns]
    for least in ([column.narrowest() for column in columns], [4] * len(columns)):
        while sum(found) + len(GAP) * (len(found) - 1) > width:
            room = [
                (size, i)
                for i, size in enumerate(found)
                if columns[i].kind == "label" and size > least[i]
            ]
            if not room:
                break
            found[max(room)[1]] -= 1
    return found


def _lines(columns: Sequence[Column], width: int, ruled: Sequence[int], rule: str) -> list[Text]:
    """Write header, rule and rows."""
    widths = _widths(columns, width)
    header = [Column(c.header, [c.header], c.kind) for c in columns]
    line = Text(rule * min(width, sum(widths) + len(GAP) * (len(widths) - 1)), "dim")
    made = [*_row(header, 0, widths, "bold"), line]
    for i in range(len(columns[0].cells)):
        made += [line] if i in ruled else []
        made += _row(columns, i, widths)
    return made


def _row(columns: Sequence[Column], row: int, widths: Sequence[int], style: str = "") -> list[Text]:
    """Write one row on as many lines as its longest label needs."""
    stacks, styles = [], []
    for column, width in zip(columns, widths, strict=True):
        cell = column.cells[row]
        text = _text(cell)
        indent = _indent(text)
        pieces = [
            indent + line
            for part in text.lstrip().split("\n")
            for line in wrap(part, width - len(indent))
        ]
        stacks.append(pieces)
        styles.append(style if isinstance(cell, str) else cell[1])
    made = []
    for depth in range(max(map(len, stacks))):
        line = Text()
        for i, (pieces, width) in enumerate(zip(stacks, widths, strict=True)):
            text = pieces[depth] if depth < len(pieces) else ""
            right = columns[i].kind == "number"
            line.append(GAP if i else "")
            line.append(text.rjust(width) if right else text.ljust(width), styles[i])
        line.rstrip()
        made.append(line)
    return made
