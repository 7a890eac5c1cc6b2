"""The experiment file: its models, and the way from text to a validated experiment.

Importing this is cheap; NumPy is needed only when something is validated.
"""

from __future__ import annotations

from gradflow.experiment.config.architecture import ModelConfig
from gradflow.experiment.config.by_kind import Inputs, LossConfig
from gradflow.experiment.config.cell import CellConfig
from gradflow.experiment.config.dump import dump, schema
from gradflow.experiment.config.load import load_config, parse
from gradflow.experiment.config.sections import (
    AssertConfig,
    CheckConfig,
    Experiment,
    InitConfig,
    PointConfig,
    RecordConfig,
)

__all__ = [
    "AssertConfig",
    "CellConfig",
    "CheckConfig",
    "Experiment",
    "InitConfig",
    "Inputs",
    "LossConfig",
    "ModelConfig",
    "PointConfig",
    "RecordConfig",
    "dump",
    "load_config",
    "parse",
    "schema",
]
