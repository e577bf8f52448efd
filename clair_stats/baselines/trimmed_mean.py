"""Entrywise trimmed mean: the f smallest and f largest values of every entry are left out (Yin et al., ICML 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates

__all__ = ["trimmed_mean"]


@on_moderate_scale
def trimmed_mean(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the trimmed mean to every client; f = ``n_contaminated``, at most what leaves one value.

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
    cut = min(n_contaminated, (record.n_clients - 1) // 2)
    ordered = np.sort(record.dense(), axis=0)
    return everyone_gets(ordered[cut : record.n_clients - cut].mean(axis=0), record.n_clients)
