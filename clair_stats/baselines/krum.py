"""Krum and multi-Krum: clients closest to their K − f − 2 nearest neighbours (Blanchard et al., NeurIPS 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["krum", "krum_scores", "multi_krum"]


def krum_scores(blocks: FloatArray, n_contaminated: int) -> FloatArray:
    """Sum of squared distances to the K − f − 2 nearest other clients (at least one), shape (K,).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    n_contaminated : int
        f.

    Returns
    -------
    ndarray, shape (K,)
        Squared scale of the blocks.
    """
    n_clients = len(blocks)
    flat = blocks.reshape(n_clients, -1)
    gram = flat @ flat.T
    sizes = np.diag(gram)
    distances = np.maximum(sizes[:, None] + sizes - 2.0 * gram, 0.0)
    np.fill_diagonal(distances, np.inf)
    neighbours = max(1, n_clients - n_contaminated - 2)
    return np.asarray(np.sort(distances, axis=1)[:, :neighbours].sum(axis=1))


@on_moderate_scale
def krum(estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05) -> BaselineFit:
    """Hand the block of the best client to everyone.

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
    return everyone_gets(blocks[int(np.argmin(krum_scores(blocks, n_contaminated)))], record.n_clients)


@on_moderate_scale
def multi_krum(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the mean of the K − f best clients to everyone; these clients are its collaborative set.

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
    chosen = np.zeros(record.n_clients, dtype=np.bool_)
    best = np.argsort(krum_scores(blocks, n_contaminated), kind="stable")
    chosen[best[: record.n_clients - n_contaminated]] = True
    fit = everyone_gets(blocks[chosen].mean(axis=0), record.n_clients)
    return BaselineFit(fit.estimates, fit.common, None, chosen)
