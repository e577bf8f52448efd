"""FedEx-LoRA (Singhal et al., 2024; arXiv 2410.09432): factors are averaged, the residual goes into the base weights.

Everybody goes on with B̄ and Ā, and what these lack of the mean of products is added to the frozen weights once: the
effective weights are those of FLoRA, and training goes on from averaged factors.  Told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_round, mean_pair
from clair_stats.products import mean_product
from clair_stats.records import FloatArray

__all__ = ["fedex"]


def fedex(pairs: Sequence[Pair], *, weights: FloatArray | None = None) -> Aggregated:
    """Averaged factors, and the mean of products less their product as a residual.

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

    Notes
    -----
    The residual has rank K·s + s at most and is sent as a product or densely, whichever is less.
    """
    given, shape, shares, rank = checked_round(pairs, weights, "FedEx-LoRA")
    left, right = mean_pair(given, shares)
    stacked = mean_product(given, shares)
    residual = (np.concatenate([stacked[0], -left], axis=1), np.concatenate([stacked[1], right], axis=0))
    factors_alone = rank * sum(shape)
    down = factors_alone + min(residual[0].shape[1] * sum(shape), shape[0] * shape[1])
    return Aggregated(
        len(given), shape, ((left, right),) * len(given), residual, len(given) * factors_alone, len(given) * down
    )
