"""Every wrong experiment gets one clear message that points at the mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradflow.errors import ConfigError
from gradflow.experiment.config import load_config
from tests.experiment.wrong import MARK, WRONG, Wrong
from tests.work import calls


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return caught.value


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported on the way, once, is not counted."""
    path = tmp_path_factory.mktemp("once") / "wrong.yaml"
    path.write_text("modle: {}\n")
    refused(path)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name.replace(" ", "-"))
def test_a_wrong_file_gets_one_message_that_points_at_the_mistake(
    case: Wrong, tmp_path: Path
) -> None:
    before, mark, after = case.text.partition(MARK)
    assert mark
    path = tmp_path / "wrong.yaml"
    path.write_text(before + after, encoding="utf-8")
    caught: list[ConfigError] = []
    assert calls(lambda: caught.append(refused(path))) < 200_000
    (error,) = caught
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    message = str(error)
    assert (error.line, error.column, error.key) == (line, column, case.key), message
    assert message.startswith(f"{path}:{line}:{column}: ")
    assert case.problem in error.problem, message
    assert case.expected in error.expected, message
    assert case.fix in error.fix, message
    assert error.exit_code == 2


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in WRONG}) == len(WRONG) >= 50
