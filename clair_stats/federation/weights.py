"""Weights of clients by their numbers of examples, which clients state themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["bounded_shares", "capped_weights", "usual_examples"]

# A client counts for at most three times the median client.
CAP = 3.0
# A client moves the average at most twice as far as the median client does.  Honest updates of one task differ less.
REACH = 2.0


def usual_examples(n_examples: ArrayLike) -> float:
    """The median of the numbers that are positive and finite; 1 where none is.

    Parameters
    ----------
    n_examples : array_like, shape (K,)

    Returns
    -------
    float
    """
    stated = np.asarray(n_examples, dtype=np.float64)
    known = stated[np.isfinite(stated) & (stated > 0)]
    return float(np.median(known)) if known.size else 1.0


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
    known, median = np.isfinite(stated) & (stated > 0), usual_examples(stated)
    counts = np.minimum(np.where(known, stated, median), cap * median)
    return np.asarray(counts / counts.sum())


def bounded_shares(weights: FloatArray, sizes: FloatArray, *, reach: float = REACH) -> FloatArray:
    """Share f_k ≤ 1 of each client's step that enters the average, so that w_k f_k s_k ≤ reach × median of w_j s_j.

    A client that is altered inside the subspace that all share is benign by definition (docs/limits.md): a step times
    −5 is not told from heterogeneity, but it must not undo what the others have learnt (norm bounding: Sun and others,
    Can you really backdoor federated learning?, arXiv 1911.07963, 2019).

    Parameters
    ----------
    weights : array, shape (K,)
        w_k, from :func:`capped_weights`.
    sizes : array, shape (K,)
        s_k, Frobenius norm of the client's step over all modules.
    reach : float

    Returns
    -------
    array, shape (K,)
    """
    moved = weights * sizes
    bound = reach * float(np.median(moved))
    return np.where(moved > bound, bound / np.where(moved > 0, moved, 1.0), 1.0)
