"""FoolsGold (Fung, Yoon and Beschastnikh, RAID 2020): clients that resemble each other too much are sybils.

Assumes that contaminated clients pursue one goal and look alike, and that benign clients do not.  Told nothing; the
paper adds up updates over rounds, which is the one update here.
"""

from __future__ import annotations

import numpy as np

from clair_stats.baselines.detectors.suspicion import Suspicion, checked_blocks, cosines, suspect
from clair_stats.records import FloatArray

__all__ = ["foolsgold", "foolsgold_weights"]

_HIGHEST = 0.99  # a weight of 1 has no logit
_BENIGN = 0.5  # centre of the logistic scale on which the paper puts the weights
_CONFIDENCE = 1.0  # κ of the paper


def _dissimilarities(similarities: FloatArray) -> FloatArray:
    """One less the largest pardoned similarity, over the largest of these numbers, shape (K,)."""
    between = np.array(similarities, dtype=np.float64)
    np.fill_diagonal(between, -np.inf)
    largest = between.max(axis=1)
    # Pardoning: a client is blamed less for resembling one that resembles somebody else more.
    ratio = np.divide(largest[:, None], largest[None, :], out=np.ones_like(between), where=largest[None, :] > 0.0)
    pardoned = np.where(largest[None, :] > largest[:, None], between * np.clip(ratio, 0.0, 1.0), between)
    np.fill_diagonal(pardoned, -np.inf)
    weights = np.clip(1.0 - pardoned.max(axis=1), 0.0, 1.0)
    return np.asarray(weights / max(float(weights.max()), np.finfo(float).tiny), dtype=np.float64)


def foolsgold_weights(similarities: FloatArray) -> FloatArray:
    """Learning rate that the paper gives every client, from pairwise similarities.

    Parameters
    ----------
    similarities : ndarray, shape (K, K)
        Cosines; the diagonal is not used.

    Returns
    -------
    ndarray, shape (K,)
        Between 0 and 1; small for clients that resemble another one.
    """
    weights = np.minimum(_dissimilarities(similarities), _HIGHEST)
    with np.errstate(divide="ignore"):
        logits = np.log(weights / (1.0 - weights))
    return np.asarray(np.clip(_CONFIDENCE * (logits + 0.5), 0.0, 1.0), dtype=np.float64)


def foolsgold(blocks: FloatArray, *, n_contaminated: int | None = None) -> Suspicion:
    """Flag clients whose weight is below one half, or the ``n_contaminated`` with the smallest.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    n_contaminated : int, optional
        f, told to an oracle.

    Returns
    -------
    Suspicion
        Scores: one less the number from which the weight is made, between 0 and 1.

    Raises
    ------
    ValueError
        Blocks or f that :func:`~clair_stats.baselines.detectors.suspicion.checked_blocks` refuses.
    """
    similarities = cosines(checked_blocks(blocks, n_contaminated))
    flagged = foolsgold_weights(similarities) < _BENIGN
    # The weights are cut to 0 and 1 and have ties; what they are made from orders clients in the same way.
    return suspect(1.0 - _dissimilarities(similarities), flagged, n_contaminated)
