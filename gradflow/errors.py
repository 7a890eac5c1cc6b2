"""What can go wrong, and the exit code each kind of mistake ends the program with.

The text of an error is the whole message that a user sees: the place, what was expected, the fix.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

__all__ = [
    "ConfigError",
    "GradflowError",
    "NoBaselineError",
    "NumericalError",
    "OptionError",
    "UserError",
    "typed",
    "visible",
]


def typed(path: str | Path) -> str:
    """Return a path as it is typed in a shell: a message's fix can be copied as it is."""
    return shlex.quote(str(path))


def visible(text: str, keep: str = "") -> str:
    """Escape what would not show, or would break a message's line; `keep` stays as it is."""
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


class GradflowError(Exception):
    """An error that gradflow explains itself; the base of all others."""

    exit_code: ClassVar[int] = 3


class UserError(GradflowError):
    """The user's input is wrong: a file, an argument, data that do not fit."""

    exit_code: ClassVar[int] = 2


class ConfigError(UserError):
    """A wrong experiment file.

    Parameters
    ----------
    problem : str
        What is wrong, in one sentence.
    file : str
        Where the text came from.
    line, column : int
        Position of the offending key or value, counted from 1.
    key : str
        Dotted path of the key, empty at the root.
    expected, fix : str
        What would have been right there, and what to write instead.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str = "<config>",
        line: int = 1,
        column: int = 1,
        key: str = "",
        expected: str = "",
        fix: str = "",
    ) -> None:
        self.problem, self.file, self.line, self.column = problem, file, line, column
        self.key, self.expected, self.fix = key, expected, fix
        where = f"{file}:{line}:{column}: " + (f"{key}: " if key else "")
        notes = [("expected", expected), ("fix", fix)]
        tail = "".join(f"\n  {label}: {text}" for label, text in notes if text)
        super().__init__(f"{where}{problem}{tail}")

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields when the error crosses a process boundary."""
        fields = ("file", "line", "column", "key", "expected", "fix")
        return _rebuild, (self.problem, {name: getattr(self, name) for name in fields})


def _rebuild(problem: str, fields: dict[str, object]) -> ConfigError:
    return ConfigError(problem, **fields)  # type: ignore[arg-type]  # the fields of __reduce__


class OptionError(ValueError):
    """A value of an option that makes no sense by itself or beside the others.

    Parameters
    ----------
    problem : str
        What is wrong, in one sentence.
    option : str
        The option's name.
    at : int or None
        Which of its values, where it has several.
    expected, fix : str
        What would have been right, and what to write instead.
    """

    def __init__(
        self,
        problem: str,
        option: str,
        *,
        at: int | None = None,
        expected: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(problem)
        self.problem, self.option, self.at = problem, option, at
        self.expected, self.fix = expected, fix

    @property
    def path(self) -> tuple[str | int, ...]:
        """The way to the value from where the options are."""
        return (self.option,) if self.at is None else (self.option, self.at)


class NumericalError(GradflowError):
    """A state or an adjoint became NaN or infinite; names cell, layer and step."""


class NoBaselineError(GradflowError):
    """The gate has nothing to compare with."""

    exit_code: ClassVar[int] = 4
