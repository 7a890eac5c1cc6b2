"""Figures as SVG inside the page: small, in the page's colours, and every curve has its name.

The picture is the data: what is pointed at is read back from the curves' own coordinates. For that
each pair of axes carries its frame and its limits (``data-axes``), each curve and band the name of
what it shows (``data-curve``, ``data-band``). Coordinates are points of 1/72 inch, kept to 0.001 in
curves and to 0.01 elsewhere; a line's are written one after another as differences.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter

from gradflow.report.figures.output import render
from gradflow.report.figures.scales import BAND, power_of_ten
from gradflow.report.format import number, power
from gradflow.report.page.palette import coloured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drawing", "drawing"]

NAMED = 12
"""Curves of which the alternative text says where they begin and end."""

_NUMBER = re.compile(r"-?\d+\.\d+")
_HEX = re.compile(r"#[0-9a-f]{6}")
_POLYLINE = re.compile(r"(?:[ML] \S+ \S+\s*|z\s*)+")
_STEP = re.compile(r"([ML]) (\S+) (\S+)|(z)")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@dataclass(frozen=True)
class Drawing:
    """A figure on the page.

    Parameters
    ----------
    svg : str
        An ``svg`` element.
    alt : str
        The same in words.
    width : float
        In points.
    colours : frozenset of str
        What it refers to as ``var(--rrggbb)``.
    paper : bool
        Its colours stand on a scale and are named in its notes: it stays on white.
    """

    svg: str
    alt: str
    width: float
    colours: frozenset[str]
    paper: bool


def drawing(figure: Figure, key: str, title: str) -> Drawing:
    """Turn a figure into an element of the page; `key` sets its ids apart from other figures'."""
    known = _marked(figure)
    root = ET.fromstring(render(figure, "svg"))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for child in [
        one for one in root if one.tag in ("title", "metadata") or one.find("style") is not None
    ]:
        root.remove(child)
    ids: set[str] = set()
    for defs in root.iter("defs"):  # the same mark is defined wherever it is drawn
        for child in list(defs):
            if child.get("id", "") in ids:
                defs.remove(child)
            ids.add(child.get("id", ""))
    paper = root.find(".//image") is not None
    colours: set[str] = set()
    for element in root.iter():
        _settle(element, key, known, None if paper else colours)
    width, height = (float(side) for side in root.attrib["viewBox"].split()[2:])
    root.attrib = {"viewBox": f"0 0 {width:g} {height:.2f}", "aria-hidden": "true"}
    alt = _in_words(figure, title)
    return Drawing(ET.tostring(root, "unicode"), alt, width, frozenset(colours), paper)


def _marked(figure: Figure) -> dict[str, dict[str, str]]:
    """Give axes, curves and bands ids; return the attributes that stand for them on the page."""
    known: dict[str, dict[str, str]] = {}

    def mark(artist: Any, **attributes: str) -> None:
        artist.set_gid(f"mark{len(known)}")
        known[artist.get_gid()] = {
            f"data-{name}": " ".join(text.split()) for name, text in attributes.items()
        }

    for ax in _panels(figure):
        mark(ax, axes=json.dumps(_frame(figure, ax)))
        for line in ax.lines:
            name = str(line.get_label())
            if not re.fullmatch(r"_child\d+", name):
                mark(line, curve=name)
        for band in ax.collections:
            name = str(band.get_label())
            if name.startswith(BAND):
                mark(band, band=name.removeprefix(BAND))
    return known


def _panels(figure: Figure) -> list[Axes]:
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def _frame(figure: Figure, ax: Axes) -> dict[str, Any]:
    """Where the axes stand in the picture, and what their edges mean."""
    width, height = 72 * figure.get_size_inches()
    box = ax.get_position(original=True)
    left, right = box.x0 * width, box.x1 * width
    top, bottom = (1 - box.y1) * height, (1 - box.y0) * height
    return {
        "x": [round(left, 3), round(right, 3), *map(float, ax.get_xlim()), ax.get_xscale()],
        "y": [round(bottom, 3), round(top, 3), *map(float, ax.get_ylim()), ax.get_yscale()],
        "name": _along(figure, ax),
        "decades": _counts_decades(ax),
    }


