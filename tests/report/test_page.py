"""The page of a run, without a browser: what stands in it, and what must not."""

from __future__ import annotations

import html
import json
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from gradflow.cli import app
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run, open_run
from gradflow.report.figures.traces import norm_curves
from gradflow.report.format import cell_name
from gradflow.report.page import page, report
from gradflow.report.page.palette import CONTRAST, DARK, LIGHT, contrast, readable
from tests.report import fakes

HOSTILE = "lstm(<img src=//x onerror=alert(1)>)"
EMPTY = {"meta", "br", "img", "input", "link", "hr"}


@dataclass
class Parsed(HTMLParser):
    """Elements, texts and ids of a page; an end tag that does not fit is an error."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: text or "" for name, text in attrs}))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {name: text or "" for name, text in attrs}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def every(self, *names):
        return [attrs[name] for _, attrs in self.elements for name in names if name in attrs]


def parsed(text):
    found = Parsed()
    found.feed(text)
    assert not found.open
    return found


def in_memory(path, name="a run"):
    """Two swept axes beside the cell, and names that are not what they seem."""
    fake = fakes.Run(path)
    for cell, slope in (("rnn", -0.3), (HOSTILE, -0.1), ("cec", 0.0)):
        for length in (8, 20):
            for gain in (0.5, 2.0):
                for seed in range(2):
                    norms = {"s": fakes.walk(slope * gain, length, seed, sequences=2)}
                    own = {"init__recurrent_gain": gain, "inputs__path": "</script>$x$.npy"}
                    fake.add(cell, length, seed, norms, **own)
    environment = {"cpu": "<i>fast</i>", "blas": ["one", "<two>"]}
    return Run(name, tuple(fake.points), load=fake.result, environments=(environment,))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return in_memory(tmp_path_factory.mktemp("page"), "</title><script>alert(1)</script>")


@pytest.fixture(scope="module")
def text(run):
    return page(run)


def test_it_is_whole_and_needs_nothing_beside_it(text):
    found = parsed(text)
    ids = found.every("id")
    assert len(ids) == len(set(ids))
    links = found.every("href")
    assert links
    inside = {link[1:] for link in links if link[0] == "#"}
    assert all(link.startswith("data:image/png;base64,") for link in links if link[0] != "#")
    assert not found.every("src", "xlink:href", "srcset", "action", "data")
    wanted = inside | set(re.findall(r"url\(#([^)]+)\)", text))
    wanted |= {one for each in found.every("aria-labelledby") for one in each.split()}
    assert wanted <= set(ids)
    assert not re.search(r"url\((?!#)|@import|https?:", text)
    assert "default-src 'none'" in text


def test_names_are_text_and_nothing_else(text, run):
    found = parsed(text)
    tags = [tag for tag, _ in found.elements]
    scripts = [attrs for tag, attrs in found.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "views"}, {}]
    assert not {"img", "i", "two"} & set(tags)
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on")]
    said = "".join(found.texts)
    for name in (run.name, "(<img src=//x onerror=alert(1)>)", "<i>fast</i>", "<two>"):
        assert name in said


def test_every_table_and_figure_is_there_without_a_script(text):
    found = parsed(text)
    said = " ".join(found.texts)
    assert {"Curves", "Length", "Slope", "Heatmap", "Verdicts", "Every length"} <= set(found.texts)
    assert "vanishes" in said
    plots = [attrs for _, attrs in found.elements if attrs.get("role") == "img"]
    pictures = [tag for tag, _ in found.elements].count("svg")
    assert len(plots) == pictures - 1 >= 4  # one waits for the script
    assert all(len(attrs["aria-label"]) > 20 for attrs in plots)
    assert "T = 8" in said
    assert "10–90\u00a0%" in said
    assert not re.search(r"<p[^>]*>[^<]*\d %", text)


def test_curves_are_named_and_their_values_can_be_read_back(run, text):
    """A path and the frame of its panel are all that pointing has."""
    norms = norm_curves(run)["s"]
    figure = text[text.index('<h2 id="curves"') : text.index('<h2 id="length"')]
    panels = figure.split(" data-axes=")[1:]
    assert len(panels) == 4
    checked = 0
    for panel in panels:
        axes = json.loads(html.unescape(panel[1 : panel.index('">')]))
        assert axes["name"] == "lag"
        assert axes["decades"]
        for name, path in re.findall(r' data-curve="([^"]+)"><path d="([^"]+)"', panel):
            points = read(path)
            lags, values = (place(axes[side], points[:, i]) for i, side in enumerate("xy"))
            near = [
                float(np.abs(one.trace.median - values).max())
                for one in norms
                if cell_name(one.cell) == html.unescape(name) and one.length == len(points) - 1
            ]
            assert min(near) < 2e-4 * abs(axes["y"][3] - axes["y"][2])
            assert np.round(lags, 1).tolist() == list(range(len(points)))
            checked += 1
    assert checked == len(norms)


def read(path):
    """Points of an absolute start and the differences after it."""
    start, _, rest = path[1:].partition("l")
    numbers = [float(one) for one in re.findall(r"-?\d*\.?\d+", f"{start} {rest}")]
    return np.cumsum(np.reshape(numbers, (-1, 2)), axis=0)


def place(axis, at):
    begin, end, low, high, scale = axis
    assert scale == "linear"
    return low + (at - begin) / (end - begin) * (high - low)


def test_every_view_is_there(run, text):
    found = json.loads(re.search(r'id="views">(.*?)</script>', text)[1])
    named = {axis["name"]: (axis["values"], axis["numeric"]) for axis in found["axes"]}
    assert named == {"recurrent gain": (["0.5", "2"], True), "length": (["8", "20"], True)}
    assert [cell["name"] for cell in found["cells"]] == ["rnn", cell_name(HOSTILE), "cec"]
    assert len(found["curves"]) == 3 * 2 * 2
    norms = norm_curves(run)["s"]
    for one, curve in zip(norms, found["curves"], strict=True):
        assert curve["lag"] == one.trace.lag.tolist()
        assert found["cells"][curve["cell"]]["name"] == cell_name(one.cell)
        assert curve["median"] == np.round(one.trace.median, 3).tolist()


def test_text_stands_out_in_the_light_and_in_the_dark():
    for colours in (LIGHT, DARK):
        for name in set(colours) - {"ground", "raised", "line"}:
            assert contrast(colours[name], colours["ground"]) >= CONTRAST, name
            assert contrast(colours[name], colours["raised"]) >= CONTRAST, name
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert readable("#e69f00") == "#e69f00"
    assert contrast(readable("#440154"), DARK["ground"]) >= CONTRAST


def test_a_missing_library_is_named_with_its_extra(monkeypatch, run):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"pip install 'gradflow-rnn\[report\]'"):
        page(run)


def test_the_command_writes_where_it_is_told_and_always_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nmodel: {cell: rnn, hidden: 3}\ninputs: {kind: noise}\nlength: 5\n"
        "record: {states: [s]}\n"
    )
    invoke = CliRunner().invoke
    assert invoke(app, ["run", "tiny.yaml", "-q"]).exit_code == 0
    done = invoke(app, ["report", "tiny"])
    assert done.stdout == "results/tiny/report.html\n"
    found = parsed((tmp_path / "results/tiny/report.html").read_text())
    assert any("kind: noise" in one for one in found.texts)
    again = report(open_run("results/tiny"), tmp_path)
    assert again.name == "tiny.html"
    assert again.read_bytes() == (tmp_path / "results/tiny/report.html").read_bytes()
    wrong = invoke(app, ["report", "--out", "tiny.txt"])
    assert wrong.exit_code == 2
    assert "tiny.html" in wrong.stderr


def test_a_page_may_have_a_name_of_its_own(run, tmp_path):
    with pytest.raises(UserError, match=r"no state 'c'"):
        report(run, tmp_path / "mine.html", state="c")
