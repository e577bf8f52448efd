"""Scaling by powers of two before and after solving: it is exact, and norms of 1e-150 or 1e150 can then be squared.

Solutions scale with the estimates (docs/theory.md, section 2, equivariance).
"""

from __future__ import annotations

import math

import numpy as np

from clair_stats.estimates import ClientEstimates

__all__ = ["binary_scale", "largest_entry"]

# Largest entries in this range are moderate: their squares and sums of squares are far from overflow and underflow.
_MODERATE = (1e-6, 1e6)
# Largest exponent of two that is used, so that the scale and its inverse are normal numbers.
_LARGEST_EXPONENT = 1000


def largest_entry(record: ClientEstimates) -> float:
    """A bound on the largest entry, for factors the product of the largest entries of B_k and A_k; 0 for zeros.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    float
        Scale of the estimates.
    """
    if record.factors is not None:
        with np.errstate(over="ignore"):  # factors of 1e200 each: any very large number serves
            largest = max(float(np.abs(left).max()) * float(np.abs(right).max()) for left, right in record.factors)
        return min(largest, float(np.finfo(np.float64).max))
    blocks = record.dense()
    return max(float(blocks.max()), -float(blocks.min()))


def binary_scale(largest: float) -> float:
    """A power of two near the largest entry; 1 when that entry is moderate already.

    Parameters
    ----------
    largest : float
        Not negative.

    Returns
    -------
    float
        An exact power of two.
    """
    if largest == 0.0 or _MODERATE[0] <= largest <= _MODERATE[1]:
        return 1.0
    return float(2.0 ** min(max(math.frexp(largest)[1], -_LARGEST_EXPONENT), _LARGEST_EXPONENT))
