"""The quickstart's curves as a PyTorch script: all cells, lengths, seeds and digits, h and c.

``python -m benchmarks.peers.quickstart_torch DTYPE OUT.npz``. Weights follow the quickstart's
distributions; the GRU is PyTorch's own, with the reset gate after the product.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peers.torch_cells import prepare
from benchmarks.workloads import Workload, problem

CELLS = ("rnn", "cec", "lstm", "peephole", "coupled", "lstm1997", "gru")
LENGTHS = (8, 16, 32, 64, 128, 256)
SEEDS, SEQUENCES, HIDDEN = 5, 16, 32
DIGITS = Path(__file__).resolve().parents[2] / "gradflow" / "data" / "digits.npz"


def pixels(dtype: str) -> np.ndarray:
    """The digits' pixels, image after image: (steps, 1, sequences)."""
    with np.load(DIGITS) as data:
        images = data["images"].reshape(len(data["images"]), -1) / 16
    starts = np.arange(SEQUENCES) * (len(images) // SEQUENCES)
    steps, size = max(LENGTHS), images.shape[1]
    rows = [images[s : s + -(-steps // size)].ravel()[:steps] for s in starts]
    return np.stack(rows, axis=1)[:, None].astype(dtype)


def main(dtype: str, out: str) -> None:
    x = pixels(dtype)
    curves = {}
    for cell in CELLS:
        work = Workload(cell, cell, cell, SEQUENCES, 1, HIDDEN, LENGTHS, nets=SEEDS)
        run = prepare(replace(problem(work, dtype), x=x))
        for length, norms in zip(LENGTHS, run(), strict=True):
            for state, values in norms.items():
                curves[f"{cell}/{length}/{state}"] = values[0, 0]
    np.savez(out, **curves)


if __name__ == "__main__":
    main(*sys.argv[1:])
