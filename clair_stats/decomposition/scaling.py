"""Scaling by powers of two before and after solving: it is exact, and norms of 1e-150 or 1e150 can then be squared.

Solutions scale with the estimates (docs/theory.md, section 2, equivariance).
"""

from __future__ import annotations

import math

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["binary_scale", "largest_entry", "sizes"]

# Largest entries in this range are moderate: their squares and sums of squares are far from overflow and underflow.
_MODERATE = (1e-6, 1e6)
# Largest exponent of two that is used, so that the scale and its inverse are normal numbers.
_LARGEST_EXPONENT = 1000


def sizes(record: ClientEstimates) -> FloatArray:
    """A bound on every client's largest entry, for factors the product of those of B_k and A_k, shape (K,).

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    ndarray, shape (K,)
        Scale of the estimates; infinite where the bound overflows.
    """
    if record.values is not None:  # no copy of the stack
        return np.asarray(np.maximum(record.values.max(axis=(1, 2)), -record.values.min(axis=(1, 2))))
    assert record.factors is not None
    with np.errstate(over="ignore", under="ignore"):
        return np.array([np.abs(left).max() * np.abs(right).max() for left, right in record.factors])


def largest_entry(record: ClientEstimates) -> float:
    """A bound on the largest entry (:func:`sizes`); 0 for zeros, and finite.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    float
        Scale of the estimates.
    """
    return min(float(sizes(record).max()), float(np.finfo(np.float64).max))


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
