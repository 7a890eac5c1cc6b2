"""Where figures are written, and in which formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradflow.errors import UserError
from gradflow.experiment.store.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "Target", "known", "target"]

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Target:
    """A folder for figures, or the one file that is to hold the only figure."""

    folder: Path
    single: Path | None
    formats: tuple[str, ...]

    def write(self, figure: Figure, stem: str) -> list[Path]:
        """Write a figure in all formats.

        Raises
        ------
        UserError
            If a file cannot be written.
        """
        from gradflow.report.figures.style import render

        written = []
        for form in self.formats:
            path = self.single or self.folder / f"{stem}.{form}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, render(figure, form))
            except OSError as error:
                raise UserError(f"{path} cannot be written: {error.strerror}") from error
            written.append(path)
        return written


def target(out: str | Path, formats: Sequence[str]) -> Target:
    """Read `out` as a folder or, with a suffix of `FORMATS`, as the one file to write.

    Raises
    ------
    UserError
        If a format is unknown.
    """
    out = Path(out)
    if out.suffix[1:] in FORMATS:
        return Target(out.parent, out, (out.suffix[1:],))
    for form in formats:
        known("format", form, FORMATS)
    return Target(out, None, tuple(dict.fromkeys(formats)))


def known(what: str, name: str, names: Sequence[str]) -> None:
    """Raise UserError if `name` is none of `names`."""
    if name not in names:
        raise UserError(f"no {what} {name!r}; there is {', '.join(names)}")
