"""What a detector says about the clients, and the two rules by which scores become a set.

The own rule of a method needs nothing from outside.  The other one is an oracle's: it is told how many clients are
contaminated, and takes those with the largest scores.  Modified z-scores are those of Iglewicz and Hoaglin (1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.records import BoolArray, FloatArray

__all__ = ["Suspicion", "checked_blocks", "cosines", "outlying", "robust_z", "suspect"]

_MAD_TO_SIGMA = 1.4826  # 1/Φ⁻¹(3/4): the median absolute deviation of N(0, 1) is 0.6745
_OUTLYING = 3.5  # modified z-score above which Iglewicz and Hoaglin (1993) call a value outlying


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Scores and set of one detector; the larger a score, the more a client is suspected."""

    scores: FloatArray  # (K,)
    flagged: BoolArray  # (K,)


def checked_blocks(blocks: FloatArray, n_contaminated: int | None) -> FloatArray:
    """Refuse blocks that no detector can work on.

    Parameters
    ----------
    blocks : array_like, shape (K, p, q)
    n_contaminated : int, optional
        f, told to an oracle.

    Returns
    -------
    ndarray, shape (K, p, q)

    Raises
    ------
    ValueError
        Fewer than three clients, another number of dimensions, entries that are not finite, or f outside 0 … K − 1.
    """
    array = np.asarray(blocks, dtype=np.float64)
    if array.ndim != 3 or array.shape[0] < 3:
        raise ValueError(f"blocks: shape {array.shape}; give one p × q block per client, at least three clients")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))
    if bad.size:
        raise ValueError(f"client {bad[0]}: blocks has entries that are NaN or infinite; leave this client out")
    if n_contaminated is not None and not 0 <= n_contaminated < array.shape[0]:
        raise ValueError(f"n_contaminated: {n_contaminated}; give an integer from 0 to {array.shape[0] - 1}")
    return array


def suspect(scores: FloatArray, own_rule: BoolArray, n_contaminated: int | None) -> Suspicion:
    """The set by the method's own rule, or the ``n_contaminated`` clients with the largest scores.

    Parameters
    ----------
    scores : ndarray, shape (K,)
    own_rule : bool ndarray, shape (K,)
        Flagged where nothing is told.
    n_contaminated : int, optional
        f, told to an oracle.

    Returns
    -------
    Suspicion
    """
    if n_contaminated is None:
        return Suspicion(scores, own_rule)
    flagged = np.zeros(scores.size, dtype=np.bool_)
    flagged[np.argsort(-scores, kind="stable")[:n_contaminated]] = True
    return Suspicion(scores, flagged)


def cosines(blocks: FloatArray) -> FloatArray:
    """Cosine between the blocks of every pair of clients; 0 with a block that is zero.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)

    Returns
    -------
    ndarray, shape (K, K)
        1 on the diagonal, but 0 where the block is zero.
    """
    flat = blocks.reshape(len(blocks), -1)
    largest = np.maximum(np.abs(flat).max(axis=1, keepdims=True), np.finfo(float).tiny)
    scaled = flat / largest  # squares of entries near 1e-200 would underflow
    norms = np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), np.finfo(float).tiny)
    unit = scaled / norms
    return np.asarray(unit @ unit.T, dtype=np.float64)


def robust_z(features: FloatArray, reference: FloatArray | None = None) -> FloatArray:
    """Distance of every feature from its median in robust standard deviations.

    Parameters
    ----------
    features : ndarray, shape (K, m)
    reference : ndarray, shape (n, m), optional
        Features whose median and median absolute deviation are used; the clients' own when not given.

    Returns
    -------
    ndarray, shape (K, m)
        Absolute values; 0 where the feature does not vary and the client has the median.

    Notes
    -----
    Iglewicz and Hoaglin (1993).
    """
    bank = features if reference is None else reference
    middle = np.median(bank, axis=0)
    spread = _MAD_TO_SIGMA * np.median(np.abs(bank - middle), axis=0)
    # A feature without spread tells a client apart when it differs by more than rounding.
    floor = 1e-9 * np.maximum(np.abs(middle), np.finfo(float).tiny)
    return np.asarray(np.abs(features - middle) / np.maximum(spread, floor), dtype=np.float64)


def outlying(z: FloatArray) -> BoolArray:
    """Whether a modified z-score is called outlying (Iglewicz and Hoaglin, 1993).

    Parameters
    ----------
    z : ndarray, any shape

    Returns
    -------
    bool ndarray
        Of the same shape.
    """
    return np.asarray(z > _OUTLYING)
