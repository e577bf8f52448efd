"""Cost of the Monte Carlo engine: overhead per replication, parallel efficiency, a store of a million rows.

Run from the repository root: ``python -m benchmarks.engine``.  Ratios are taken within one process and minima over
repetitions, since other programs share the machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from simulations.design import Study, crossed, grid, levels
from simulations.engine.executor import RunReport, run_study
from simulations.storage.rows import Row
from simulations.storage.store import Store
from simulations.streams import Streams

TOML = """
name = "million"
title = "A million rows"
replications = {replications}
root_seed = 1
[[grid]]
[[grid.regimes]]
type = "benchmarks.engine:Level"
crossed = {{ level = [1, 2, 3, 4, 5] }}
[[grid.methods]]
type = "benchmarks.engine:Work"
crossed = {{ seconds = [0.0, 1.0] }}
[[measures]]
type = "Mean"
metric = "m0"
[[measures]]
type = "EmpiricalSE"
estimate = "m1"
[[measures]]
type = "RMSE"
estimate = "m2"
[[measures]]
type = "Quantile"
metric = "m3"
probability = 0.9
[[measures]]
type = "PairedDifference"
metric = "m0"
reference = "work"
"""


@dataclass(frozen=True)
class Level:
    """Draws one normal number."""

    name: ClassVar[str] = "level"
    level: int = 0

    def generate(self, streams: Streams) -> float:
        """One number."""
        return float(streams.generator("data").standard_normal())


@dataclass(frozen=True)
class Work:
    """Takes a fixed time, asleep or busy."""

    name: ClassVar[str] = "work"
    seconds: float = 0.0
    busy: bool = False

    def evaluate(self, instance: Any, generator: np.random.Generator) -> Mapping[str, float]:  # noqa: ANN401
        """Wait, then return the number."""
        if self.busy:
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                pass
        elif self.seconds:
            time.sleep(self.seconds)
        return {"value": instance}


def _timed(study: Study, n_jobs: int, backend: str) -> RunReport:
    with tempfile.TemporaryDirectory() as folder:
        report = run_study(study, Path(folder) / "store.sqlite", n_jobs=n_jobs, backend=backend)
    assert not report.missing
    assert not report.failed
    return report


def _study(method: Work, replications: int) -> Study:
    return Study("bench", "bench", crossed(Level(), method), replications, 1)


def overhead(repetitions: int = 3) -> None:
    """Wall seconds per replication that computes nothing but its own random stream."""
    warm, study = _study(Work(0.01), 200), _study(Work(), 20_000)
    for n_jobs, backend in ((1, "sequential"), (1, "loky"), (2, "loky")):
        _timed(warm, n_jobs, backend)
        seconds = min(_timed(study, n_jobs, backend).seconds for _ in range(repetitions))
        each = 1000 * seconds / study.replications
        print(
            f"overhead, {backend}, {n_jobs} worker(s): {each:.3f} ms a replication, {each * n_jobs:.3f} of worker time"
        )


def efficiency(repetitions: int = 3) -> None:
    """Time at one worker over twice the time at two, replications of 20 ms."""
    for busy in (False, True):
        study = _study(Work(0.02, busy=busy), 500)
        warm, ratios = _study(Work(0.02), 100), []
        for _ in range(repetitions):
            _timed(warm, 1, "loky")  # workers start and import first
            one = _timed(study, 1, "loky").seconds
            _timed(warm, 2, "loky")
            two = _timed(study, 2, "loky").seconds
            ratios.append(one / (2.0 * two))
        shown = ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        print(f"parallel efficiency, 2 workers, 20 ms {'busy' if busy else 'asleep'}: {shown}")


def million(n_rows: int = 1_000_000, n_metrics: int = 8) -> None:
    """Time and peak memory of ``check`` and ``summarise`` on a store of ``n_rows`` rows."""
    methods = grid(Work, seconds=levels(0.0, 1.0))
    cells = crossed(grid(Level, level=levels(1, 2, 3, 4, 5)), methods)
    replications = n_rows // len(cells)
    study = Study("million", "A million rows", cells, replications, 1)
    names = [f"m{i}" for i in range(n_metrics)]
    with tempfile.TemporaryDirectory() as folder:
        path, design = Path(folder) / "store.sqlite", Path(folder) / "million.toml"
        design.write_text(TOML.format(replications=replications))
        start = time.perf_counter()
        with Store(path, study, mode="append") as store:
            generator = np.random.default_rng(0)
            for cell in cells:
                for first in range(0, replications, 10_000):
                    draws = generator.standard_normal((min(10_000, replications - first), n_metrics)).tolist()
                    store.append(
                        Row(cell.hash, first + i, dict(zip(names, draw, strict=True)), None, 0.01)
                        for i, draw in enumerate(draws)
                    )
        size = path.stat().st_size / 2**20
        print(f"{n_rows} rows of {n_metrics} metrics written in {time.perf_counter() - start:.1f} s, {size:.0f} MiB")
        for command in ("check", "summarise"):
            start = time.perf_counter()
            code = (
                "import resource, sys\nfrom simulations.cli import main\ntry:\n    main()\n"
                "finally:\n    used = resource.getrusage(resource.RUSAGE_SELF)\n"
                "    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, command, str(design), "--store", str(path)],
                capture_output=True,
                text=True,
                check=True,
            )
            processor, peak = (float(word) for word in done.stderr.split()[-2:])
            seconds = time.perf_counter() - start
            print(f"{command}: {seconds:.1f} s, peak {peak:.0f} MiB, {processor:.1f} s of processor time")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["overhead", "efficiency", "million"]
    for name in chosen:
        globals()[name]()
