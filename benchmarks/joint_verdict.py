"""One verdict from many modules of low-rank updates, one process per case: time and memory of ``CLAIR().fit``.

``python -m benchmarks.joint_verdict --clients K --modules M --size P --rank S`` prints one JSON object; every module is
generated when it is read, and the generation is part of the time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.measure import peak_gigabytes
from clair_stats import CLAIR
from clair_stats.estimates import ClientEstimates

__all__ = ["Adapters"]

_SHARED = 2  # dimension of what benign clients share
_SHARE = 0.2  # of contaminated clients, who use directions of their own
_NOISE = 0.3  # norm of an adapter's other directions over that of a shared one


class Adapters(Mapping[str, ClientEstimates]):
    """Modules by name, each drawn when it is asked for; the first clients are contaminated in all of them."""

    def __init__(self, n_clients: int, n_modules: int, size: int, rank: int) -> None:
        self._n_modules, self._shape = n_modules, (n_clients, size, rank)

    def __len__(self) -> int:
        return self._n_modules

    def __iter__(self) -> Iterator[str]:
        return (f"module {number}" for number in range(self._n_modules))

    def __getitem__(self, name: str) -> ClientEstimates:
        n_clients, size, rank = self._shape
        rng = np.random.default_rng([20_261_126, int(name.split()[1])])
        shared = rng.standard_normal((size, _SHARED))
        pairs = []
        for k in range(n_clients):
            used = shared if k >= _SHARE * n_clients else rng.standard_normal((size, _SHARED))
            left = np.hstack([used, _NOISE * rng.standard_normal((size, rank - _SHARED))]) / np.sqrt(size)
            pairs.append((left, rng.standard_normal((rank, size)) / np.sqrt(size)))
        return ClientEstimates(factors=tuple(pairs))


def main() -> None:
    """Run the case named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("clients", 24), ("modules", 12), ("size", 384), ("rank", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    modules = Adapters(options.clients, options.modules, options.size, options.rank)
    before = peak_gigabytes()
    wall, start = time.perf_counter(), time.process_time()
    model = CLAIR().fit(modules)
    flagged = np.flatnonzero(model.flagged_)
    print(
        json.dumps(
            {
                "cpu_seconds": time.process_time() - start,
                "wall_seconds": time.perf_counter() - wall,
                "gibibytes_before": before,
                "gibibytes_peak": peak_gigabytes(),
                "exact": bool(np.array_equal(flagged, np.arange(np.ceil(_SHARE * options.clients)))),
            }
        )
    )


if __name__ == "__main__":
    main()
