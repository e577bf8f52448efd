"""Seconds and memory of the methods of the study ``rivals`` and of the aggregations, beside one CLAIR fit, in one run.

``python -m benchmarks.rivals`` prints a table; about a minute of one core.  Seconds are processor time, the smallest of
three; memory is the largest allocation beyond what was there before, as tracemalloc sees it.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np

from clair_stats.baselines.aggregation import AGGREGATIONS
from clair_stats.linalg import balanced_factors
from simulations.design import Method, describe
from simulations.regimes.instance import Instance
from simulations.streams import Streams
from simulations.studies.rivals import METHODS, REGIMES

__all__ = ["costs", "main"]

_REPETITIONS = 3
_SEED = 7  # of the two instances; times depend little on it
_CASES = {"24 adapters of rank 8, 48 × 40": 1, "60 clients, 40 × 20": -1}


def costs(work: Callable[[], object]) -> tuple[float, float]:
    """Smallest processor seconds of three runs, and peak memory of another one.

    Parameters
    ----------
    work : callable

    Returns
    -------
    tuple of float
        Seconds, and MiB beyond what was allocated before.
    """
    work()  # imports and caches
    seconds = []
    for _ in range(_REPETITIONS):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return min(seconds), peak / 2**20


def _evaluated(method: Method, instance: Instance) -> object:
    return method.evaluate(instance, np.random.default_rng(_SEED))


def _works(instance: Instance) -> dict[str, Callable[[], object]]:
    works: dict[str, Callable[[], object]] = {}
    for method in METHODS:
        fields = describe(method)
        words = [str(fields[key]) for key in ("name", "detector", "method", "told") if key in fields]
        works[", ".join(words)] = partial(_evaluated, method, instance)
    pairs = [balanced_factors(block) for block in instance.estimates.dense()]
    if len({left.shape[1] for left, _ in pairs}) == 1:
        for name, aggregation in AGGREGATIONS.items():
            works[f"aggregation, {name}"] = partial(aggregation, pairs)
    return works


def main() -> None:
    """Measure and print a Markdown table, the slowest first."""
    for case, number in _CASES.items():
        instance = REGIMES[number].generate(Streams(_SEED, "0" * 64, 0))
        found = {name: costs(work) for name, work in _works(instance).items()}
        own = next(value for name, value in found.items() if name.startswith("CLAIR"))
        print(f"\n{case}\n\n| method | seconds | over one CLAIR fit | MiB |\n| --- | --- | --- | --- |")
        for name, (seconds, memory) in sorted(found.items(), key=lambda item: -item[1][0]):
            print(f"| {name} | {seconds:.4f} | {seconds / own[0]:.3g} | {memory:.1f} |")


if __name__ == "__main__":
    main()
