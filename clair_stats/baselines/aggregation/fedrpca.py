"""FedRPCA (Jhunjhunwala et al., 2025; arXiv 2506.01194): what all factors share is averaged, the rest is amplified.

The clients' B_k as columns of one matrix, and their A_k as columns of another, are each split by principal component
pursuit.  The low-rank part is averaged, the mean of the sparse part is multiplied by β.  Told β.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_round
from clair_stats.baselines.splitting import split
from clair_stats.records import FloatArray

__all__ = ["fedrpca"]

_AMPLIFICATION = 2.0  # β where none is given; the paper's own rule for β was not at hand, and 1 would be FedIT


def fedrpca(
    pairs: Sequence[Pair], *, weights: FloatArray | None = None, amplification: float = _AMPLIFICATION
) -> Aggregated:
    """Split both factors over the clients; mean of the shared part and β times the mean of the rest.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)
        B_k and A_k.
    weights : ndarray, shape (K,), optional
        For instance sample sizes; equal when not given.
    amplification : float
        β, not negative; 1 gives FedIT.

    Returns
    -------
    Aggregated

    Raises
    ------
    ValueError
        Bad factors or weights, ranks that differ, or a β that is negative or not finite.
    """
    if not (math.isfinite(amplification) and amplification >= 0.0):
        raise ValueError(f"amplification: {amplification}; give a finite number that is not negative")
    given, shape, shares, rank = checked_round(pairs, weights, "FedRPCA")
    means = []
    for side in (0, 1):
        columns = np.stack([pair[side].ravel() for pair in given], axis=1)
        parts = split(columns, penalty=1.0 / math.sqrt(max(columns.shape)), sparsity="entries")
        means.append(((parts.low_rank + amplification * parts.sparse) @ shares).reshape(given[0][side].shape))
    sent = len(given) * rank * sum(shape)
    return Aggregated(len(given), shape, ((means[0], means[1]),) * len(given), None, sent, sent)
