"""Figures of a run: kinds by name, written as png, svg or pdf that are the same bytes every time.

matplotlib is imported when something is drawn, not before, and only through its `Figure`: no
display, no global state, no setting of the user's is touched.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gradflow.errors import UserError
from gradflow.experiment.files import write_atomic
from gradflow.report.records import Run, default_state

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradflow.report.plots.data import Band

__all__ = ["FORMATS", "KINDS", "Kind", "draw_curves", "plot", "register"]

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Parameters
    ----------
    name : str
        What ``--kind`` calls it.
    summary : str
        What it shows, in a line.
    module : str
        Where its ``draw(bands, state, x) -> Figure`` is; imported when the kind is first drawn.
    """

    name: str
    summary: str
    module: str

    def draw(self, bands: Sequence[Band], state: str, x: str) -> Figure:
        """Draw one state."""
        function = cast("Callable[..., Figure]", importlib.import_module(self.module).draw)
        return function(bands, state, x)


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Add a kind of figure under its name."""
    KINDS[kind.name] = kind
    return kind


for _name, _summary in (
    ("curves", "norm against lag or step, a panel for each length"),
    ("length", "norm at the far end against the length of the sequence"),
    ("slope", "decades per step, by cell or along a swept axis"),
    ("heatmap", "norm by lag and length, a panel for each cell"),
):
    register(Kind(_name, _summary, f"{__name__}.{_name}"))


def plot(
    run: Run,
    kind: str = "curves",
    x: str = "lag",
    state: str | None = None,
    formats: Sequence[str] = ("png", "svg"),
    out: str | Path | None = None,
) -> list[Path]:
    """Draw a run and write the figures, one for each state.

    Parameters
    ----------
    run : Run
        A stored run, or results in memory.
    kind : str
        One of `KINDS`.
    x : {"lag", "step"}
        What the curves are drawn against; the other kinds take no notice.
    state : str, optional
        One state; default every state recorded.
    formats : sequence of {"png", "svg", "pdf"}
        Files to write of each figure.
    out : path, optional
        A folder (default ``plots`` in the run's), or with a suffix of `FORMATS` the one file.

    Returns
    -------
    list of Path
        The files, in the order of writing.

    Raises
    ------
    UserError
        If a name is unknown, or the run does not hold what the kind shows.
    """
    from gradflow.report.plots.data import gather
    from gradflow.report.plots.style import private_style, render

    _known("kind", kind, KINDS)
    _known("x", x, ("lag", "step"))
    folder = Path(out) if out is not None else run.path / "plots"
    single = folder if folder.suffix[1:] in FORMATS else None
    formats = (folder.suffix[1:],) if single else tuple(dict.fromkeys(formats))
    for form in formats:
        _known("format", form, FORMATS)
    default_state(run, state)
    found = gather(run, None if state is None else [state])
    if single and len(found) > 1:
        raise UserError(
            f"{out}: one file, but there is a figure for each state: {', '.join(found)}\n"
            f"  fix: choose one state, or give a folder"
        )
    written = []
    with private_style():
        for name, bands in found.items():
            figure = KINDS[kind].draw(bands, name, x)
            for form in formats:
                path = single or folder / f"{kind}-{name}.{form}"
                _write(path, render(figure, form))
                written.append(path)
    return written


def draw_curves(ax: Axes, run: Run, **options: Any) -> None:
    """Draw curves onto axes of your own; see `gradflow.report.plots.curves.draw_curves`."""
    from gradflow.report.plots.curves import draw_curves as draw

    draw(ax, run, **options)


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error


def _known(what: str, name: str, names: Sequence[str] | dict[str, Kind]) -> None:
    if name not in names:
        raise UserError(f"no {what} {name!r}; there is {', '.join(names)}")
