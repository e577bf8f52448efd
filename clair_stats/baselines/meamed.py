"""Mean around the median: of every entry the K − f values nearest to it (Xie, Koyejo and Gupta, arXiv 1802.10116)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import entrywise_median

__all__ = ["meamed"]


@on_moderate_scale
def meamed(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the mean around the median to every client.

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
    away = np.abs(blocks - entrywise_median(blocks))
    nearest = np.argsort(away, axis=0, kind="stable")[: record.n_clients - n_contaminated]
    return everyone_gets(np.take_along_axis(blocks, nearest, axis=0).mean(axis=0), record.n_clients)
