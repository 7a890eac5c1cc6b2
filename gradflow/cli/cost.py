"""``gradflow cost``: what each cell costs."""

from __future__ import annotations

from gradflow.cli.options import Config, Json, Overrides
from gradflow.cli.screen import emit_json, show_costs

__all__ = ["cost"]


def cost(config: Config, overrides: Overrides = None, as_json: Json = False) -> None:
    """Count and time a step of every network of an experiment."""
    import threadpoolctl

    from gradflow.experiment.config import load_config
    from gradflow.report.tables.costs import prices, records

    with threadpoolctl.threadpool_limits(1):
        found = prices(load_config(config, overrides or ()))
    if as_json:
        emit_json(records(found))
    else:
        show_costs(found)
