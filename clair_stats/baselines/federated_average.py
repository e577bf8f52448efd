"""Federated average: the mean over all clients, weighted by n_k (McMahan et al., AISTATS 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates

__all__ = ["federated_average"]


@on_moderate_scale
def federated_average(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the weighted mean to every client.

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
    centre = np.average(record.dense(), axis=0, weights=record.sample_sizes)
    return everyone_gets(np.asarray(centre, dtype=np.float64), record.n_clients)
