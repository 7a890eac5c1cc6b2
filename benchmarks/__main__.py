"""`python -m benchmarks`: gradflow and its peers on the same work, in the same call."""

from __future__ import annotations

import argparse

from benchmarks import report
from benchmarks.compare import compare, default_core
from benchmarks.live_probe import live
from benchmarks.training import show as show_training
from benchmarks.training import training
from benchmarks.whole import whole
from benchmarks.workloads import WORKLOADS

RESULTS = report.HERE / "results.json"


def main() -> None:
    options = _options()
    chosen = [w for w in WORKLOADS.values() if options.only is None or _asked(w.name, options.only)]
    for work in chosen:
        for dtype in options.dtype:
            rows, versions = compare(work, dtype, options.runs, options.core)
            print(report.show(rows), flush=True)
            report.save(RESULTS, rows, versions)
    if options.only is None or "f" in options.only:
        timings = whole(options.dtype, options.runs, options.core)
        print("(f) quickstart from the shell", report.aligned(report.show_whole(timings)), sep="\n")
        report.save(RESULTS, [], {}, whole=timings)
    if options.only is None or "g" in options.only:
        timings = live(options.runs, options.core)
        print(report.LIVE, report.aligned(report.show_live(timings)), sep="\n")
        report.save(RESULTS, [], {}, live={"cpu": report.machine()["cpu"], "timings": timings})
    if options.only is None or "h" in options.only:
        timings = training(options.runs, options.core)
        for name, cells in show_training(timings).items():
            print(f"{report.UPDATE} {name}", report.aligned(cells), sep="\n")
        kept = {"cpu": report.machine()["cpu"], "timings": timings}
        report.save(RESULTS, [], {}, training=kept)
    rows, kept = report.load(RESULTS)
    report.plot(report.HERE / "ratios.png", rows)
    report.write(report.HERE / "README.md", report.markdown(rows, kept))


def _asked(name: str, only: list[str]) -> bool:
    return name in only or name.split("-")[0] in only


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", type=lambda s: s.split(","), help="workloads, as in a,d,e-gru (e is all of e)"
    )
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each side (default 7)")
    parser.add_argument("--quick", action="store_true", help="3 runs; without --only: a and d")
    parser.add_argument(
        "--dtype", type=lambda s: s.split(","), default=["float64", "float32"], help="float64,…"
    )
    parser.add_argument("--core", type=int, default=default_core(), help="the core to run on")
    options = parser.parse_args()
    if options.quick:
        options.runs = 3
        options.only = options.only or ["a", "d"]
    known = {*WORKLOADS, *(name[0] for name in WORKLOADS), "f", "g", "h"}
    for name in options.only or []:
        if name not in known:
            parser.error(f"--only {name}: known are {', '.join(sorted(known))}")
    return options


if __name__ == "__main__":
    main()
