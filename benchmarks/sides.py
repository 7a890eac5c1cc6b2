"""Who is compared, and where each of them takes part."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.workloads import Workload


def _everywhere(_: Workload) -> bool:
    return True


def _several_lengths(work: Workload) -> bool:
    return len(work.lengths) > 1


@dataclass(frozen=True)
class Side:
    """A module with `prepare(problem, **options)`; `answers`: whether it gives the norms."""

    title: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    takes: Callable[[Workload], bool] = _everywhere
    answers: bool = True


_TORCH, _JAX = "benchmarks.peers.torch_cells", "benchmarks.peers.jax_scan"

SIDES = {
    "gradflow": Side("gradflow", "benchmarks.ours"),
    "floor": Side("floor", "benchmarks.floor", answers=False),
    "floor-bands": Side("floor in bands", "benchmarks.floor", {"bands": True}, answers=False),
    "jax": Side("JAX jit", _JAX),
    "jax-each": Side("JAX jit, each length", _JAX, {"method": "each"}, _several_lengths),
    "jax-shared": Side("JAX jit, vmap", _JAX, {"method": "shared"}, _several_lengths),
    "torch": Side("torch loop", _TORCH),
    "torch-trainable": Side("torch loop, trainable", _TORCH, {"trainable": True}),
    "torch-fused": Side(
        "torch nn.LSTM",
        "benchmarks.peers.torch_fused",
        takes=lambda work: work.cell == "lstm",
        answers=False,
    ),
}

ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        "1",
    ),
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def environment(dtype: str) -> dict[str, str]:
    """The environment of a side's process: one thread for every library."""
    return {**os.environ, **ONE_THREAD, "JAX_ENABLE_X64": str(int(dtype == "float64"))}
