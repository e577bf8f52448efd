"""FLoRA (Wang et al., NeurIPS 2024; arXiv 2409.05976): factors are stacked, so that the mean of products is exact.

The stack of rank Σ s_k is sent to everybody and merged into the base weights; the next round starts from fresh factors.
Ranks may differ between clients.  Told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_pairs, checked_weights
from clair_stats.products import mean_product
from clair_stats.records import FloatArray

__all__ = ["flora"]


def flora(pairs: Sequence[Pair], *, weights: FloatArray | None = None) -> Aggregated:
    """Stack of all factors, merged into the base weights.

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
        Bad factors or weights.
    """
    given, shape = checked_pairs(pairs)
    stacked = mean_product(given, checked_weights(weights, len(given)))
    sent = stacked[0].shape[1] * sum(shape)
    return Aggregated(len(given), shape, None, stacked, sent, len(given) * sent)
