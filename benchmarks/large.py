"""One large case per process: LoRA factors of 4096 × 4096 matrices, one module or many.

``python -m benchmarks.large factors [--common]`` · ``python -m benchmarks.large modules N``; prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import time

from benchmarks.instances import LazyModules, contaminated_factors, penalty
from benchmarks.measure import peak_gigabytes
from clair_stats.decomposition.decompose import decompose_factors
from clair_stats.decomposition.modules.decompose_modules import decompose_modules


def main() -> None:
    """Run the case named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=("factors", "modules"))
    parser.add_argument("modules", nargs="?", type=int, default=128)
    parser.add_argument("--common", action="store_true")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rank", type=int, default=16)
    options = parser.parse_args()
    if options.case == "factors":
        estimates = contaminated_factors(options.clients, options.rank, options.size, common=options.common)
        before = peak_gigabytes()
        wall, start = time.perf_counter(), time.process_time()
        lam = penalty(options.clients, 8)
        found = decompose_factors(estimates, block_penalty=lam, common_component=options.common).core
    else:
        modules = LazyModules(options.modules, options.clients, options.rank, options.size)
        before = peak_gigabytes()
        wall, start = time.perf_counter(), time.process_time()
        lam = penalty(options.clients, 8) * math.sqrt(options.modules)
        found = decompose_modules(modules, block_penalty=lam, common_component=False)  # type: ignore[arg-type, assignment]
    print(
        json.dumps(
            {
                "cpu_seconds": time.process_time() - start,
                "wall_seconds": time.perf_counter() - wall,
                "gibibytes_before": before,
                "gibibytes_peak": peak_gigabytes(),
                "relative_gap": found.duality_gap / found.objective,
                "status": found.status,
                "solver": found.solver,
            }
        )
    )


if __name__ == "__main__":
    main()
