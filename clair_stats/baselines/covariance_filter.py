"""Covariance-bound agnostic filter, CAF (Allouah, Guerraoui and Stephan, 2025): weights fall in the widest direction.

Weights c start at 1.  While they add up to more than K − 2f: mean μ and covariance under c, its leading eigenvector v,
τ_k = ⟨v, X_k − μ⟩², c_k ← c_k(1 − τ_k/max τ).  The mean with the smallest leading eigenvalue is handed out.  The
eigenvector is exact, from the Gram matrix of the weighted clients, and the largest τ is that of a client with weight
left, so that every step takes at least one client out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import symmetric_eigen
from clair_stats.records import FloatArray

__all__ = ["covariance_filter", "filtered_mean"]


def filtered_mean(vectors: FloatArray, n_contaminated: int) -> FloatArray:
    """The mean with the narrowest covariance on the way.

    Parameters
    ----------
    vectors : ndarray, shape (K, d)
    n_contaminated : int
        f, below K/2.

    Returns
    -------
    ndarray, shape (d,)
        Scale of the vectors.
    """
    n_clients = len(vectors)
    weights = np.ones(n_clients)
    least, best = np.inf, vectors.mean(axis=0)
    while weights.sum() > max(n_clients - 2 * n_contaminated, 1.0 - 1e-9):
        mean = weights @ vectors / weights.sum()
        away = vectors - mean
        rooted = np.sqrt(weights / weights.sum())[:, None] * away
        values, turns = symmetric_eigen(rooted @ rooted.T)
        if values[-1] < least:
            least, best = float(values[-1]), mean
        direction = rooted.T @ turns[:, -1]
        along = np.where(weights > 0.0, (away @ direction) ** 2, 0.0)
        if n_contaminated == 0 or not along.max() > 0.0:
            break
        weights = np.where(along < along.max(), weights * (1.0 - along / along.max()), 0.0)
    return np.asarray(best, dtype=np.float64)


@on_moderate_scale
def covariance_filter(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the filtered mean to every client; f at most what leaves a majority.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r; checked, not used.
    n_contaminated : int
        f.
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
    outlying = min(n_contaminated, (record.n_clients - 1) // 2)
    mean = filtered_mean(blocks.reshape(record.n_clients, -1), outlying)
    return everyone_gets(mean.reshape(record.block_shape), record.n_clients)
