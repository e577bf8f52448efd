"""``CLAIR().fit`` on very many clients, one process per case: time and memory.

``python -m benchmarks.many_clients K`` prints one JSON object; blocks are 40 × 20 of rank 3 with a common component,
noise sd 0.1, a fifth of the clients contaminated at random by their own size.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from benchmarks.instances import contaminated_stack
from benchmarks.measure import peak_gigabytes
from clair_stats import CLAIR

__all__: list[str] = []

_SHARE = 0.2


def main(n_clients: int) -> None:
    """Run the case named on the command line."""
    blocks = contaminated_stack(40, 20, n_clients, 3, common=True, share=_SHARE, noise=0.1)
    before = peak_gigabytes()
    wall, start = time.perf_counter(), time.process_time()
    model = CLAIR().fit(blocks)
    print(
        json.dumps(
            {
                "cpu_seconds": time.process_time() - start,
                "wall_seconds": time.perf_counter() - wall,
                "gibibytes_input": blocks.nbytes / 2**30,
                "gibibytes_before": before,
                "gibibytes_peak": peak_gigabytes(),
                "exact": bool(np.array_equal(np.flatnonzero(model.flagged_), np.arange(round(_SHARE * n_clients)))),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
