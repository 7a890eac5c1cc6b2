"""What was measured, as a table on the screen, as JSON, as a plot and as Markdown."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import Measured
from benchmarks.live_probe import GOALS as LIVE_GOALS
from benchmarks.sides import SIDES
from benchmarks.training import show as show_training
from benchmarks.workloads import WORKLOADS

HERE = Path(__file__).parent
MIB = 1 << 20
LIVE = "(g) the live probe beside a float32 training step of nn.LSTM(128, 256), T = 500, batch 32"
UPDATE = "(h) an update of nets that learn:"

GOALS: dict[tuple[str, str], dict[str, float]] = {
    ("a", "float64"): {"jax": 1.6, "torch": 2.0, "floor": 1 / 1.5},
    ("a", "float32"): {"jax": 1.6, "torch": 5.0},
    ("b", "float64"): {"jax": 4.0, "torch": 4.5},
    ("b", "float32"): {"jax": 4.0, "torch": 12.0},
    ("c", "float64"): {"jax": 2.0, "torch": 6.0},
    ("d", "float64"): {"jax": 1.0, "torch": 40.0},
}
"""How many times gradflow's time a side should at least take; every row of (e): see `goal`."""


def goal(workload: str, dtype: str, side: str) -> float | None:
    if workload.startswith("e-"):
        return {"jax": 1.3, "torch": 1.8}.get(side)
    return GOALS.get((workload, dtype), {}).get(side)


def grouped(rows: Iterable[Measured]) -> dict[tuple[str, str], list[Measured]]:
    groups: dict[tuple[str, str], list[Measured]] = {}
    for row in rows:
        groups.setdefault((row.workload, row.dtype), []).append(row)
    return groups


def table(rows: Sequence[Measured]) -> list[list[str]]:
    """Header and cells of one workload's table."""
    out = [
        [
            "",
            "median s",
            "quartiles s",
            "/ gradflow",
            "CPU",
            "goal",
            "peak MiB",
            "prepare s",
            "apart",
        ]
    ]
    ours = next(row for row in rows if row.side == "gradflow")
    for row in rows:
        low, high = row.spread
        wanted = goal(row.workload, row.dtype, row.side)
        out.append(
            [
                SIDES[row.side].title + " *" * row.busy,
                f"{row.median:.3f}",
                f"{low:.3f}–{high:.3f}",
                f"{row.median / ours.median:.2f}",
                f"{row.cpu_median / ours.cpu_median:.2f}",
                "" if wanted is None else f"≥ {wanted:.2g}",
                f"{row.peak / MIB:.0f} ({(row.peak - row.idle) / MIB:+.0f})",
                f"{row.prepare:.1f}",
                "" if row.apart is None else f"{row.apart:.0e} ({row.in_range:.0%})",
            ]
        )
    return out


def show(rows: Sequence[Measured]) -> str:
    """One workload on the screen."""
    return "\n".join([title(rows), aligned(table(rows)), ""])


def title(rows: Sequence[Measured]) -> str:
    first = rows[0]
    return f"({first.workload}) {WORKLOADS[first.workload].title}, {first.dtype}"


def machine() -> dict[str, str]:
    """CPU model, system, Python and the BLAS that NumPy uses."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = named[0].split(":", 1)[1].strip() if named else cpu
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return {
        "cpu": cpu,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": f"{blas['name']} {blas['version']}",
        "subnormal numbers": f"{_subnormal():.1f} times the time of others in a float32 product",
    }


def _subnormal() -> float:
    """What a product takes with subnormal numbers: 80 to 180 times as long on many processors.

    Where they cost nothing a peer whose adjoints vanish is not slowed down by them.
    """
    rng = np.random.default_rng(0)
    W, da = (rng.standard_normal((512, n), dtype=np.float32) for n in (128, 32))
    small = da * np.float32(1e-41)
    times: dict[str, list[float]] = {"usual": [], "subnormal": []}
    for _ in range(21):
        for name, a in (("usual", da), ("subnormal", small)):
            start = time.perf_counter()
            for _ in range(20):
                W.T @ a
            times[name].append(time.perf_counter() - start)
    return float(np.median(times["subnormal"]) / np.median(times["usual"]))


def save(path: Path, rows: Sequence[Measured], versions: dict[str, str], **more: Any) -> None:
    """Merge with what the file has of other workloads."""
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    done = {(r.workload, r.dtype) for r in rows}
    old = [r for r in kept.get("rows", []) if (r["workload"], r["dtype"]) not in done]
    if rows or "machine" not in kept:
        kept["machine"] = machine()
    kept["rows"] = old + [asdict(r) for r in rows]
    kept["versions"] = kept.get("versions", {}) | versions
    path.write_text(json.dumps(kept | more, indent=1, sort_keys=True) + "\n")


def load(path: Path) -> tuple[list[Measured], dict[str, Any]]:
    """What `save` wrote, workloads in their order."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    order = list(WORKLOADS)
    rows = [Measured(**row) for row in kept.get("rows", [])]
    return sorted(rows, key=lambda r: (order.index(r.workload), r.dtype != "float64")), kept


