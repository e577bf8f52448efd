"""RoLoRA (Chen et al., 2024; arXiv 2409.02346): the two factors are trained and averaged by turns.

In a round one factor is frozen and the same for everybody, so the product of means is the mean of products.  It changes
training: odd rounds train B, even rounds A (`simulations.methods.factor_training` trains so).  Told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from clair_stats.baselines.aggregation.aggregated import (
    Aggregated,
    Pair,
    checked_pairs,
    checked_weights,
    mean_factor,
    same_factor,
)
from clair_stats.records import FloatArray

__all__ = ["rolora"]


def rolora(
    pairs: Sequence[Pair], *, trained: Literal["left", "right"], weights: FloatArray | None = None
) -> Aggregated:
    """Mean of the factor that was trained in this round beside the one that was not.

    Parameters
    ----------
    pairs : sequence of pairs of ndarray, shapes (p, s_k) and (s_k, q)
        B_k and A_k.
    weights : ndarray, shape (K,), optional
        For instance sample sizes; equal when not given.
    trained : {"left", "right"}
        Whether B or A was trained in this round.

    Returns
    -------
    Aggregated

    Raises
    ------
    ValueError
        Bad factors or weights, an unknown ``trained``, or a frozen factor that differs between clients.
    """
    if trained not in ("left", "right"):
        raise ValueError(f"trained: {trained!r} is unknown; give 'left' (B) or 'right' (A)")
    given, shape = checked_pairs(pairs)
    shares = checked_weights(weights, len(given))
    moving, frozen = (0, 1) if trained == "left" else (1, 0)
    kept = same_factor([pair[frozen] for pair in given], "RoLoRA", "frozen factor")
    mean = mean_factor([pair[moving] for pair in given], shares)
    both = (mean, kept) if trained == "left" else (kept, mean)
    sent = len(given) * mean.size
    return Aggregated(len(given), shape, (both,) * len(given), None, sent, sent)
