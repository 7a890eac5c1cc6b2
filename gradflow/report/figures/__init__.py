"""Figures of a run: kinds by name, written as png, svg or pdf that are the same bytes every time.

matplotlib is imported when something is drawn, not before, and only through its `Figure`: no
display, no global state, no setting of the user's is touched.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradflow._version import __version__
from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures.output import FORMATS, GIF, ORDINARY, PAPERS, Target, target
from gradflow.report.format import one_of
from gradflow.report.read.records import Group, default_state, groups
from gradflow.report.read.rows import where as chosen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gradflow.report.figures.canvas import Setup
    from gradflow.report.figures.output import Film
    from gradflow.report.figures.sites import Site
    from gradflow.report.read.pairs import Side

__all__ = ["FORMATS", "KINDS", "PAPERS", "Kind", "draw_curves", "overlay", "plot", "register"]


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
        Where its ``draw(found, name, setup) -> Figure`` is; imported when the kind is first drawn.
        What is drawn comes from the module's own ``gather(run)``, by the names of its figures; a
        module without shows norms, by state.
    along : bool
        Whether it is drawn over time, by lag or by step.
    """

    name: str
    summary: str
    module: str
    along: bool = False

    def gather(self, run: Run, name: str | None = None) -> dict[str, Any]:
        """Read what is drawn, by the names of the figures (default: all there are).

        Raises
        ------
        UserError
            If the run does not hold it.
        """
        from gradflow.report.figures.traces import norm_curves

        read = self.own_reader()
        if read is None:
            default_state(run, name and name.removesuffix(".last"))
            return dict(norm_curves(run, None if name is None else [name]))
        found = read(run)
        if name is None:
            return found
        one_of(f"figure of kind {self.name}", name, list(found))
        return {name: found[name]}

    def own_reader(self) -> Callable[[Run], dict[str, Any]] | None:
        """Return the module's ``gather``; None where the kind shows norms, as others do."""
        read: Callable[[Run], dict[str, Any]] | None = self._function("gather", None)
        return read

    def draw(self, found: Sequence[Site], name: str, setup: Setup) -> Figure:
        """Draw one figure."""
        figure: Figure = self._function("draw")(found, name, setup)
        return figure

    def film(self, found: Sequence[Site], name: str, setup: Setup) -> Film:
        """Prepare a figure that moves, of a kind that `moves`."""
        film: Film = self._function("film")(found, name, setup)
        return film

    @property
    def moves(self) -> bool:
        """Whether it can be drawn as a gif."""
        return self._function("film", None) is not None

    def _function(self, verb: str, *default: Any) -> Any:
        return getattr(importlib.import_module(self.module), verb, *default)


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Add a kind of figure under its name."""
    KINDS[kind.name] = kind
    return kind


for _name, _summary, _along in (
    ("curves", "norm against lag or step, a panel for each length", True),
    ("length", "norm at the far end against the length of the sequence", False),
    ("slope", "decades per step, by cell or along a swept axis", False),
    ("heatmap", "norm by lag and length, a panel for each cell", False),
    ("flow", "the loss of every step against the state of every step", False),
    ("paths", "what the carrousel brings back, and what gates and hidden state do", True),
    (
        "contributions",
        "what each step adds to the weights' gradients, and whether steps agree",
        True,
    ),
    ("gates", "how far the gates are open, beside the gradient", True),
    ("theory", "the measured curve with predicted rates laid over it", True),
    ("truncation", "what truncated BPTT leaves out, by k2 and by lag", True),
    ("spectrum", "singular values of the derivative, and Lyapunov exponents", True),
    (
        "training",
        "the norm by update, the loss above it; as gif the curve while the net learns",
        True,
    ),
    ("learning", "loss and errors by update", False),
    (
        "symptoms",
        "what holds nets back: stall, oscillation, conflict, a gradient that dies",
        False,
    ),
    ("success", "sequences until the criterion is met against the length", False),
):
    register(Kind(_name, _summary, f"{__name__}.kinds.{_name}", _along))


def plot(
    run: Run,
    kind: str = "curves",
    x: str = "lag",
    state: str | None = None,
    formats: Sequence[str] | None = None,
    out: str | Path | None = None,
    *,
    where: Sequence[str] = (),
    paper: str | None = None,
    title: str | None = None,
    notes: bool = True,
    beside: str = "",
) -> list[Path]:
    """Draw a run and write the figures, one for each state or part of what a kind shows.

    Parameters
    ----------
    run, kind
        A stored run, or results in memory; one of `KINDS`.
    x, state
        ``lag`` or ``step``, where it is time; one state, or one figure of several (default: all).
    formats, out
        Files to write of each figure, by default png and svg, or what `out` ends in: a folder
        (default ``plots`` in the run's), or with a suffix of `FORMATS` the one file.
    where, paper
        Conditions like ``"cell=lstm,gru"``, which points have to meet; one of `PAPERS`.
    title, notes
        Above the panels, in place of what they share; whether to write the small print.
    beside
        What lies over the run: the files' names end in it.

    Returns
    -------
    list of Path

    Raises
    ------
    UserError
        If a name is unknown, or the run does not hold what the kind shows.
    """
    from gradflow.report.figures.canvas import Setup
    from gradflow.report.figures.output import private_style

    _check_kind(run, kind, x)
    place = target(run.path / "plots" if out is None else out, formats, (*FORMATS, GIF))
    cells = tuple(dict.fromkeys(group.cell for group in groups(run)))
    found = KINDS[kind].gather(chosen(run, where), state)
    _check_place(place, kind, list(found), out)
    made_for = ORDINARY if paper is None else PAPERS[one_of("paper", paper, list(PAPERS))]
    setup = Setup(x, cells, made_for, paper is not None, title, notes)
    source = f"gradflow {__version__}, run {run.name}{_conditions(where)}"
    written = []
    with private_style(made_for.size):
        for name, sites in found.items():
            stem = _stem(kind, name, x, beside)
            still = KINDS[kind].draw(sites, name, setup) if {*place.formats} - {GIF} else None
            film = KINDS[kind].film(sites, name, setup) if GIF in place.formats else None
            written += place.write(still, stem, f"{run.name}: {stem}", source, film)
    return written


def _stem(kind: str, name: str, x: str, beside: str) -> str:
    """The file's name without a suffix."""
    words = (kind, *name.split("."), "step" if x == "step" else "", beside and f"vs-{beside}")
    return "-".join(dict.fromkeys(filter(None, words)))


def _check_kind(run: Run, kind: str, x: str) -> None:
    """Refuse a kind that there is not, and steps where they say nothing."""
    one_of("kind", kind, list(KINDS))
    one_of("x", x, ("lag", "step"))
    if x == "step" and not KINDS[kind].along:
        over = ", ".join(name for name, one in KINDS.items() if one.along)
        raise UserError(f"kind {kind} is not drawn over steps; of those there are {over}")
    if x == "step" and any(_apart(run, group) for group in groups(run)):
        raise UserError(
            f"{run.name}: sequences that end at lengths of their own have no steps in common\n"
            "  fix: draw over lags, which are counted from each one's own end: --x lag"
        )


def _check_place(place: Target, kind: str, found: Sequence[str], out: str | Path | None) -> None:
    """Refuse files that the figures cannot be written to."""
    if GIF in place.formats and not KINDS[kind].moves:
        moving = ", ".join(one.name for one in KINDS.values() if one.moves)
        raise UserError(f"kind {kind} stands still; what moves, and can be a gif, is {moving}")
    if place.single and len(found) > 1:
        raise UserError(
            f"{out}: one file, but there is a figure for each state: {', '.join(found)}\n"
            f"  fix: choose one (--state {found[0]}), or name a folder"
        )


def overlay(
    a: Side,
    b: Side,
    kind: str = "curves",
    x: str = "lag",
    *,
    out: str | Path | None = None,
    **asked: Any,
) -> list[Path]:
    """Draw two runs over one another; see `plot` for the rest.

    By default the files lie in the first run's ``plots``, under names that end in the other's.
    """
    from gradflow.report.read.pairs import overlaid

    name = re.sub(r"[^\w.=+-]+", "_", b.label)
    lain = overlaid(a, b, x, every=kind != "curves")
    return plot(lain, kind, x, out=out, beside=name, **asked)


def _apart(run: Run, group: Group) -> bool:
    """Whether sequences end at lengths of their own."""
    return any("length" in one.coords for one in run.result(group.points[0]).values())


def _conditions(where: Sequence[str]) -> str:
    return f" where {' and '.join(where)}" if where else ""


def draw_curves(ax: Axes, run: Run, **options: Any) -> None:
    """Draw curves onto axes of your own; see `gradflow.report.figures.kinds.curves.draw_onto`."""
    from gradflow.report.figures.kinds.curves import draw_onto

    draw_onto(ax, run, **options)
