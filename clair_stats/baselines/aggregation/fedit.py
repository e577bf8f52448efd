"""FedIT (Zhang et al., ICASSP 2024; arXiv 2305.05644): both factors are averaged, everybody goes on with B̄ and Ā.

B̄ Ā is not the mean of the products: it lacks the mean of (B_k − B̄)(A_k − Ā), the cross terms.  Told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_round, mean_pair
from clair_stats.records import FloatArray

__all__ = ["fedit"]


def fedit(pairs: Sequence[Pair], *, weights: FloatArray | None = None) -> Aggregated:
    """Mean of the left factors times mean of the right factors.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)
        B_k and A_k.
    weights : ndarray, shape (K,), optional
        For instance sample sizes; equal when not given.

    Returns
    -------
    Aggregated

    Raises
    ------
    ValueError
        Bad factors or weights, or ranks that differ between clients.
    """
    given, shape, shares, rank = checked_round(pairs, weights, "FedIT")
    sent = len(given) * rank * sum(shape)
    return Aggregated(len(given), shape, (mean_pair(given, shares),) * len(given), None, sent, sent)
