"""Entrywise median over clients (Yin et al., ICML 2018)."""

from __future__ import annotations

from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import entrywise_median

__all__ = ["coordinate_median"]


@on_moderate_scale
def coordinate_median(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the entrywise median to every client.

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
    return everyone_gets(entrywise_median(record.dense()), record.n_clients)
