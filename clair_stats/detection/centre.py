"""The robust centre: the geometric median of the clients' blocks, from which everything else starts.

Steps of Weiszfeld, Tohoku Math. J. 43, 1937; docs/derivations/detection.md, section 4.
"""

from __future__ import annotations

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["CENTRE_TOLERANCE", "geometric_median"]

CENTRE_TOLERANCE = 1e-6  # of the largest weight; the centre is a starting point, refitted on every set
_CENTRE_STEPS = 100
# Squared distances from a point that are differences of squares, below this share of these.
_SQUARED_ROUNDING = 1e-13
_NEAR = 0.1  # of the median distance: nearer clients may be the centre that the steps are on the way to


def geometric_median(blocks: FloatArray, energies: FloatArray, design: FloatArray, floor: float) -> FloatArray:
    """Minimiser M of Σ‖Y_k − c_kM‖_F, shape (p, q).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
        Y_k.
    energies, design : ndarray, shape (K,)
        ‖Y_k‖², c_k.
    floor : float
        Entries below are rounding.

    Returns
    -------
    ndarray, shape (p, q)
    """
    n_clients, p, q = blocks.shape
    flat = blocks.reshape(n_clients, -1)
    gram = flat @ flat.T if n_clients <= p * q else None  # steps on it cost no pass over the blocks
    weights = 1.0 / np.maximum(np.sqrt(energies), floor)
    shares = weights
    for _ in range(_CENTRE_STEPS):  # Weiszfeld, Tohoku Math. J. 43, 1937
        shares = weights * design / float(np.sum(weights * design**2))
        inner = gram @ shares if gram is not None else flat @ (shares @ flat)
        squares = energies - 2.0 * design * inner + design**2 * float(shares @ inner)
        following = 1.0 / np.maximum(np.sqrt(np.maximum(squares, 0.0)), floor * np.sqrt(p * q))
        change = float(np.abs(following / following.max() - weights / weights.max()).max())
        weights = following
        if change < CENTRE_TOLERANCE:
            break
    centre = _nearest_client_if_median(flat, energies, design, shares @ flat)
    return np.asarray(centre.reshape(p, q))


def _nearest_client_if_median(
    flat: FloatArray, energies: FloatArray, design: FloatArray, centre: FloatArray
) -> FloatArray:
    """The client nearest to a centre (pq,) that Weiszfeld's steps have come to, if it is the geometric median itself.

    The steps never arrive there, and what is left of the way is rounding, to which copies of that client would lend
    their weight.  It is the median if the pull of all others on it is weaker than the pull of those who are there
    (Vardi and Zhang, PNAS 97(4), 2000).

    Parameters
    ----------
    flat : ndarray, shape (K, pq)
        Y_k.
    energies, design : ndarray, shape (K,)
        ‖Y_k‖², c_k.
    centre : ndarray, shape (pq,)

    Returns
    -------
    ndarray, shape (pq,)
    """

    def squares(point: FloatArray) -> FloatArray:
        found = energies - 2.0 * design * (flat @ point) + design**2 * float(point @ point)
        return np.where(found > _SQUARED_ROUNDING * (energies + design**2 * float(point @ point)), found, 0.0)

    away = squares(centre)
    nearest = int(np.argmin(away))
    if away[nearest] > _NEAR**2 * float(np.median(away)) or not design[nearest]:
        return centre
    point = flat[nearest] / design[nearest]
    distances = np.sqrt(squares(point))
    there = distances == 0.0
    pulls = np.where(there, 0.0, design / np.where(there, 1.0, distances))
    pull = pulls @ flat - float(pulls @ design) * point
    return point if float(np.linalg.norm(pull)) < (1.0 - CENTRE_TOLERANCE) * float(design[there].sum()) else centre
