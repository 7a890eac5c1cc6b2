"""How figures become files: in a style of their own, and as the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from gradflow.errors import UserError
from gradflow.experiment.store.whole import write_atomic
from gradflow.report.format import one_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FORMATS", "GIF", "ORDINARY", "PAPERS", "Film", "Paper", "Target", "private_style", "render",
    "target",
]  # fmt: skip

GIF = "gif"
"""What moves; all else stands still."""

FORMATS = ("png", "svg", "pdf")

RATE = 8
"""Frames of a film in a second."""

REST = 8
"""Frames for which a film stays at its end."""


@dataclass(frozen=True)
class Paper:
    """What a figure is made for, lengths in inches.

    Parameters
    ----------
    column, page : float
        Width of a column, and of all of them; where text has one column, they are the same.
    size : float
        Of text, in points; headings and labels, the smallest print a third less.
    """

    column: float = 3.45
    page: float = 6.9
    size: float = 8.0


ORDINARY = Paper()
"""What figures are made for unless asked: a column of many journals, or two of them."""

PAPERS = {
    "icml": Paper(3.25, 6.75),
    "neurips": Paper(5.5, 5.5),
    "ieee": Paper(3.5, 7.16),
    "nature": Paper(3.5, 7.2, 7.0),
    "slide": Paper(9.0, 12.0, 18.0),
}
"""By name: the widths and sizes that the venues' own templates ask for, and a slide of 16:9."""


@dataclass(frozen=True)
class Film:
    """A figure that changes: `turn` makes it show frame number k of `frames`, from 0."""

    figure: Figure
    frames: int
    turn: Callable[[int], None]

    def render(self) -> bytes:
        """Turn it into the bytes of a gif: the same ones every time."""
        from matplotlib.animation import PillowWriter

        with TemporaryDirectory() as folder:
            path, writer = Path(folder) / "film.gif", PillowWriter(fps=RATE)
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")  # once is enough: nothing moves but the curves
            with writer.saving(self.figure, str(path), dpi=150):
                for k in range(self.frames + REST):
                    self.turn(min(k, self.frames - 1))
                    writer.grab_frame()
            return path.read_bytes()


@dataclass(frozen=True)
class Target:
    """A folder for figures, or the one file that is to hold the only figure."""

    folder: Path
    single: Path | None
    formats: tuple[str, ...]

    def write(
        self,
        figure: Figure | None,
        stem: str,
        title: str = "",
        source: str = "",
        film: Film | None = None,
    ) -> list[Path]:
        """Write a figure in all formats, with what it shows and what it was made from.

        Where it moves, `film` is what becomes a gif.
        """
        written = []
        for form in self.formats:
            path = self.single or self.folder / f"{stem}.{form}"
            if not self.single:
                self.folder.mkdir(exist_ok=True)
            if form == GIF and film is not None:
                write_atomic(path, film.render())
            elif figure is not None:
                write_atomic(path, render(figure, form, title, source))
            written.append(path)
        return written


def target(
    out: str | Path, formats: Sequence[str] | None = None, known: Sequence[str] = FORMATS
) -> Target:
    """Read `out` as a folder or, where it ends in a `known` format, as the one file to write.

    Raises
    ------
    UserError
        If a format is unknown, or the file's name says another.
    """
    out, asked = Path(out), list(dict.fromkeys(formats or ()))
    if out.is_file() and not out.suffix:
        raise UserError(
            f"{out} is a file, not a folder\n  fix: name a folder, or a file like {out}.png"
        )
    for form in asked:
        one_of("format", form, known)
    if not out.suffix or out.is_dir():
        return Target(out, None, tuple(asked or FORMATS[:2]))
    form = out.suffix[1:]
    if form not in known:
        raise UserError(
            f"{out}: figures are written as {', '.join(known)}\n"
            f"  fix: call it {out.with_suffix('.png')}; a folder of that name has to be there"
        )
    if asked not in ([], [form]):
        raise UserError(
            f"{out}: its name says {form}, the formats asked for are {', '.join(asked)}\n"
            "  fix: leave out the formats, or name a folder"
        )
    return Target(out.parent, out, (form,))


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
    "svg.fonttype": "none",
    "svg.hashsalt": "gradflow",
    "text.hinting": "no_hinting",  # widths then do not depend on the resolution
    "text.usetex": False,
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
}

_SIZES = (
    "axes.labelsize", "axes.linewidth", "axes.titlesize", "font.size", "legend.fontsize",
    "lines.linewidth", "lines.markersize", "xtick.labelsize", "xtick.major.width",
    "xtick.major.size", "ytick.labelsize", "ytick.major.width", "ytick.major.size",
)  # fmt: skip
"""What grows with the size of text; `_STYLE` has them for 8 points."""


@contextmanager
def private_style(size: float = 8.0) -> Iterator[None]:
    """Draw in gradflow's style with text of a size, then give the caller's settings back."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        params = cast("dict[str, Any]", matplotlib.rcParams)
        params.update(_STYLE)
        for name in _SIZES:
            params[name] *= size / 8.0
        yield


def render(figure: Figure, form: str, title: str = "", source: str = "") -> bytes:
    """Turn a figure into the bytes of a png, svg or pdf file: the same ones every time.

    What it shows and what it was made from stand in the file, a date or a library's version not.
    """
    written = {
        "png": {"Title": title, "Source": source, "Software": None},
        "svg": {"Title": title, "Source": source, "Creator": None, "Date": None},
        "pdf": {
            "Title": title, "Subject": source, "Creator": None, "Producer": None,
            "CreationDate": None,
        },
    }[form]  # fmt: skip
    known = {key: value for key, value in written.items() if value != ""}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=cast("dict[str, str]", known))
    return buffer.getvalue()
