"""How well scores put one group of clients above another."""

from __future__ import annotations

import math

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["probability_above"]


def probability_above(first: FloatArray, second: FloatArray) -> float:
    """P(a value of the first exceeds one of the second), ties counted half; NaN where one is empty or has no value.

    The area under the receiver operating characteristic: 1 = the first group is above, .5 = they are alike.

    Parameters
    ----------
    first, second : ndarray, shapes (n,) and (m,)
    """
    if not (first.size and second.size) or np.isnan(first).any() or np.isnan(second).any():
        return math.nan
    difference = first[:, None] - second[None, :]
    return float(np.mean(difference > 0) + 0.5 * np.mean(difference == 0))
