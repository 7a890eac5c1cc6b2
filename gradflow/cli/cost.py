"""``gradflow cost``: what each cell costs."""

from __future__ import annotations

from gradflow.cli.options import Config, Json, Overrides
from gradflow.cli.screen import emit_json, show_sheet

__all__ = ["cost"]


def cost(config: Config, overrides: Overrides = None, as_json: Json = False) -> None:
    """Count and time a step of every network of an experiment."""
    import threadpoolctl

    from gradflow.experiment.config import load_config
    from gradflow.experiment.measure.price import prices
    from gradflow.report.tables.costs import costs_data, costs_sheet

    with threadpoolctl.threadpool_limits(1):
        found = prices(load_config(config, overrides or ()))
    if as_json:
        emit_json(costs_data(found))
    else:
        show_sheet(costs_sheet(found))
