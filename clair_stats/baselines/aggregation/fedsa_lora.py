"""FedSA-LoRA (Guo et al., ICLR 2025; arXiv 2410.01463): A is averaged and shared, every client keeps its own B.

A is taken to hold what all share and B what is a client's own.  Both are trained.  Told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from clair_stats.baselines.aggregation.aggregated import Aggregated, Pair, checked_round, mean_factor
from clair_stats.records import FloatArray

__all__ = ["fedsa_lora"]


def fedsa_lora(pairs: Sequence[Pair], *, weights: FloatArray | None = None) -> Aggregated:
    """The client's own B beside the mean of A.

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
    given, shape, shares, _ = checked_round(pairs, weights, "FedSA-LoRA")
    right = mean_factor([pair[1] for pair in given], shares)
    sent = len(given) * right.size
    return Aggregated(len(given), shape, tuple((left, right) for left, _ in given), None, sent, sent)
