"""How much work something is, counted in calls: the same on an idle machine and on a busy one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["calls"]


def calls(work: Callable[[], Any]) -> int:
    """Calls of Python's and of C's functions that `work` makes."""
    count = 0

    def counted(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
