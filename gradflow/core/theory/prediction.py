"""What theory says, and whether it may say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """The rate at which ‖∂L/∂s_k‖ changes per step back from the loss.

    Parameters
    ----------
    name : str
        Which theory.
    rate : float
        Decades per step back: negative where the gradient vanishes; −inf where nothing passes.
    kind : {"estimate", "upper bound"}
        How it compares with a measurement.
    applies : bool
        Whether the theory's assumptions hold here.
    note : str
        The assumptions; where they do not hold, why not.
    source : str
        Where the theory is from.
    error : float
        Standard error of the rate where it has been sampled, decades per step.
    """

    name: str
    rate: float
    kind: Literal["estimate", "upper bound"]
    applies: bool
    note: str
    source: str
    error: float = 0.0
