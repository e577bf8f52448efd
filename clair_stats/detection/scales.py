"""Whether clients send their estimates on scales of their own, from how much log residuals of a majority scatter.

A client that multiplies its estimate by e moves its log residual by 2 log e, unless norms are divided out.  Dividing
has a price: a contaminated client that is told by its norm alone is told by nothing afterwards.  So it is done only
where otherwise no majority of the clients would look alike.

See docs/derivations/detection.md, section 8, and docs/derivations/joint_verdict.md, section 2.
"""

from __future__ import annotations

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["SCALES_DIFFER", "majority_spread", "spread_ratio"]

# How many times as much a majority scatters on the scale as given as with norms divided out when scales differ.  In
# development federations (adapters of rank 4 to 16, 12 to 48 clients) at most this in 647 of 648 where scales were
# equal or fewer than half of the clients enlarged, more in 209 of 216 where scales had a log standard deviation of .7.
SCALES_DIFFER = 2.0


def majority_spread(values: FloatArray) -> float:
    """Length of the shortest interval that holds a majority ⌊K/2⌋ + 1 of the values (K,).

    Its breakdown point is the largest possible: whatever fewer than half of the clients send, the interval of all
    others is one of those compared, so that it bounds the length.

    Parameters
    ----------
    values : ndarray, shape (K,)

    Returns
    -------
    float
        Scale of the values.
    """
    ordered, majority = np.sort(values), values.size // 2 + 1
    return float((ordered[majority - 1 :] - ordered[: values.size - majority + 1]).min())


def spread_ratio(given: FloatArray, divided: FloatArray) -> float:
    """How many times as much a majority scatters on the scale as given as with norms divided out.

    Each on the half that fits best on its own scale: on the other's half a client enlarged a hundredfold would turn the
    subspace towards itself.

    Parameters
    ----------
    given, divided : ndarray, shape (K,)
        Log residual energies of all clients on either scale.

    Returns
    -------
    float
        Scales differ above ``SCALES_DIFFER``.
    """
    # Differences of logarithms below the rounding of a residual energy are no spread.
    rounding = float(np.finfo(float).eps) ** 0.5
    return float(max(majority_spread(given), rounding) / max(majority_spread(divided), rounding))
