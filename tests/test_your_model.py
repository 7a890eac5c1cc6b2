"""The routes of docs/your-model.md, as they are written there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_docs import ROOT, python

pytestmark = pytest.mark.extras

BLOCKS = dict(
    re.findall(
        r"^```python (\w+)\n(.*?)^```$",
        (ROOT / "docs" / "your-model.md").read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
)
NEEDS = {"pytorch": "torch", "keras": "keras", "onnx": "onnx", "beside": "numpy", "live": "torch"}


def test_every_block_has_its_test() -> None:
    assert BLOCKS.keys() == NEEDS.keys()


@pytest.mark.parametrize("route", NEEDS)
def test_a_route(route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip(NEEDS[route])
    told = python("-W", "default", "-c", BLOCKS[route], where=tmp_path, OMP_NUM_THREADS="1")
    assert "per step" in told
    assert "vanishes" in told
