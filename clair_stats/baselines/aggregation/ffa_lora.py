"""FFA-LoRA (Sun et al., ICLR 2024; arXiv 2403.12313): A is drawn once and frozen, only B is trained and averaged.

With one A for everybody the product of means is the mean of products.  It changes training: clients must not move A
(`simulations.methods.factor_training` trains so).  Told the common A.
"""

from __future__ import annotations

from collections.abc import Sequence

from clair_stats.baselines.aggregation.aggregated import (
    Aggregated,
    Pair,
    checked_pairs,
    checked_weights,
    mean_factor,
    same_factor,
)
from clair_stats.records import FloatArray

__all__ = ["ffa_lora"]


def ffa_lora(pairs: Sequence[Pair], *, weights: FloatArray | None = None) -> Aggregated:
    """Mean of B beside the A that all clients have.

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
        Bad factors or weights, or clients whose A differ.
    """
    given, shape = checked_pairs(pairs)
    shares = checked_weights(weights, len(given))
    right = same_factor([pair[1] for pair in given], "FFA-LoRA", "A")
    left = mean_factor([pair[0] for pair in given], shares)
    sent = len(given) * left.size
    return Aggregated(len(given), shape, ((left, right),) * len(given), None, sent, sent)
