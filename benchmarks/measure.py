"""Clocks: processor time of one thread, alternating between what is compared; peak memory in a process of its own.

Processor time does not count the waiting when other programs share the machine, and with one BLAS thread it is what
the wall clock would show on an idle one.  Two programs on one core still evict each other's caches, hence minima and
ratios.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["alternate", "fitted_exponent", "in_own_process", "peak_gigabytes", "threads", "timed"]


def threads() -> str:
    """The BLAS thread settings in force, for the head of a table."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return ", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in names)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds and result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def alternate(first: Callable[[], Any], second: Callable[[], Any], repetitions: int) -> tuple[float, float, float]:
    """Smallest processor seconds of both, and the median of the ratios second/first of neighbouring runs."""
    first()
    second()
    pairs = np.array([(timed(first)[0], timed(second)[0]) for _ in range(repetitions)])
    return float(pairs[:, 0].min()), float(pairs[:, 1].min()), float(np.median(pairs[:, 1] / pairs[:, 0]))


def fitted_exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of log time against log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def peak_gigabytes() -> float:
    """Peak resident memory of this process, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0**2


def in_own_process(module: str, *arguments: str) -> dict[str, Any]:
    """Run ``python -m module arguments`` and read the JSON object on its last line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=True, env=os.environ
    )
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
