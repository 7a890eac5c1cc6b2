"""Where inputs come from: a generator, the digits, or a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gradflow.core.inputs import TASKS, Batch, TargetKind, Task, series_stream
from gradflow.core.inputs.task import Seed
from gradflow.core.random import stream
from gradflow.core.typing import Array
from gradflow.errors import UserError
from gradflow.experiment.data.reader import FileData, read_file, read_tokens

__all__ = ["TASKS", "load_inputs", "open_inputs"]


def load_inputs(config: Any, steps: int | None, seed: int) -> Batch:
    """Return the inputs that the section ``inputs`` of an experiment describes.

    Parameters
    ----------
    config : Inputs
        The section. For a file ``sequences`` may be None: all there are, or a text in one piece.
    steps : int or None
        The length; None is all there is.
    seed : int
        The seed of the data; digits and files need none.

    Raises
    ------
    UserError
        If the file is wrong, or options and length do not fit the kind.
    """
    try:
        if config.kind == "file":
            return open_inputs(config).batch(steps, config.sequences)
        task: Task = config.task
        steps = task.longest if steps is None else steps
        if steps is None:
            raise UserError(
                f"inputs: {config.kind} has no length of its own\n"
                "  fix: say `length: 128`, or sweep it"
            )
        return task.draw(steps, config.sequences, seed)
    except ValueError as error:
        raise UserError(f"inputs: {error}") from error


def open_inputs(config: Any) -> FileData:
    """Read the file of a section ``inputs``; tokens become their rows of an embedding."""
    table = config.table
    if table is None:
        return read_file(Path(config.path), config.columns)
    return replace(read_tokens(Path(config.path)), table=table)


@cache
def _images() -> Array:
    """Pixels of the digits, (images, 64) in [0, 1], in an order that never changes."""
    with files("gradflow.experiment.data").joinpath("digits.npz").open("rb") as file:
        images = np.load(file, allow_pickle=False)["images"]
    order = stream(0, "inputs", "digits").permutation(len(images))
    return np.asarray(images[order].reshape(len(images), -1) / 16)


@dataclass(frozen=True)
class Digits(Task):
    """Read hand-written digits pixel by pixel, image after image; the target is the next pixel.

    Sequence j of n starts at image j · ⌊1797/n⌋ and goes round, so that up to 115,008 steps are
    real data (E. Alpaydin and C. Kaynak 1998, doi:10.24432/C50P49). The seed changes nothing.
    """

    kind = "digits"
    seeded = False
    target_kind = "values"
    prefix = True
    features = 1
    longest = 1797 * 64
    most = 1797

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Read ``x`` (steps, 1, 1, sequences), in [0, 1]."""
        images = _images()
        if steps > images.size:
            raise ValueError(f"digits have {images.size} steps, fewer than the length {steps}")
        if sequences > len(images):
            raise ValueError(f"digits have {len(images)} images to start at, not {sequences}")
        apart = len(images) // sequences * images.shape[1]
        at = np.arange(sequences)[:, None] * apart + np.arange(steps + 1)
        return series_stream(images.take(at, mode="wrap")[..., None], steps)


TASKS.add(Digits)


@dataclass(frozen=True)
class File(Task):
    """A user's file; the targets are the next step or character.

    Parameters
    ----------
    path : str
        Where it is.
    columns : tuple of str or None
        The features that are read; None: all.
    features, longest : int
        What it holds, 0 before it is read.
    lengths : tuple of int
        Where each sequence ends, if not all do together.
    tokens : bool
        Whether it holds tokens.
    """

    kind = "file"
    seeded = False

    path: str
    columns: tuple[str, ...] | None = None
    features: int = 0
    longest: int = 0
    lengths: tuple[int, ...] = ()
    tokens: bool = False

    @property
    def prefix(self) -> bool:  # type: ignore[override]  # the file decides
        """Whether a shorter length is but a shorter piece of each sequence."""
        return not self.lengths

    @property
    def target_kind(self) -> TargetKind:  # type: ignore[override]  # the suffix decides
        """Those of a text or of tokens are classes, other files' are values."""
        return "classes" if self.tokens or self.path.lower().endswith(".txt") else "values"

    def draw(self, steps: int, sequences: int, seed: Seed) -> Batch:
        """Read the first sequences and steps."""
        return read_file(Path(self.path), self.columns).batch(steps, sequences)
