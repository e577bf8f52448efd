"""Geometric median of the blocks by Weiszfeld's iteration (Pillutla, Kakade and Harchaoui, IEEE TSP 70, 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, entrywise_median
from clair_stats.records import FloatArray

__all__ = ["geometric_median", "weiszfeld"]

_ITERATIONS = 200
_TOLERANCE = 1e-8


def weiszfeld(blocks: FloatArray) -> FloatArray:
    """Minimise Σ_k ‖X_k − M‖_F over M; distances are floored at 1e-8 of their median, which smooths the kinks.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)

    Returns
    -------
    ndarray, shape (p, q)
        Scale of the blocks.
    """
    centre = entrywise_median(blocks)
    for _ in range(_ITERATIONS):
        distances = block_norms(blocks - centre)
        floor = max(1e-8 * float(np.median(distances)), np.finfo(float).tiny)
        floored = np.maximum(distances, floor)
        weights = floored.min() / floored  # largest 1: where most clients are equal their inverses would overflow
        following = np.tensordot(weights / weights.sum(), blocks, axes=1)
        step, size = block_norms(np.stack([following - centre, following]))
        centre = following
        if step <= _TOLERANCE * size:
            break
    return centre


@on_moderate_scale
def geometric_median(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the geometric median to every client.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r; checked, not used.
    n_contaminated : int
        f; checked, not used.
    level : float
        Not used.

    Returns
    -------
    BaselineFit
        Scale of the estimates.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    record = checked_input(estimates, rank, n_contaminated)
    return everyone_gets(weiszfeld(record.dense()), record.n_clients)
