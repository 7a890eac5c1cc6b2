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


def test_the_model_of_the_page_for_teams(tmp_path: Path) -> None:
    from gradflow.integrations.fixture import GradientFlow

    page = (Path(__file__).parents[1] / "docs" / "teams.md").read_text("utf-8")
    source = page.partition("```python test_encoder.py\n")[2].partition("```")[0]
    space: dict[str, Any] = {}
    exec(source, space)
    for update in (True, False):
        space["test_encoder"](
            GradientFlow(tmp_path / "own.json", lambda: tmp_path, "accept", update, tmp_path)
        )
