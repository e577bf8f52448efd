"""Centred clipping (Karimireddy, He and Jaggi, ICML 2021): v ← v + mean of (X_k − v)·min(1, τ/‖X_k − v‖).

The paper starts from the last round's value and leaves τ open.  There is one round here: v starts at the entrywise
median, τ is the median distance from it, and the iteration goes on to its end, which is Huber's estimate of location.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, entrywise_median
from clair_stats.records import FloatArray

__all__ = ["centred_clipping", "clipped_mean"]

_ITERATIONS = 200
_TOLERANCE = 1e-10  # of a step, over τ


def clipped_mean(blocks: FloatArray, start: FloatArray, radius: float, iterations: int = _ITERATIONS) -> FloatArray:
    """The iteration.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    start : ndarray, shape (p, q)
    radius : float
        τ, scale of the blocks.
    iterations : int
        At most.

    Returns
    -------
    ndarray, shape (p, q)
        Scale of the blocks.
    """
    centre = start
    for _ in range(iterations):
        away = blocks - centre
        norms = block_norms(away)
        shares = np.minimum(norms, radius) / np.maximum(norms, np.finfo(float).tiny)
        step = np.tensordot(shares, away, axes=1) / len(blocks)
        centre = centre + step
        if float(np.linalg.norm(step)) <= _TOLERANCE * radius:
            break
    return np.asarray(centre, dtype=np.float64)


@on_moderate_scale
def centred_clipping(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the clipped mean to every client.

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
    blocks = record.dense()
    start = entrywise_median(blocks)
    radius = float(np.median(block_norms(blocks - start)))
    return everyone_gets(clipped_mean(blocks, start, radius), record.n_clients)
