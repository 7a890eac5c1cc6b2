"""The fixture of pytest on a PyTorch model: the loss that it really has, against a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")


def test_a_model_is_checked_by_its_loss(tmp_path: Path) -> None:
    from gradflow.integrations.fixture import GradientFlow
    from gradflow.integrations.torch import watch

    def check(subject: Any, update: bool = False, **options: Any) -> Any:
        flow = GradientFlow(tmp_path / "own.json", lambda: tmp_path, "accept", update, tmp_path)
        return flow(subject, **options)

    torch.manual_seed(0)
    model = torch.nn.LSTM(3, 4, num_layers=2)
    x = torch.randn(12, 2, 3)

    def loss() -> Any:
        return model(x)[0][-1].square().sum()

    check(model, update=True, loss=loss)
    verdict = check(model, loss=loss)
    assert (verdict.passed, len(verdict.compared), verdict.tolerance) == (True, 7, 1e-3)
    with watch(model) as probe:
        loss().backward()
    assert check(probe).passed
    with pytest.raises(pytest.fail.Exception, match="by itself has no gradient"):
        check(model)
    with torch.no_grad():
        model.weight_hh_l0 *= 1.2
    with pytest.raises(
        pytest.fail.Exception, match=r"exploding  .*layer=0 forward\n +at lag 1[12]"
    ):
        check(model, loss=loss)
