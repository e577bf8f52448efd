"""FlexLoRA (Bai et al., NeurIPS 2024; arXiv 2402.11505): the mean of products, cut to every client's own rank.

Client k gets the best approximation of rank s_k (Eckart and Young, 1936) of the mean product.  Told nothing but the
ranks that clients can hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_pairs, checked_weights
from clair_stats.products import capped, mean_product
from clair_stats.records import FloatArray

__all__ = ["flexlora"]


def flexlora(
    pairs: Sequence[Pair], *, weights: FloatArray | None = None, ranks: Sequence[int] | None = None
) -> Aggregated:
    """Mean product, singular value decomposition, and the leading part for every client.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)
        B_k and A_k.
    weights : ndarray, shape (K,), optional
        For instance sample sizes; equal when not given.
    ranks : sequence of int, optional
        Rank that client k is handed; its own s_k when not given.

    Returns
    -------
    Aggregated

    Raises
    ------
    ValueError
        Bad factors or weights, or ranks that are not K positive numbers.
    """
    given, shape = checked_pairs(pairs)
    stacked = mean_product(given, checked_weights(weights, len(given)))
    wanted = [left.shape[1] for left, _ in given] if ranks is None else [int(rank) for rank in ranks]
    if len(wanted) != len(given) or min(wanted) < 1:
        raise ValueError(f"ranks: {wanted}; give one positive rank for each of {len(given)} clients")
    cut = {rank: capped(stacked, min(rank, *shape))[0] for rank in set(wanted)}
    up = sum(left.shape[1] for left, _ in given) * sum(shape)
    factors = tuple(cut[rank] for rank in wanted)
    down = sum(left.shape[1] for left, _ in factors) * sum(shape)
    return Aggregated(len(given), shape, factors, None, up, down)
