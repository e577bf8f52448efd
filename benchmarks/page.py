"""Run the benchmarks of the solvers and write ``docs/performance.md`` with its two figures.

``python -m benchmarks`` measures everything (about ten minutes of one idle core); ``python -m benchmarks growth``
measures that part again and keeps the others, which are stored in ``results/benchmarks``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import scipy

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks import fit, solvers
from benchmarks.measure import in_own_process, threads
from clair_stats.files import written_whole

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RESULTS = ROOT / "results" / "benchmarks"
INTRODUCTION = """# Performance of the solvers

Written by `python -m benchmarks` (`make bench`); do not edit by hand.  Times are processor time of one thread (what an
idle machine's wall clock would show), minima over repetitions; ratios are medians of neighbouring runs in one process.

A part that was measured again says on which day.  Parts without a day are older than the speed-ups of 26 November 2026
(CHANGELOG): the times of `CLAIR().fit` there are those of slower code.
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
    "Many modules jointly": "64 clients of rank 16, every module 4096 × 4096 and generated when it is read "
    "(generation included in the time).",
    "One verdict from many modules": "`CLAIR().fit` on LoRA factors, a fifth of the clients contaminated; every module "
    "is generated when it is read (generation included in the time), nothing of size p × q is formed; one process each "
    "(`python -m benchmarks.joint_verdict`).",
    "CLAIR without tuning against one SVD": "`CLAIR().fit` (candidates, tests, refinement) over one economy SVD of the "
    "stack, and with `decomposition_`, which is solved when it is asked for; noise sd 0.1, 20 % of the clients "
    "contaminated at random by their own size.",
    "CLAIR without tuning against one decomposition": "`CLAIR().fit` (candidates, tests, refinement) and its "
    "`decomposition_` over `decompose` of that program; K = 60, p = 40, q = 20, r = 3, nine settings of share and "
    "noise for every kind.",
    "CLAIR on very many clients": "`CLAIR().fit` on K blocks of 40 × 20, r = 3, noise sd 0.1, 20 % of the clients "
    "contaminated at random by their own size; one process each (`python -m benchmarks.many_clients`), peak memory is "
    "the resident set of the whole process, input included.",
    "Peers": "40 × 1200, no noise.  Robust PCA packages solve the entrywise program and are shown when installed "
    "(`pip install tensorly rpca`): contamination of whole blocks is outside their model.",
    "Batched LoRA fine-tuning": "The copying case (`simulations.copying`): all clients of the study `copying` in one "
    "forward pass against the same code on one client at a time; one PyTorch thread by processor time, two by the wall "
    "clock.",
}


class Measured(NamedTuple):
    """The rows of one part, and the day on which they were measured."""

    when: str
    rows: list[dict[str, Any]]


PARTS: dict[str, tuple[str, Callable[[], list[dict[str, Any]]]]] = {
    "svd": ("Against one SVD", solvers.against_svd),
    "cvxpy": ("Against cvxpy", solvers.against_cvxpy),
    "growth": ("Growth", solvers.growth),
    "factors": ("LoRA factors of 4096 × 4096 matrices", lambda: _factors()),
    "modules": ("Many modules jointly", lambda: _modules()),
    "verdict": ("One verdict from many modules", lambda: _verdict()),
    "peers": ("Peers", solvers.peers),
    "fit_svd": ("CLAIR without tuning against one SVD", fit.against_svd),
    "fit": ("CLAIR without tuning against one decomposition", fit.against_decomposition),
    "clients": ("CLAIR on very many clients", lambda: _clients()),
    "copying": ("Batched LoRA fine-tuning", lambda: _copying()),
    "curves": ("Gap against time", solvers.curves),
}


