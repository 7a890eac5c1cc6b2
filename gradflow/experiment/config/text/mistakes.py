"""Wrong values in words, and the helpers that find those words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gradflow.experiment.config.text.nodes import Path

__all__ = ["Mistake", "got", "inside", "is_number", "is_step", "is_whole", "nearest", "quote"]


class Mistake(ValueError):
    """A wrong value, in our words, before it is known where it stands.

    Parameters
    ----------
    problem, expected, fix : str
        As in `gradflow.errors.ConfigError`.
    at : tuple
        The way from the value under validation to the offending part.
    on_key : bool
        Whether the key itself is wrong, not its value.
    """

    def __init__(
        self,
        problem: str,
        expected: str = "",
        fix: str = "",
        at: Path = (),
        *,
        on_key: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem, self.expected, self.fix = problem, expected, fix
        self.at, self.on_key = at, on_key

    def under(self, *path: str | int) -> Mistake:
        """Return the same mistake as seen from further out."""
        at = (*path, *self.at)
        return Mistake(self.problem, self.expected, self.fix, at, on_key=self.on_key)

    def moved(self, *path: str | int, on_key: bool = False) -> Mistake:
        """Return the same mistake at a place of one's own choosing."""
        return Mistake(self.problem, self.expected, self.fix, path, on_key=on_key)


@contextmanager
def inside(*path: str | int) -> Iterator[None]:
    """Let mistakes made within be seen from further out."""
    try:
        yield
    except Mistake as mistake:
        raise mistake.under(*path) from None


def got(value: Any) -> str:
    """Say what was found: ``the text 'abc'``, ``a list``, ``true``, ``64.0``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{value if len(value) <= 40 else value[:37] + '...'}'"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, tuple) else f"{value}"


def quote(value: Any) -> str:
    """Say what was chosen where a name belongs: ``'lstn'``."""
    return got(value).removeprefix("the text ")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known name that `word` was probably meant to be, else ''."""
    plain = {_plain(name): name for name in known}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def is_number(value: object) -> bool:
    """Whether a value is an int or a float and nothing else."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_step(value: object) -> bool:
    """Whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
