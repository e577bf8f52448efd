"""Clients whose estimate is much larger than the others', where norms are divided out and nothing else tells.

Where clients send their estimates on scales of their own, every block is divided by its norm before clients are
compared, and a client that multiplies its estimate by a thousand is then like any other.  What is learnt for such a
federation is also how much honest scales differ: the logarithms of the norms are scores like those of the residuals,
and stand under the same law.

See docs/derivations/joint_verdict.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.detection.joint.summed_law import accept_outward
from clair_stats.detection.joint.walk_laws import critical_values
from clair_stats.detection.log_scores import prediction_p_values
from clair_stats.records import BoolArray, FloatArray

__all__ = ["SHARE", "Oversized", "oversized"]

SHARE = 0.2  # of the level, where norms are divided out; the residuals have the rest


@dataclass(frozen=True, eq=False)
class Oversized:
    """Who sends much more than the others."""

    flagged: BoolArray  # (K,)
    p_values: FloatArray  # (K,), of sizes that large
    critical: float  # flagged below

    def p_values_with(self, others: FloatArray) -> FloatArray:
        """P-values from both looks, each at its share of the level, (K,).

        Parameters
        ----------
        others : ndarray, shape (K,)
            Those of the residuals.

        Returns
        -------
        ndarray, shape (K,)
        """
        return np.fmin(np.fmin(others / (1.0 - SHARE), self.p_values / SHARE), 1.0)

    def thresholds_with(self, scores: FloatArray, thresholds: FloatArray) -> FloatArray:
        """Thresholds below the scores of those who are flagged for their size alone, (K,).

        Parameters
        ----------
        scores, thresholds : ndarray, shape (K,)

        Returns
        -------
        ndarray, shape (K,)
        """
        ratio = np.clip(self.p_values / self.critical, 0.0, 1.0 - 1e-9)
        below = scores - np.abs(scores) * (1.0 - ratio)
        return np.where(self.flagged & (scores <= thresholds), below, thresholds)


def oversized(sizes: FloatArray, level: float) -> Oversized:
    """Clients whose norm stands out above those of a majority; nobody where no majority is of one size.

    Parameters
    ----------
    sizes : ndarray, shape (K,)
        Norms, any scale.
    level : float
        Probability that anybody is flagged where log norms are exchangeable and normal.

    Returns
    -------
    Oversized
    """
    scores = np.log(np.maximum(sizes, np.finfo(float).tiny))
    walk = accept_outward(scores, scores, level)
    critical = critical_values(scores.size, level).single / (walk.accepted.sum() + 1)
    p_values = prediction_p_values(scores, walk.accepted)
    # A group's p-value is brought to the scale on which single clients are flagged.
    p_values = np.where(walk.group, np.minimum(p_values, walk.group_share * critical), p_values)
    flagged = np.zeros_like(walk.accepted) if walk.torn else ~walk.accepted
    return Oversized(flagged, p_values, float(critical))