def main() -> None:
    """Measure the named parts (all by default) and write the page from everything measured so far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts to measure again; all when none is named")
    wanted = parser.parse_args().parts or list(PARTS)
    if any(os.environ.get(name) != "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")):
        raise SystemExit(
            "set OPENBLAS_NUM_THREADS=1 and OMP_NUM_THREADS=1 first (make bench does): one thread is timed"
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        start = time.perf_counter()
        print(f"{PARTS[name][0]} …", flush=True)
        measured = {"measured": time.strftime("%d %B %Y"), "rows": PARTS[name][1]()}
        _write(RESULTS / f"{name}.json", json.dumps(measured, indent=1, default=float))
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)
    page = DOCS / "performance.md"
    _write(page, _page({name: _read(name) for name in PARTS}, page.read_text(encoding="utf-8")))
    print(f"wrote {page.relative_to(DOCS.parent)}")


def _read(name: str) -> Measured:
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return Measured("", [])
    found = json.loads(path.read_text(encoding="utf-8"))
    return Measured(found["measured"], found["rows"])


def _write(path: Path, text: str) -> None:
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def _page(tables: dict[str, Measured], former: str) -> str:
    """The page; parts that were not measured here keep what the former page has of them, which says when it was."""
    (DOCS / "gallery").mkdir(parents=True, exist_ok=True)
    head = (
        f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}; {threads()}.\n"
    )
    parts = [INTRODUCTION, head]
    for name, (when, rows) in tables.items():
        if name == "curves":
            continue
        title = PARTS[name][0]
        if not rows and (kept := _section(former, title)):
            parts.append(f"\n## {title}\n{kept}")
            continue
        body = f"Measured on {when}.\n\n{_markdown(rows)}" if rows else "Not measured yet."
        parts.append(f"\n## {title}\n\n{NOTES[title]}  Command: `python -m benchmarks {name}`.  {body}\n")
    if not (tables["curves"].rows or tables["growth"].rows) and (kept := _section(former, "Figures")):
        return "".join([*parts, f"\n## Figures\n{kept}"])
    parts.append("\n## Figures\n")
    if tables["curves"].rows:
        _curve_figure(tables["curves"].rows, DOCS / "gallery" / "solver_gap_against_time.png")
        parts.append(
            "\n![gap against time](gallery/solver_gap_against_time.png)\n\nEach point is a run to one accuracy; "
            "40 × 400, M = 0, without noise (left) and with noise (right).  The textbook loop shows its own estimate, "
            "the others the certified gap.  Command: `python -m benchmarks curves`.\n"
        )
    if tables["growth"].rows:
        _growth_figure(tables["growth"].rows, DOCS / "gallery" / "solver_growth.png")
        parts.append("\n![growth](gallery/solver_growth.png)\n")
    return "".join(parts)


def _section(page: str, title: str) -> str:
    """What a page holds below a heading of the second level, up to the next; empty where there is none."""
    _, _, rest = page.partition(f"\n## {title}\n")
    body, found, _ = rest.partition("\n## ")
    return f"{body}\n" if found and not body.endswith("\n") else body


def _clients() -> list[dict[str, Any]]:
    rows = []
    for n_clients in (10_000, 30_000, 100_000):
        found = in_own_process("benchmarks.many_clients", str(n_clients))
        rows.append(
            {
                "K": f"{n_clients:,}",
                "processor, s": found["cpu_seconds"],
                "wall, s": found["wall_seconds"],
                "input, GiB": found["gibibytes_input"],
                "peak memory, GiB": found["gibibytes_peak"],
                "set found": "yes" if found["exact"] else "no",
            }
        )
    return rows


def _factors() -> list[dict[str, Any]]:
    cases = (("one module, M = 0", ["factors"]), ("one module, M free", ["factors", "--common"]))
    return [_large(name, arguments) for name, arguments in cases]


def _modules() -> list[dict[str, Any]]:
    return [_large("128 modules, M = 0", ["modules", "128"])]


def _verdict() -> list[dict[str, Any]]:
    return [_joint(24, 12, 384, 8), _joint(64, 128, 4096, 16)]


def _joint(n_clients: int, n_modules: int, size: int, rank: int) -> dict[str, Any]:
    named = {"clients": n_clients, "modules": n_modules, "size": size, "rank": rank}
    arguments = [text for name, number in named.items() for text in (f"--{name}", str(number))]
    found = in_own_process("benchmarks.joint_verdict", *arguments)
    return {
        "case": f"{n_clients} clients × {n_modules} modules of {size} × {size}, rank {rank}",
        "processor, s": found["cpu_seconds"],
        "wall, s": found["wall_seconds"],
        "peak memory, GiB": found["gibibytes_peak"],
        "set found": "yes" if found["exact"] else "no",
    }


def _copying() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = in_own_process("benchmarks.copying")["rows"]
    return rows


def _large(name: str, arguments: list[str]) -> dict[str, Any]:
    found = in_own_process("benchmarks.large", *arguments)
    return {
        "case": name,
        "processor, s": found["cpu_seconds"],
        "wall, s": found["wall_seconds"],
        "peak memory, GiB": found["gibibytes_peak"],
        "relative gap": found["relative_gap"],
        "status": found["status"],
    }


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
    figure, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for row in rows:
        sizes = [int(size) for size in row["sizes"].split(", ")]
        times = [float(ms) for ms in row["milliseconds"].split(", ")]
        style = "o-" if row["noise sd"] == 0.0 else "s--"
        name = str(row["axis"]).split(" (")[0]
        axis.loglog(sizes, times, style, ms=3, lw=1, label=f"{name}, noise {row['noise sd']:g}: {row['exponent']:.2f}")
    axis.set_xlabel("size along the axis")
    axis.set_ylabel("processor time, ms")
    axis.legend(fontsize=7, title="axis: exponent", title_fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=130)
    plt.close(figure)
