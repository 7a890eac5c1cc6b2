"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

for name in ("CI", "COLUMNS", "FORCE_COLOR", "GRADFLOW_TRACEBACK"):
    os.environ.pop(name, None)
"""What changes a command's output or refuses it: where the tests run is not what they test."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Where everything is installed (`make test-extras`), a test that skips has failed."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("GRADFLOW_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """The same of a whole file."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.outcome == "skipped" and os.environ.get("GRADFLOW_NO_SKIPS"):
        report.outcome = "failed"
