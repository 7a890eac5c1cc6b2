"""The table of `gradflow advise`, and the same for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradflow.advice.advise import Advice, Trial
from gradflow.experiment.config import Experiment
from gradflow.report.format import as_data, cell_name, decades, setting
from gradflow.report.tables.layout import Column, Sheet, Written, label_column, number_column

__all__ = ["advice_data", "advice_note", "advice_sheet"]


def advice_sheet(advice: Sequence[Advice], experiment: Experiment) -> Sheet:
    """Lay out each cell as it is and, below, what its knobs can do, the best first and marked."""
    rows: list[tuple[Written, ...]] = []
    for one in advice:
        cell, before = (cell_name(one.cell), "bold"), decades(one.before.decades)
        rows.append((cell, before, "", "", "", _says(one)))
        for each in one.found:
            best = each is one.best
            after = (decades(each.judged.decades), "green" if each.judged.steady else "yellow")
            change = (each.setting, "bold" if best else "")
            knob = f" {'*' if best else ' '} {each.knob.name}"
            rows.append((knob, "", after, _share(one, each.judged), str(each.tried), change))
    knobs, *counted, changes = zip(*rows, strict=True)
    columns = [
        label_column("cell, knob", knobs),
        *map(number_column, ("before", "after", "seeds", "tried"), counted),
        Column("change", changes, "word"),
    ]
    return Sheet(columns, notes=[advice_note(advice, experiment)])


def advice_note(advice: Sequence[Advice], experiment: Experiment) -> str:
    """Say what the table holds for, and how to read it."""
    one = advice[0]
    text = (
        "before, after: decades of ‖∂L/∂s‖ at the far end over the loss end, the median over "
        f"sequences and seeds, at length {one.length}; wanted is at most one. Each knob is turned "
        f"alone on seeds {_range(one.seeds)}; after, and seeds, in how many it is so, are of fresh "
        f"ones, {_range(one.fresh)}. *: the best of its cell; gradflow run CONFIG CHANGE shows "
        "what it does."
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


def advice_data(advice: Sequence[Advice], experiment: Experiment) -> dict[str, Any]:
    """Return the advice as plain data; what is infinite is the text ``"inf"`` or ``"-inf"``."""
    return {
        "name": experiment.name,
        "length": advice[0].length,
        "seeds": list(advice[0].seeds),
        "fresh": list(advice[0].fresh),
        "fixed": fixed_axes(experiment),
        "cells": [
            {
                "cell": one.cell,
                "before": as_data(one.before.decades),
                "steady": one.before.steady,
                "best": None if one.best is None else one.best.setting,
                "knobs": [
                    {
                        "knob": each.knob.name,
                        "change": each.setting,
                        "after": as_data(each.judged.decades),
                        "steady": each.judged.steady,
                        "agree": each.judged.agree,
                        "tried": each.tried,
                    }
                    for each in one.found
                ],
            }
            for one in advice
        ],
    }


def _says(one: Advice) -> Written:
    """What stands beside the cell where there is no change to make."""
    if one.before.steady:
        return "nothing has to change", "green"
    if not one.found:
        return "there is nothing to turn", "yellow"
    return "" if one.best else "nothing helps", "yellow"


def _share(one: Advice, trial: Trial) -> str:
    """How many of the fresh seeds are steady, where their median is."""
    return f"{trial.agree}/{len(one.fresh)}" if trial.steady else ""


def _range(seeds: Sequence[int]) -> str:
    """Seeds in a row by their ends, others each, if they are few."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds)) if len(seeds) < 9 else f"({len(seeds)} of them)"
