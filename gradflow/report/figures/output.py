"""How figures become files: in a style of their own, and as the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gradflow.errors import UserError
from gradflow.experiment.store.files import write_atomic
from gradflow.report.format import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "Target", "private_style", "render", "target"]

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
        one_of("format", form, FORMATS)
    return Target(out, None, tuple(dict.fromkeys(formats)))


_STYLE = {
    "axes.formatter.use_mathtext": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "mathtext.fontset": "dejavusans",
    "path.simplify": False,
    "pdf.fonttype": 42,  # TrueType: type 3 fonts are refused by many journals
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "gradflow",
    "text.hinting": "no_hinting",  # widths then do not depend on the resolution
    "text.usetex": False,
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}

_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""What would put a date or a version into the file, by format."""


@contextmanager
def private_style() -> Iterator[None]:
    """Draw in gradflow's style, then give the caller's settings back."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]  # keyed by literals
        yield


def render(figure: Figure, form: str) -> bytes:
    """Turn a figure into the bytes of a png, svg or pdf file: the same ones every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=cast("dict[str, str]", _METADATA[form]))
    return buffer.getvalue()
