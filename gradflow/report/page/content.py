"""What stands on the page of a run: the tables and sentences of `show`, the figures of `plot`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradflow.errors import UserError
from gradflow.experiment.store.runs import Run
from gradflow.report.figures import KINDS, Kind
from gradflow.report.figures.output import private_style
from gradflow.report.figures.page import Setup
from gradflow.report.page.drawings import Drawing, drawing
from gradflow.report.read.explain import explain
from gradflow.report.read.learning import lessons
from gradflow.report.read.predictions import predicted_and_measured
from gradflow.report.read.records import default_state, groups
from gradflow.report.read.rows import rows
from gradflow.report.tables.beside import lesson_lines, predictions_sheet, sentences
from gradflow.report.tables.closing import closing_sheet
from gradflow.report.tables.layout import Sheet

__all__ = ["Content", "Section", "Shown", "content"]


@dataclass(frozen=True)
class Shown:
    """A figure and its name among those of its kind."""

    name: str
    label: str
    drawing: Drawing


@dataclass(frozen=True)
class Section:
    """The figures of one kind, that of the judged state first."""

    kind: Kind
    figures: Sequence[Shown]


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
    sections : sequence of Section
        The figures, by kind.
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
    sections: Sequence[Section]
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
    file = run.path / "config.yaml"
    missing = f", {len(run.missing)} missing" if run.missing else ""
    return Content(
        name=run.name,
        state=judged,
        verdicts=closing_sheet(longest),
        every=closing_sheet(rows(run, judged, every=True)) if several else None,
        reasons=list(_reasons(run, judged)),
        sections=list(_sections(run, judged)),
        counts=f"{len(run.points)} points{missing}",
        config=file.read_text(encoding="utf-8") if file.is_file() else "",
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


def _sections(run: Run, state: str) -> Iterator[Section]:
    """Draw every kind of figure that the run holds."""
    cells = tuple(dict.fromkeys(group.cell for group in groups(run)))
    setup = Setup(cells=cells)
    for kind in KINDS.values():
        try:
            found = kind.gather(run)
            ordered = sorted(found, key=lambda name: name != state)
            with private_style():
                figures = [
                    Shown(name, label, drawing(kind.draw(found[name], name, setup), key, title))
                    for name in ordered
                    for label in [_label(name)]
                    for key in [f"{kind.name}-{name}".replace(".", "-")]
                    for title in [f"{kind.summary}, {label}"]
                ]
        except UserError:  # the run does not hold what this kind shows
            continue
        yield Section(kind, figures)


def _label(name: str) -> str:
    """Write the name of a figure: a state's norm, or what else a kind calls its figures."""
    state, _, which = name.partition(".")
    if len(state) > 1:
        return name.replace("_", " ")
    return f"∂L/∂{state}" + (", the last loss alone" if which == "last" else "")
