"""What is kept of the cotangents that go by: one file for each kind of record.

Each is an `Observer`; those that fill a stored result also have ``quantities``.
"""

from gradflow.core.record.contributions import Contributions
from gradflow.core.record.gates import Gates, Kept
from gradflow.core.record.gradients import Adjoints, Gradients
from gradflow.core.record.norms import FlowMap, Norms
from gradflow.core.record.paths import Paths
from gradflow.core.record.series import Every, Series, Timeline, recorded_steps

__all__ = [
    "Adjoints",
    "Contributions",
    "Every",
    "FlowMap",
    "Gates",
    "Gradients",
    "Kept",
    "Norms",
    "Paths",
    "Series",
    "Timeline",
    "recorded_steps",
]