def _counts_decades(ax: Axes) -> bool:
    written = ax.yaxis.get_major_formatter()
    return isinstance(written, FuncFormatter) and written.func is power_of_ten


def _along(figure: Figure, ax: Axes) -> str:
    """Name what the x axis counts, in a word or two."""
    labels = [ax.get_xlabel(), *(other.get_xlabel() for other in figure.axes)]
    common = [text for text in figure.texts if text.get_horizontalalignment() == "center"]
    labels += [text.get_text() for text in common]
    label = next(filter(None, labels), "")
    return re.split(r" \(|, ", label)[0].replace("$", "").replace("_2", "2").replace("\\", "")


def _settle(
    element: ET.Element, key: str, known: dict[str, dict[str, str]], colours: set[str] | None
) -> None:
    """Make one element the page's: names, ids, colours, and no digit that nobody sees."""
    named = known.get(element.get("id", ""), {})
    element.attrib = {
        name.rpartition("}")[2]: text for name, text in element.attrib.items()
    } | named
    one = element.attrib
    if element.tag in ("g", "image"):
        one.pop("id", None)
    if "id" in one:
        one["id"] = f"{key}-{one['id']}"
    if one.get("href", "").startswith("#"):
        one["href"] = f"#{key}-{one['href'][1:]}"
    if "clip-path" in one:
        one["clip-path"] = _REFERENCE.sub(rf"url(#{key}-\1)", one["clip-path"])
    if "d" in one:
        one["d"] = _short(one["d"])
    for name in ("x", "y", "width", "height", "transform"):
        if name in one and element.tag != "image":
            one[name] = _NUMBER.sub(lambda found: _written(float(found[0]), 3), one[name])
    if "style" in one:
        one["style"] = one["style"].replace(": ", ":").replace("; ", ";")
    if "style" in one and colours is not None:
        colours.update(_HEX.findall(one["style"]))
        one["style"] = _HEX.sub(lambda found: coloured(found[0]), one["style"])
    if element.tag not in ("text", "tspan"):
        element.text = (element.text or "").strip()
    element.tail = (element.tail or "").strip()


def _short(path: str) -> str:
    """Write a path with the digits that can be seen; polylines as differences."""
    if not _POLYLINE.fullmatch(path.strip()):
        return _NUMBER.sub(lambda found: _written(float(found[0]), 2), path.replace("\n", " "))
    fine = 2 if path.rstrip().endswith("z") else 3  # an area is looked at, a curve is read
    text, here, last = "", (0, 0), ""
    for letter, x, y, end in _STEP.findall(path):
        if end:
            text, last = text + "z", "z"
            continue
        at = round(10**fine * float(x)), round(10**fine * float(y))
        way = at if letter == "M" else (at[0] - here[0], at[1] - here[1])
        dx, dy = (_written(part / 10**fine, fine) for part in way)
        step = letter if letter == "M" else ("" if last == "L" else "l")
        apart = " " if not step and not dx.startswith("-") else ""
        text += f"{step}{apart}{dx}{'' if dy.startswith('-') else ' '}{dy}"
        here, last = at, letter
    return text


def _written(value: float, places: int) -> str:
    text = f"{value:.{places}f}".rstrip("0").rstrip(".")
    return {"-0": "0", "": "0"}.get(text, text).replace("0.", ".", 1) if abs(value) < 1 else text


def _in_words(figure: Figure, title: str) -> str:
    """Say what a figure shows: its panels, and where the curves of the last one begin and end."""
    panels = _panels(figure)
    texts = [title, f"{len(panels)} panels" if len(panels) > 1 else ""]
    ax = panels[-1]
    write = power if _counts_decades(ax) else number
    said = []
    for line in ax.lines:
        name, y = str(line.get_label()), np.asarray(line.get_ydata(), float)
        y = y[np.isfinite(y)]
        if line.get_gid() and y.size:
            said.append(f"{name} from {write(float(y[0]))} to {write(float(y[-1]))}")
    where = "" if len(panels) == 1 else "In the last panel "
    more = f", and {len(said) - NAMED} more" if len(said) > NAMED else ""
    texts.append(where + "; ".join(said[:NAMED]) + more if said else "")
    return ". ".join(filter(None, texts))
