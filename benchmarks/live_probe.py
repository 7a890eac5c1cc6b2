"""What the live probe adds to a PyTorch training step: nn.LSTM(128, 256), T = 500, batch 32.

One thread; the median of seven, both in the same run. Needs torch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from threadpoolctl import threadpool_limits

from gradflow.integrations.torch import watch

TIMES = 7


def seconds(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.LSTM(128, 256)
    x = torch.randn(500, 32, 128)

    def step() -> None:
        model.zero_grad()
        output, _ = model(x)
        output[-1].pow(2).sum().backward()

    def watched(dtype: str) -> None:
        with watch(model, dtype=dtype) as probe:
            step()
        probe.scalars()

    each: dict[str, list[float]] = {"alone": [], "float64": [], "float32": []}
    step()
    for _ in range(TIMES):
        each["alone"].append(seconds(step))
        for dtype in ("float64", "float32"):
            each[dtype].append(seconds(lambda dtype=dtype: watched(dtype)))
    alone = statistics.median(each["alone"])
    print(f"forward and backward alone: {alone:.3f} s")
    for dtype in ("float64", "float32"):
        added = statistics.median(each[dtype]) - alone
        print(f"the probe in {dtype} adds {added:.3f} s: {added / alone:.2f} times that")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
