"""Tables at any width, in UTF-8 and ASCII: whole numbers, whole words, nothing in silence."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from gradflow.cli import app
from gradflow.report.format import cell_name, plain
from gradflow.report.read.digest import digest
from gradflow.report.read.rows import rows
from gradflow.report.tables import layout
from gradflow.report.tables.beside import quantity_sheet
from gradflow.report.tables.closing import closing_sheet
from gradflow.report.tables.layout import Column, Sheet, label_column, number_column, print_sheet
from tests.report.fakes import SLOPES, Run, series, sweep

WIDTHS = (60, 80, 100, 140)
NUMBER = re.compile(r"[-+−~×]?[\d.,:-]+")


def printed(sheet, width, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_sheet(sheet, Console(file=file, width=width))
    file.flush()
    return raw.getvalue().decode(encoding)


def texts(column):
    return [cell if isinstance(cell, str) else cell[0] for cell in column.cells]


def wide(path):
    """A quantity with many columns."""
    run = Run(path, "wide")
    for cell, slope in list(SLOPES.items())[:4]:
        values = slope * 300 * np.arange(3000.0)
        run.add(cell, 2999, 0, {"s": series(values[None, None, None])}, init__recurrent_gain=1.25)
    return run


SMALL = """
model: {cell: lstm, hidden: 3}
inputs: {kind: noise, sequences: 2}
sweep:
  model.cell:
    - rnn
    - gru
    - {kind: lstm, peephole: full, peephole_gates: [f, i], gate_activation: hard_sigmoid}
  init.recurrent_gain: [0.1, 1.25]
  length: [6, 12]
  seed: 2
record: {states: [h, s], gates: true, theory: true}
"""

COMMANDS = (
    "run small.yaml", "run small.yaml --dry-run --fresh", "show --all", "show --quantity gate_mean",
    "show --quantity s --all", "ls", "diff small@cell=rnn @cell=gru", "cost small.yaml",
    "advise small.yaml sweep={} length=6", "verify cec", "inspect net.npz",
)  # fmt: skip
"""Every command that prints tables; check, baseline and doctor print lines of words."""


def synthetic(path):
    yield closing_sheet(rows(sweep(path, cells=12, seeds=3), every=True), "quickstart")
    yield quantity_sheet(digest(wide(path), "s"), "wide")
    cells = ["lstm(peephole=full, peephole_gates=f+i, forget_gate=false)", "gru(reset=after)"]
    marks = [("passes", "green"), ("fails", "red")]
    columns = [label_column("cell", list(map(cell_name, cells)))]
    columns += [number_column(f"n{i}", [f"{10**i}.25", f"−{10**i}.75"]) for i in range(12)]
    yield Sheet([*columns, Column("verdict", marks, "word")], "cells", ruled=[1])


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    """Tables made for this, and those of every command."""
    path = tmp_path_factory.mktemp("tables")
    found = list(synthetic(path))
    shapes = {"weight_ih_l0": (12, 2), "weight_hh_l0": (12, 3)}
    np.savez(path / "net.npz", **{name: np.ones(shape) for name, shape in shapes.items()})
    (path / "small.yaml").write_text(SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setattr(layout, "print_sheet", lambda sheet, *_: found.append(sheet))
        for words in COMMANDS:
            before = len(found)
            done = CliRunner().invoke(app, words.split(), prog_name="gradflow")
            assert done.exit_code == 0, done.output
            assert len(found) > before, words
    return [sheet for sheet in found if sheet.columns]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_fits_and_every_number_is_whole(sheets, width, encoding):
    write = plain if encoding == "ascii" else str
    for sheet in sheets:
        text = printed(sheet, width, encoding)
        assert max(map(len, text.splitlines())) <= width
        tokens = text.split()
        left_out = re.search(r"Left out here: (.*)\.", " ".join(tokens))
        spared = left_out[1].split(", ") if left_out else []
        for column in sheet.columns:
            if " ".join(write(column.header).split()) in spared:
                assert column.spared
                continue
            for cell in texts(column) if column.kind != "label" else ():
                assert write(cell) in text
            counted = [word for cell in texts(column) for word in write(cell).split()]
            for word in {word for word in counted if re.search(r"\d", word)}:
                if column.kind != "label" or NUMBER.fullmatch(word):
                    assert tokens.count(word) >= counted.count(word), (column.header, word)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_word_of_a_label_is_cut(sheets, width):
    for sheet in sheets:
        words = printed(sheet, width).split()
        for column in sheet.columns:
            for cell in texts(column) if column.kind == "label" else ():
                for word in re.split(r"(?<=[ ,=_])|(?=\()", cell):
                    assert any(word.strip() in one for one in words), word


def test_what_is_too_wide_goes_on_below_with_its_labels(tmp_path):
    text = printed(quantity_sheet(digest(wide(tmp_path), "s"), "wide"), 60)
    blocks = text.split("\n\n")
    assert len(blocks) > 1
    for block in blocks:
        for cell in list(SLOPES)[:4]:
            assert block.count(cell.partition("(")[0]) >= 1
    header = [word for block in blocks for word in block.splitlines() if word.startswith("cell")]
    assert " ".join(" ".join(header).split()).count("2999") == 1


def test_a_name_longer_than_the_terminal_is_cut_and_the_number_is_not():
    sheet = Sheet([label_column("cell", ["x" * 70]), number_column("decades", ["−1234567.25"])])
    text = printed(sheet, 60)
    assert "−1234567.25" in text
    assert text.count("x") == 70
    assert max(map(len, text.splitlines())) <= 60
