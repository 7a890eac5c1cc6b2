"""Random streams that derive from what they are for."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator that belongs to ``(seed, *purpose)`` and to nothing else.

    Two purposes never share numbers and no stream depends on which others were drawn before it, so
    results do not depend on order, on workers, or on what else a sweep holds.

    Parameters
    ----------
    seed : int
        The experiment's seed, at least 0.
    *purpose : str or int
        What the numbers are for, e.g. ``"weights", 0, "forward", "W", "f"``.
    """
    name = "\x1f".join(f"{type(word).__name__}:{word}" for word in purpose)
    digest = hashlib.sha256(name.encode()).digest()
    words = np.frombuffer(digest, dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()])))
