"""Weights of clients by their numbers of examples, which clients state themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["capped_weights"]

# A client counts for at most three times the median client.
CAP = 3.0


def capped_weights(n_examples: ArrayLike, *, cap: float = CAP) -> FloatArray:
    """Weights proportional to min(n_k, cap × median), which sum to 1.

    At least half of the clients state the median or more, so one client's weight is at most cap/(cap + (K − 1)/2),
    whatever it states: 0.09 for 64 clients.  With a majority of honest statements the median is between honest ones.

    Parameters
    ----------
    n_examples : array_like, shape (K,)
        Positive and finite; anything else counts as the median of the others.
    cap : float
        At least 1.

    Returns
    -------
    array, shape (K,)

    Raises
    ------
    ValueError
        For a cap below 1.
    """
    if not cap >= 1:
        raise ValueError(f"cap: {cap!r}; give at least 1")
    stated = np.asarray(n_examples, dtype=np.float64)
    known = np.isfinite(stated) & (stated > 0)
    median = float(np.median(stated[known])) if known.any() else 1.0
    counts = np.minimum(np.where(known, stated, median), cap * median)
    return np.asarray(counts / counts.sum())
