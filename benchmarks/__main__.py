"""Run the benchmarks of the solvers and write ``docs/performance.md`` with its two figures.

``python -m benchmarks`` (a quarter of an hour on one core) · ``--quick`` leaves the 128 modules out and repeats less.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import scipy

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks import solvers
from benchmarks.measure import in_own_process, threads

DOCS = Path(__file__).parent.parent / "docs"
INTRODUCTION = """# Performance of the solvers

Written by `python -m benchmarks` (`make bench`); do not edit by hand.  Times are processor time of one thread (what an
idle machine's wall clock would show), minima over repetitions; ratios are medians of neighbouring runs in one process.
"""
NOTES = {
    "Against one SVD": "Processor time of `decompose` to a relative gap of 1e-6, over that of one "
    "`scipy.linalg.svd(X, full_matrices=False, lapack_driver='gesdd')` of the same p × qK stack; "
    "λ = 1.8√(r/K), 20 % of the clients contaminated at random by their own size.  For (N) τ is the operator norm "
    "of the noise, sd·(√p + √(qK)).",
    "Against cvxpy": "Program (E) at 40 × 400 (K = 40), M = 0, against `solver='conic'` (cvxpy with SCS at "
    "eps 1e-7), compilation included.",
    "Growth": "Program (E) with M free; the exponent is the slope of log time against log size.",
    "LoRA factors of 4096 × 4096 matrices": "64 clients of rank 16, one process each (`python -m benchmarks.large`); "
    "peak memory is the resident set of the whole process, input included.",
    "Peers": "40 × 1200, no noise.  Robust PCA packages solve the entrywise program and are shown when installed "
    "(`pip install tensorly rpca`): contamination of whole blocks is outside their model.",
}


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    if any(os.environ.get(name) != "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")):
        raise SystemExit(
            "set OPENBLAS_NUM_THREADS=1 and OMP_NUM_THREADS=1 first (make bench does): one thread is timed"
        )
    start = time.perf_counter()
    tables: dict[str, list[dict[str, Any]]] = {}
    jobs: tuple[tuple[str, Callable[[], list[dict[str, Any]]]], ...] = (
        ("Against one SVD", lambda: solvers.against_svd(repetitions=1 if quick else 3)),
        ("Against cvxpy", solvers.against_cvxpy),
        ("Growth", solvers.growth),
        ("LoRA factors of 4096 × 4096 matrices", lambda: _large(8 if quick else 128)),
        ("Peers", solvers.peers),
    )
    for title, work in jobs:
        print(f"{title} …", flush=True)
        tables[title] = work()
        print(_markdown(tables[title]), flush=True)
    print("Gap against time …", flush=True)
    points = solvers.curves()
    (DOCS / "gallery").mkdir(parents=True, exist_ok=True)
    _curve_figure(points, DOCS / "gallery" / "solver_gap_against_time.png")
    _growth_figure(tables["Growth"], DOCS / "gallery" / "solver_growth.png")
    head = (
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}; {threads()}.\n"
    )
    parts = [INTRODUCTION, head]
    for title, rows in tables.items():
        parts.append(f"\n## {title}\n\n{NOTES[title]}\n\n{_markdown(rows)}\n")
    parts.append(
        "\n## Figures\n\n![gap against time](gallery/solver_gap_against_time.png)\n\n"
        "Each point is a run to one accuracy; 40 × 400, M = 0, without noise (left) and with noise (right).  The "
        "textbook loop shows its own estimate, the others the certified gap.\n\n![growth](gallery/solver_growth.png)\n"
    )
    page = DOCS / "performance.md"
    beside = page.with_suffix(".tmp")
    beside.write_text("".join(parts), encoding="utf-8")
    os.replace(beside, page)
    print(f"wrote {page.relative_to(DOCS.parent)} in {time.perf_counter() - start:.0f} s")


def _large(n_modules: int) -> list[dict[str, Any]]:
    cases = (
        ("one module, M = 0", ["factors"]),
        ("one module, M free", ["factors", "--common"]),
        (f"{n_modules} modules jointly, M = 0", ["modules", str(n_modules)]),
    )
    rows = []
    for name, arguments in cases:
        found = in_own_process("benchmarks.large", *arguments)
        rows.append(
            {
                "case": name,
                "processor, s": found["cpu_seconds"],
                "wall, s": found["wall_seconds"],
                "peak memory, GiB": found["gibibytes_peak"],
                "relative gap": found["relative_gap"],
                "status": found["status"],
            }
        )
    return rows


def _markdown(rows: list[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _curve_figure(points: list[dict[str, Any]], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, noise in zip(axes, (0.0, 0.1), strict=True):
        for name in dict.fromkeys(point["solver"] for point in points):
            own = [point for point in points if point["solver"] == name and point["noise"] == noise]
            axis.loglog([p["seconds"] for p in own], [p["gap"] for p in own], "o-", ms=3, lw=1, label=name)
        axis.set_title(f"noise sd {noise:g}", fontsize=10)
        axis.set_xlabel("processor time, s")
    axes[0].set_ylabel("relative duality gap")
    axes[1].legend(fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _growth_figure(rows: list[dict[str, Any]], path: Path) -> None:
    figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for row in rows:
        sizes = [int(size) for size in row["sizes"].split(", ")]
        times = [float(ms) for ms in row["milliseconds"].split(", ")]
        style = "o-" if row["noise sd"] == 0.0 else "s--"
        name = str(row["axis"]).split(" (")[0]
        axis.loglog(sizes, times, style, ms=3, lw=1, label=f"{name}, noise {row['noise sd']:g}: {row['exponent']:.2f}")
    axis.set_xlabel("size along the axis")
    axis.set_ylabel("processor time, ms")
    axis.legend(fontsize=7, title="axis: exponent", title_fontsize=7)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
