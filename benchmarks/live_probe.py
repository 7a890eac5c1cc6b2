"""What the live probe adds to a PyTorch training step: nn.LSTM(128, 256), T = 500, batch 32.

``python -m benchmarks.live_probe RUNS`` times the step alone and probed, in turns, and prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.compare import on_one_core

GOALS = {"float64": 2.0, "float32": 1.1}
"""What the probe may add at most, as a multiple of the step's time."""


def live(runs: int, core: int) -> list[dict[str, Any]]:
    """Wall and processor seconds of a step, alone first, in a process of its own on one core."""
    return on_one_core("benchmarks.live_probe", runs, core)


def steps() -> dict[str, Callable[[], None]]:
    """A float32 training step without its update, alone and watched."""
    import torch

    from gradflow.integrations.torch import watch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, x = torch.nn.LSTM(128, 256), torch.randn(500, 32, 128)

    def alone() -> None:
        model.zero_grad()
        output, _ = model(x)
        output[-1].pow(2).sum().backward()

    def watched(dtype: str) -> None:
        with watch(model, dtype=dtype) as probe:
            alone()
        probe.scalars()

    probed = {dtype: lambda dtype=dtype: watched(dtype) for dtype in GOALS}
    return {"alone": alone, **probed}


def main(runs: int) -> None:
    timings = [
        {"side": side, "step": step, "wall": [], "cpu": []} for side, step in steps().items()
    ]
    for turn in range(runs + 1):  # the first warms up
        for timing in timings:
            wall, cpu = time.perf_counter(), time.process_time()
            timing["step"]()
            if turn:
                timing["wall"].append(time.perf_counter() - wall)
                timing["cpu"].append(time.process_time() - cpu)
    print(json.dumps([{k: v for k, v in timing.items() if k != "step"} for timing in timings]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
