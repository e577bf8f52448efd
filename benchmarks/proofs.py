"""Certificates that are proofs, in seconds of processor time and in decompositions of the same stack.

``python -m benchmarks.proofs``: 60 clients of 40 × 20 at rank 3, six of them contaminated; the instance certificate and
the duality gap of the solution of (E) in ball arithmetic.  Needs python-flint (extra ``proofs``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from benchmarks.instances import contaminated_stack
from clair_stats import decompose
from clair_stats.theory import rigorous_certificate, rigorous_gap

__all__: list[str] = []

_T = TypeVar("_T")
_K, _P, _Q, _RANK, _SHARE = 60, 40, 20, 3, 0.1


def _timed(run: Callable[[], _T]) -> tuple[_T, float]:
    start = time.process_time()
    return run(), time.process_time() - start


def main() -> None:
    """Print one line each."""
    values = contaminated_stack(_P, _Q, _K, _RANK, common=True, share=_SHARE)
    benign = np.arange(_K) >= round(_SHARE * _K)
    deviations = values[benign] - values[benign].mean(axis=0)
    basis = np.linalg.svd(np.concatenate(list(deviations), axis=1), full_matrices=False)[0][:, :_RANK]
    solution, usual = _timed(lambda: decompose(values))
    print(f"decompose: {usual:.3f} s, relative gap {solution.duality_gap / solution.objective:.1e}")
    gap, seconds = _timed(lambda: rigorous_gap(values, solution))
    print(f"rigorous_gap: {seconds:.2f} s, {seconds / usual:.0f} decompositions, gap at most {gap.relative_gap:.1e}")
    proof, seconds = _timed(
        lambda: rigorous_certificate(
            values, basis=basis, collaborative_set=benign, block_penalty=solution.block_penalty
        )
    )
    print(f"rigorous_certificate: {seconds:.2f} s, {seconds / usual:.0f} decompositions, {proof.state}")


if __name__ == "__main__":
    main()
