"""The table of `gradflow advise`, and the same for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradflow.advice.advise import Advice, Trial
from gradflow.experiment.config import Experiment
from gradflow.report.format import decades, plain, setting

__all__ = ["advice_table", "note", "print_advice", "records"]

COLUMNS = ("cell, knob", "before", "after", "seeds", "tried", "change")


def advice_table(advice: Sequence[Advice], *, ascii_only: bool = False) -> Table:
    """Lay out each cell as it is and, below, what its knobs can do, the best first and marked.

    Parameters
    ----------
    advice : sequence of Advice
        By cell.
    ascii_only : bool
        Write in ASCII.
    """
    write = plain if ascii_only else str
    made = Table(
        box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for name in COLUMNS:
        number = name in ("before", "after", "seeds", "tried")
        made.add_column(name, justify="right" if number else "left", no_wrap=name != COLUMNS[0])
    for one in advice:
        label = Text(one.cell.replace("(", " (", 1), "bold")
        made.add_row(label, write(decades(one.before.decades)), "", "", "", _summary(one))
        for each in one.found:
            best = each is one.best
            after = write(decades(each.best.decades))
            made.add_row(
                f" {'*' if best else ' '} {each.knob.name}",
                "",
                Text(after, "green" if each.best.steady else "yellow"),
                _share(one, each.best),
                str(each.tried),
                Text(each.setting, "bold" if best else ""),
            )
    return made


def print_advice(
    advice: Sequence[Advice], experiment: Experiment, console: Console | None = None
) -> None:
    """Print the table and a note on what it holds for."""
    console = console or Console()
    ascii_only = not console.encoding.lower().startswith("utf")
    console.print(advice_table(advice, ascii_only=ascii_only))
    text = note(advice, experiment)
    console.print(Text(plain(text) if ascii_only else text, style="dim"))


def note(advice: Sequence[Advice], experiment: Experiment) -> str:
    """Say what the table holds for, and how to read it."""
    one = advice[0]
    seeds = ", ".join(map(str, one.seeds)) if len(one.seeds) < 9 else f"all {len(one.seeds)}"
    text = (
        "before, after: decades of ‖∂L/∂s‖ at the far end over the loss end, the median over "
        f"sequences and seeds ({seeds}), at length {one.length}; wanted is at most one. seeds: in "
        "how many it is. Each knob is turned alone. *: the best of its cell; gradflow run CONFIG "
        "CHANGE shows what it does."
    )
    for path, value in fixed_axes(experiment).items():
        text += f" {path} is taken at its first value, {setting(value)}."
    return text


def fixed_axes(experiment: Experiment) -> dict[str, Any]:
    """Swept axes that the search leaves at their first value."""
    return {
        path: values[0]
        for path, values in experiment.sweep.items()
        if not path.startswith("model.cell") and path not in ("length", "seed") and len(values) > 1
    }


def records(advice: Sequence[Advice], experiment: Experiment) -> dict[str, Any]:
    """Return the advice as plain data; what is infinite is the text ``"inf"`` or ``"-inf"``."""
    return {
        "name": experiment.name,
        "length": advice[0].length,
        "seeds": list(advice[0].seeds),
        "fixed": fixed_axes(experiment),
        "cells": [
            {
                "cell": one.cell,
                "before": _data(one.before.decades),
                "steady": one.before.steady,
                "best": None if one.best is None else one.best.setting,
                "knobs": [
                    {
                        "knob": each.knob.name,
                        "change": each.setting,
                        "after": _data(each.best.decades),
                        "steady": each.best.steady,
                        "agree": each.best.agree,
                        "tried": each.tried,
                    }
                    for each in one.found
                ],
            }
            for one in advice
        ],
    }


def _summary(one: Advice) -> Text:
    """What stands beside the cell where there is no change to make."""
    if one.before.steady:
        return Text("nothing has to change", "green")
    if not one.found:
        return Text("there is nothing to turn", "yellow")
    return Text("" if one.best else "nothing helps", "yellow")


def _share(one: Advice, trial: Trial) -> str:
    """How many of the seeds are steady, where their median is."""
    return f"{trial.agree}/{len(one.seeds)}" if trial.steady else ""


def _data(value: float) -> float | str:
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"
