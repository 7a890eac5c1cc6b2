"""What stands on the page of a run: the tables and sentences of `show`, the figures of `plot`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures import KINDS, Kind
from gradflow.report.figures.canvas import Setup
from gradflow.report.figures.output import private_style
from gradflow.report.figures.sites import Site
from gradflow.report.figures.traces import Curve, NotRecordedError, norm_curves
from gradflow.report.page.drawings import Drawing, drawing
from gradflow.report.page.explore import norm_name, views
from gradflow.report.read.explain import explain
from gradflow.report.read.lessons import lessons
from gradflow.report.read.predictions import predicted_and_measured
from gradflow.report.read.records import default_state, groups
from gradflow.report.read.rows import rows
from gradflow.report.tables.beside import lesson_lines, predictions_sheet, sentences
from gradflow.report.tables.closing import closing_sheet
from gradflow.report.tables.layout import Sheet

__all__ = ["Content", "KindFigures", "Shown", "content"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shown:
    """A figure and its name among those of its kind."""

    name: str
    label: str
    drawing: Drawing


@dataclass(frozen=True)
class KindFigures:
    """The figures of one kind, that of the judged state first."""

    kind: Kind
    figures: Sequence[Shown]

    @property
    def summary(self) -> str:
        """What the kind shows, as a sentence begins."""
        return sentence_case(self.kind.summary)


@dataclass(frozen=True)
class Content:
    """All that a page says.

    Parameters
    ----------
    name, state : str
        The run, and the state that it is judged by.
    verdicts, every : Sheet
        The closing table, of the greatest lengths and of all; the latter None where it is the same.
    reasons : sequence of Sheet
        Sentences and tables that say why.
    views : mapping
        The curves for the script, see `gradflow.report.page.explore`.
    sections : sequence of KindFigures
        The figures, by kind.
    undrawn : sequence of str
        Kinds that the run has no figure of, and why, but for what was not recorded.
    counts : str
        How many points there are and how many are missing.
    config : str
        The experiment file; empty for results in memory.
    created, updated : str
        ISO time.
    environments : sequence of mapping
        What the results were computed in.
    """

    name: str
    state: str
    verdicts: Sheet
    every: Sheet | None
    reasons: Sequence[Sheet]
    views: Mapping[str, object]
    sections: Sequence[KindFigures]
    undrawn: Sequence[str]
    counts: str
    config: str
    created: str
    updated: str
    environments: Sequence[Mapping[str, object]]


def content(run: Run, state: str | None = None) -> Content:
    """Gather the page of a run, judged by a state (default: as `show` chooses it).

    Raises
    ------
    UserError
        If the run holds nothing, or not that state.
    """
    judged = default_state(run, state)
    longest = rows(run, judged)
    several = len({group.length for group in groups(run)}) > 1
    norms = _ordered(norm_curves(run), [f"{judged}.last", judged])
    cells = tuple(dict.fromkeys(group.cell for group in groups(run)))
    sections, undrawn = _sections(run, norms, cells)
    missing = f", {len(run.missing)} missing" if run.missing else ""
    return Content(
        name=run.name,
        state=judged,
        verdicts=closing_sheet(longest),
        every=closing_sheet(rows(run, judged, every=True)) if several else None,
        reasons=list(_reasons(run, judged)),
        views=views(norms, cells),
        sections=sections,
        undrawn=undrawn,
        counts=f"{len(run.points)} points{missing}",
        config=run.config,
        created=run.created,
        updated=run.updated,
        environments=run.environments,
    )


def _reasons(run: Run, state: str) -> Iterator[Sheet]:
    theory = run.recorded("theory")
    if theory or run.recorded("gates"):
        yield sentences(explain(run, state))
    taught = lessons(run)
    if taught:
        yield lesson_lines(taught)
    if theory:
        yield predictions_sheet(predicted_and_measured(run, state), "Theory beside measurement")


def _sections(
    run: Run, norms: Mapping[str, Sequence[Curve]], cells: tuple[str, ...]
) -> tuple[list[KindFigures], list[str]]:
    """Draw every kind of figure that the run holds, and say what stood in the way of others."""
    sections: list[KindFigures] = []
    undrawn: list[str] = []
    for kind in KINDS.values():
        try:
            found = norms if kind.own_reader() is None else kind.gather(run)
            found = _ordered(found, list(norms))
            with private_style():
                figures = [_shown(kind, found, name, Setup(cells=cells)) for name in found]
            sections.append(KindFigures(kind, figures))
        except NotRecordedError:
            continue
        except UserError as error:
            undrawn.append(str(error).partition("\n")[0])
    return sections, undrawn


def _shown(kind: Kind, found: Mapping[str, Sequence[Site]], name: str, setup: Setup) -> Shown:
    label = norm_name(name, found)
    key = f"{kind.name}-{name}".replace(".", "-")
    figure = kind.draw(found[name], name, setup)
    return Shown(name, label, drawing(figure, key, f"{sentence_case(kind.summary)}, {label}"))


def sentence_case(text: str) -> str:
    """Begin with a capital and leave the rest: BPTT stays what it is."""
    return text[:1].upper() + text[1:]


def _ordered(found: Mapping[str, Item], first: Sequence[str]) -> dict[str, Item]:
    """Put some names in front, as far as they are there."""
    front = [name for name in first if name in found]
    return {name: found[name] for name in dict.fromkeys([*front, *found])}
