"""What can be recorded beside the norms: one class for each, found by its name.

A recording of one's own is registered with ``RECORDINGS.add``, or by the package that defines it
through an entry point in the group ``gradflow.recordings``.
"""

from __future__ import annotations

from gradflow.core.registry import Registry
from gradflow.experiment.recordings.along import (
    ContributionsRecording,
    FlowMapRecording,
    GatesRecording,
    PathsRecording,
)
from gradflow.experiment.recordings.passes import (
    CostRecording,
    SpectrumRecording,
    TheoryRecording,
    TruncationRecording,
)
from gradflow.experiment.recordings.recording import Recorder, Recording, Scope, Setting

__all__ = ["RECORDINGS", "Recorder", "Recording", "Scope", "Setting"]

RECORDINGS: Registry[Recording] = Registry("gradflow.recordings", "name")
"""Every recording by its key under ``record``, in the order in which a file names them."""

for _recording in (
    PathsRecording,
    ContributionsRecording,
    GatesRecording,
    FlowMapRecording,
    SpectrumRecording,
    TheoryRecording,
    CostRecording,
    TruncationRecording,
):
    RECORDINGS.add(_recording)