def markdown(rows: Sequence[Measured], kept: dict[str, Any]) -> str:
    """The section between the marks of README.md."""
    about = kept["machine"] | kept["versions"]
    lines = ["", ", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    lines += ["![Times as multiples of gradflow's](ratios.png)", ""]
    for group in grouped(rows).values():
        lines += [f"**{title(group)}**", "", *rows_of(table(group))]
    if "whole" in kept:
        lines += _whole(kept["whole"])
    if "live" in kept:
        lines += [f"**{LIVE}**", "", f"On {kept['live']['cpu']}.", ""]
        lines += rows_of(show_live(kept["live"]["timings"]))
    if "training" in kept:
        for name, cells in show_training(kept["training"]["timings"]).items():
            lines += [f"**{UPDATE} {name}**", "", f"On {kept['training']['cpu']}.", ""]
            lines += rows_of(cells)
    return "\n".join(lines)


def show_whole(timings: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Header and cells of workload (f)."""
    out = [["", "type", "median s", "quartiles s", "/ gradflow", "CPU", "peak MiB"]]
    for dtype in dict.fromkeys(t["dtype"] for t in timings):
        group = [t for t in timings if t["dtype"] == dtype]
        for t in group:
            low, high = np.quantile(t["wall"], (0.25, 0.75))
            ratios = [np.median(t[k]) / np.median(group[0][k]) for k in ("wall", "cpu")]
            out.append(
                [
                    t["side"],
                    dtype,
                    f"{np.median(t['wall']):.2f}",
                    f"{low:.2f}–{high:.2f}",
                    *(f"{ratio:.2f}" for ratio in ratios),
                    f"{t['peak'] / MIB:.0f}",
                ]
            )
    return out


def _whole(timings: Sequence[dict[str, Any]]) -> list[str]:
    return [
        "**(f) whole process: the quickstart from the shell**",
        "",
        *rows_of(show_whole(timings)),
    ]


def show_live(timings: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Header and cells of workload (g): the step alone, and what each probe adds to it."""
    out = [["", "median s", "quartiles s", "adds / step", "CPU", "goal"]]
    alone = {k: np.median(timings[0][k]) for k in ("wall", "cpu")}
    for t in timings:
        low, high = np.quantile(t["wall"], (0.25, 0.75))
        probed = t["side"] in LIVE_GOALS
        adds = [f"{np.median(t[k]) / alone[k] - 1:.2f}" if probed else "" for k in alone]
        out.append(
            [
                f"probed in {t['side']}" if probed else "the step alone",
                f"{np.median(t['wall']):.2f}",
                f"{low:.2f}–{high:.2f}",
                *adds,
                f"≤ {LIVE_GOALS[t['side']]}" if probed else "",
            ]
        )
    return out


def rows_of(cells: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table's lines, numbers to the right."""
    header, *body = cells
    rule = "|---|" + "---:|" * (len(header) - 1)
    lines = ["| " + " | ".join(line) + " |" for line in (header, *body)]
    return [lines[0], rule, *lines[1:], ""]


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """The same as plain text."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in cells
    )


def write(path: Path, section: str, mark: str = "measured") -> None:
    """Put a section between the marks of a Markdown file."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    text = path.read_text()
    before, rest = text.split(begin, 1)
    path.write_text(before + begin + section + end + rest.split(end, 1)[1])


def plot(path: Path, rows: Sequence[Measured]) -> None:
    """Each side's time as a multiple of gradflow's, quartiles as whiskers."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    groups = grouped(rows)
    names = [name for name in SIDES if name != "gradflow" and any(r.side == name for r in rows)]
    colours = dict(zip(names, mpl.color_sequences["tab10"], strict=False))
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(10, 6), layout="constrained")
    workloads = [w for w in WORKLOADS if any(w == key[0] for key in groups)]
    for axis, dtype in zip(axes, ("float64", "float32"), strict=True):
        for place, workload in enumerate(workloads):
            group = groups.get((workload, dtype), [])
            ours = next((r.median for r in group if r.side == "gradflow"), 1.0)
            for row in group:
                if row.side == "gradflow":
                    continue
                y = place + (names.index(row.side) - len(names) / 2) * 0.09
                low, high = (q / ours for q in row.spread)
                axis.plot([low, high], [y, y], color=colours[row.side], lw=1)
                axis.plot(row.median / ours, y, "o", ms=4, color=colours[row.side])
        axis.axvline(1, color="black", lw=1)
        axis.set(xscale="log", title=dtype, xlabel="time / gradflow's time")
        axis.set_yticks(range(len(workloads)), [f"({w})" for w in workloads])
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    handles = [plt.Line2D([], [], marker="o", ls="", color=colours[n]) for n in names]
    figure.legend(handles, [SIDES[n].title for n in names], loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=120)
