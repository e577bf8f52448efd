"""How far the subspace of an accepted set can tilt: the inequality behind docs/derivations/guarantee.md, section 3."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["largest_tilt"]

# The iteration is valid at every step and only gains from more; it contracts by the share of the lost energy.
_STEPS = 60


def largest_tilt(
    *,
    allowed: ArrayLike,
    free_noise: ArrayLike,
    free_norm: ArrayLike,
    absorbed: ArrayLike,
    margin: ArrayLike,
    rank: int,
    lower_rank: int,
) -> tuple[FloatArray, FloatArray]:
    """Largest ‖P_{Û⊥}U*‖_F² of an accepted set of rank ``lower_rank`` ≤ r that holds the subset B.

    It is the largest s² in [r − r̂, r] with s·μ ≤ √(x² − f² + (s² − r + r̂)o²)₊ + g, where x² is the sum of squared
    tolerances over B, f and o the Frobenius and operator norm of the benign noise that the design of B leaves free, g
    the Frobenius norm of what the design absorbs and μ the margin.

    Parameters
    ----------
    allowed, free_noise, free_norm, absorbed, margin : array_like, any shapes that broadcast
        x², f², o, g, μ ≥ 0, one entry per subset.
    rank, lower_rank : int
        r and r̂, 0 ≤ r̂ ≤ r.

    Returns
    -------
    squared_tilt : ndarray
        Upper bound of s², at most r; NaN where no s is possible: no accepted set of this rank holds B.
    radius : ndarray
        T = √(x² − f² + (s² − r + r̂)o²)₊ + g at that s; bounds ‖W Z_Bᵀ‖_F.
    """
    given = (allowed, free_noise, free_norm, absorbed, margin)
    x2, f2, o, g, mu = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in given))
    gap = rank - lower_rank
    excess = np.full(x2.shape, float(lower_rank))
    squared = np.full(x2.shape, float(rank))
    possible = np.ones(x2.shape, dtype=bool)
    for _ in range(_STEPS):
        radius = np.sqrt(np.maximum(x2 - f2 + excess * o**2, 0.0)) + g
        with np.errstate(divide="ignore", invalid="ignore"):
            squared = np.minimum(np.where(mu > 0, (radius / mu) ** 2, np.inf), rank)
        possible &= squared >= gap
        excess = np.minimum(excess, np.maximum(squared - gap, 0.0))
    radius = np.sqrt(np.maximum(x2 - f2 + excess * o**2, 0.0)) + g
    return np.where(possible, squared, np.nan), radius
