"""The page of a run in a real browser: nothing goes wrong or is asked for, all of it answers."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import gradflow
from gradflow.report.figures.traces import norm_curves
from gradflow.report.format import cell_name
from gradflow.report.page import page
from tests.report.test_page import HOSTILE, in_memory

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium"),
]

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

LEAN = {
    "long-lags": ["sweep.length=[200, 1000]"],
    "regression": ["record.states=[s]"],
    "why-training-stalls": ["sweep.length=[10]", "sweep.seed=2", "train.updates=200"],
}
"""Overrides where the whole takes minutes."""

ACTIONS = """
<script>addEventListener("load", () => {
  const told = {}, live = document.getElementById("live"), tip = live.querySelector(".tip");
  const texts = (parent, name) => [...parent.querySelectorAll(name)].map((one) => one.textContent);
  const at = (plot, x) => {
    const box = plot.querySelector("svg").getBoundingClientRect();
    const [clientX, clientY] = [box.left + x * box.width, box.top + box.height / 2];
    plot.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY }));
  };
  const press = (key) => live.dispatchEvent(new KeyboardEvent("keydown", { key }));
  at(live, 0.97);
  told.pointed = [texts(tip, "strong"), texts(tip, "span"), texts(tip, "b")];
  told.marks = live.querySelectorAll(".mark circle").length;
  const [gain, length] = document.querySelectorAll("#controls input");
  gain.value = 1;
  gain.dispatchEvent(new InputEvent("input", { bubbles: true }));
  told.sliders = [gain, length].map((one) => one.getAttribute("aria-valuetext"));
  told.hidden = tip.hidden;
  live.focus();
  press("End"); press("End");
  told.end = document.getElementById("said").textContent;
  press("ArrowLeft");
  told.left = document.getElementById("said").textContent;
  document.querySelectorAll("#cells input")[1].click();
  press("End");
  told.without = document.getElementById("said").textContent;
  const seen = (one) => getComputedStyle(one).display !== "none";
  const named = [...document.querySelectorAll("[data-curve], [data-band]")];
  told.off = named.filter((one) => !seen(one)).map((one) => one.dataset.curve ?? one.dataset.band);
  told.on = named.filter(seen).map((one) => one.dataset.curve ?? one.dataset.band);
  const ground = () => getComputedStyle(document.body).backgroundColor;
  told.light = ground();
  document.getElementById("theme").click();
  told.dark = ground();
  const out = document.createElement("pre");
  out.id = "told";
  out.textContent = JSON.stringify(told);
  document.body.append(out);
});</script></body>"""


def opened(file: Path) -> tuple[str, list[str]]:
    """The document as the browser has it in the end, and what its console says."""
    done = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions",
            f"--user-data-dir={file.parent / 'browser'}", "--enable-logging=stderr",
            "--window-size=1100,900", "--virtual-time-budget=2000", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_experiment_has_a_page_without_an_error(config: Path, tmp_path: Path) -> None:
    flow = gradflow.run(gradflow.load(config, *LEAN.get(config.stem, [])))
    file, text = tmp_path / "page.html", page(flow.source)
    file.write_text(text, encoding="utf-8")
    seen, console = opened(file)
    assert console == []
    assert "http" not in text.replace("http-equiv", "")
    assert re.search(r'<section class="scripted" aria-label="One view">', seen)
    curves = re.compile(r' data-curve="')
    assert len(curves.findall(seen)) > len(curves.findall(text))  # the script has drawn its view


def test_the_browser_tells_of_what_goes_wrong(tmp_path: Path) -> None:
    """The test above can fail: a request and a foreign script are told of."""
    file = tmp_path / "page.html"
    run = in_memory(tmp_path)
    part = run.part(point for point in run.points if point.cell == "rnn" and point.length == 8)
    foreign = '<img src="picture.png"><script>alert(1)</script></body>'
    file.write_text(page(part).replace("</body>", foreign), encoding="utf-8")
    _, console = opened(file)
    assert len(console) == 2
    assert all("Content Security Policy" in line for line in console)


def test_pointing_sliding_and_switching(tmp_path: Path) -> None:
    run = in_memory(tmp_path)
    file = tmp_path / "page.html"
    file.write_text(POLICY.sub("", page(run)).replace("</body>", ACTIONS), encoding="utf-8")
    seen, console = opened(file)
    assert console == []
    told = json.loads(html.unescape(re.search(r'<pre id="told">(.*?)</pre>', seen, re.DOTALL)[1]))
    last = {
        (cell_name(one.cell), one.axes["init.recurrent_gain"]): one.trace.median[-1]
        for one in norm_curves(run)["s"]
        if one.length == 20
    }
    hostile = cell_name(HOSTILE)
    (title,), cells, values = told["pointed"]
    assert title == "lag 20"
    assert sorted(cells) == sorted(["rnn", hostile, "cec"])
    for cell, value in zip(cells, values, strict=True):
        assert value == f"10{last[cell, 0.5]:.2f}".replace("-", "−")
    assert told["marks"] == 3
    assert told["sliders"] == ["2", "20"]
    assert told["hidden"]
    words = f"rnn 10 to the −{-last['rnn', 2.0]:.2f}"
    assert told["end"].startswith("lag 20, ")
    assert words in told["end"]
    assert told["left"].startswith("lag 19, ")
    assert hostile in told["left"]
    assert hostile not in told["without"]
    assert set(told["off"]) == {hostile}
    assert {"rnn", "cec"} <= set(told["on"])
    assert hostile not in told["on"]
    assert told["light"] == "rgb(255, 255, 255)"
    assert told["dark"] == "rgb(20, 23, 28)"
