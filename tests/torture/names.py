"""Names that mean harm on every surface: terminal, figures, pages, tables, annotations."""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.backends.backend_agg
import matplotlib.backends.backend_svg  # noqa: F401  # read once, not in every fork
import numpy as np

from tests.torture.ground import Ended, Row, call, workplace

NAMES = (
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' ", "\t=1", "\r=1", " =1", "a,b", 'a"b', "a;b", "a\nb",
    "a\rb",
    "a\r\nb", "\x1b[31m", "\x1b]0;x\x07", "\x9b31m", "\x85", "\x7f", "\x08\x08", "\u202eabc",
    "\u2066x\u2069",
    "\u200b", "\ufeff", "\u2028", "\u2029", "\ufffe", "\U000e0041", "\U0001f600", "a\u0301", "é",
    "  a", "a  ",
    "a b", "a  b", "<script>canary()<", "\"><img src=x onerror=canary()>", "<!--", "]]>", "&amp;",
    "&#0;",
    "'", "`x`", "$(x)", "${x}", "{{7*7}}", "%n%s%0A", "::error::x", "$x^2$", "$\\frac{1$",
    "\\alpha", "_^",
    "[red]x", "|", "a" * 200, "nan", "None", "%%", "\\n", "~",
)  # fmt: skip
"""What stands before the suffix of a file of data."""

CONFIG = """\
name: named
model: {{cell: rnn, hidden: 3}}
inputs: {{kind: file, path: x.npy}}
sweep: {{inputs.path: [{}]}}
"""
GROUP = 10
CONTROLS = ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")
"""Classes of characters that steer a terminal, or do not show."""

Judge = Callable[[Path, Ended, list[str]], bool]


def terminal(_: Path, ended: Ended, __: list[str]) -> bool:
    """Nothing that steers it."""
    return not any(
        unicodedata.category(c) in CONTROLS for c in (ended.out + ended.err).replace("\n", "")
    )


def table(_: Path, ended: Ended, names: list[str]) -> bool:
    """A row has as many cells as any other, no cell is a formula, no two names are one."""
    rows = list(csv.reader(io.StringIO(ended.out, newline="")))
    column = rows[0].index("inputs.path")
    cells = {row[column] for row in rows[1:]}
    formula = any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for cell in cells)
    return len({len(row) for row in rows}) == 1 and len(cells) == len(names) and not formula


def data(_: Path, ended: Ended, __: list[str]) -> bool:
    """JSON."""
    return bool(json.loads(ended.out))


def drawings(where: Path, ended: Ended, _: list[str]) -> bool:
    """SVG that is XML, and nothing in it that runs."""
    files = list(where.glob("results/named/plots/*.svg"))
    roots = [ElementTree.parse(file).getroot() for file in files]
    tags = {element.tag.rpartition("}")[2] for root in roots for element in root.iter()}
    return bool(files) and not tags & {"script", "image", "foreignObject"} and terminal(
        where, ended, []
    )  # fmt: skip


class Elements(HTMLParser):
    """Counts what would run in a page, or be fetched by it."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.harm = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at an element."""
        self.scripts += tag == "script"
        said = {name: value or "" for name, value in attrs}
        self.harm += any(name.startswith("on") and "canary" in said[name] for name in said)
        self.harm += said.get("src") == "x"


def page(where: Path, ended: Ended, _: list[str]) -> bool:
    """Names stay text in HTML."""
    found = Elements()
    text = (where / "results" / "named" / "report.html").read_text("utf-8")
    found.feed(text)
    return (
        found.harm == 0 and found.scripts == text.count("<script") and "<script>canary" not in text
    )


def report(_: Path, ended: Ended, names: list[str]) -> bool:
    """XML with a failure for each name at least."""
    return len(ElementTree.fromstring(ended.out).findall(".//failure")) >= len(names)


def annotation_lines(_: Path, ended: Ended, names: list[str]) -> bool:
    """A line for each finding, and nothing else that a runner would obey."""
    lines = ended.out.split("\n")[:-1]
    return "\r" not in ended.out and len(lines) >= len(names) and all(
        line.startswith("::error file=") and line.count("::error") == 1 + line.count("::error::x")
        for line in lines
    )  # fmt: skip


RED = ("init.input_gain=30", "--results", "red")
SURFACES: dict[str, tuple[tuple[str, ...], int, Judge]] = {
    "run": (("run", "named.yaml"), 0, terminal),
    "show": (("show", "named"), 0, terminal),
    "show --all": (("show", "named", "--all"), 0, terminal),
    "ls": (("ls",), 0, terminal),
    "doctor": (("doctor",), 0, terminal),
    "diff": (("diff", "named", "named"), 0, terminal),
    "JSON": (("show", "named", "--json"), 0, data),
    "CSV": (("export", "named", "--to", "csv", "--out", "-"), 0, table),
    "figures": (("plot", "named", "--format", "svg,png"), 0, drawings),
    "HTML": (("report", "named"), 0, page),
    "baseline": (("baseline", "named.yaml", "--results", "red"), 0, terminal),
    "gate": (("check", "named.yaml", *RED), 1, terminal),
    "gate, JSON": (("check", "named.yaml", *RED, "--format", "json"), 1, data),
    "gate, JUnit": (("check", "named.yaml", *RED, "--format", "junit"), 1, report),
    "gate, annotations": (("check", "named.yaml", *RED, "--format", "github"), 1, annotation_lines),
}


def measure(fraction: float) -> Iterator[Row]:
    """Let each surface show each name."""
    found = Counter[str]()
    groups = [list(NAMES[at : at + GROUP]) for at in range(0, len(NAMES), GROUP)]
    for names in groups[:: max(1, round(1 / fraction))]:
        with workplace() as where:
            _prepare(where, names)
            for surface, (words, code, judge) in SURFACES.items():
                ended = call(where, *words, patience=300)
                found["looks"] += len(names)
                if ended.code != code or not _sound(judge, where, ended, names):
                    found[surface] += 1
                    print(f"{surface}, {names!r}: {ended.code} {ended.err[:400]}", file=sys.stderr)
        found["names"] += len(names)
    wrong = [surface for surface in SURFACES if found[surface]]
    figure = (
        f"{found['names']} names on {len(SURFACES)} surfaces ({', '.join(SURFACES)}):"
        f" {len(wrong)} surfaces yield{': ' + ', '.join(wrong) if wrong else ''}"
    )
    yield Row("a name can neither steer a terminal nor become markup or formula", figure, not wrong)


def _sound(judge: Judge, where: Path, ended: Ended, names: list[str]) -> bool:
    try:
        return judge(where, ended, names)
    except (ValueError, LookupError, OSError, ElementTree.ParseError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return False


def _prepare(where: Path, names: list[str]) -> None:
    draw = np.random.default_rng(14)
    for name in names:
        np.save(where / f"{name}.npy", draw.standard_normal((2, 6, 2)))
    axis = ", ".join(_quoted(f"{name}.npy") for name in names)
    (where / "named.yaml").write_text(CONFIG.format(axis), encoding="utf-8")


def _quoted(text: str) -> str:
    """A text in YAML, every character by its number."""
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'
