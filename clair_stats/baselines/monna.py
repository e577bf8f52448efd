"""Mean of the K − f clients nearest to a pivot (Farhadkhani, Guerraoui, Gupta, Hoang, Pinot and Stephan, ICML 2023).

MoNNA is for clients without a server, each of which averages those nearest to itself: the pivot of client k is k, so
that every client has a mean of its own.  Their average is the centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms

__all__ = ["monna"]


@on_moderate_scale
def monna(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand every client the mean of its nearest K − f, itself among them.

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
    kept = record.n_clients - n_contaminated
    means = np.empty_like(blocks)
    for k, block in enumerate(blocks):
        nearest = np.argsort(block_norms(blocks - block), kind="stable")[:kept]
        means[k] = blocks[nearest].mean(axis=0)
    return BaselineFit(means, means.mean(axis=0))
