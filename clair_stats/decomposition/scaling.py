"""Scaling by powers of two before and after solving: it is exact, and norms of 1e-150 or 1e150 can then be squared.

Solutions scale with the estimates (docs/theory.md, section 2, equivariance).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = [
    "LARGEST_ENTRY",
    "LARGEST_SCALE",
    "SMALLEST_ENTRY",
    "SMALLEST_SCALE",
    "absurd_exponents",
    "binary_scale",
    "largest_entry",
    "sizes",
    "usual_size",
]

# Squares of sizes between these are normal numbers, with room for sums over entries.
LARGEST_ENTRY, SMALLEST_ENTRY = 1e150, 1e-150
# Of noise, whose fourth power enters the risk of shrinkage.  In the unit of a fit an estimate is all error above these,
# and all signal, or nothing, below.
LARGEST_SCALE, SMALLEST_SCALE = 1e70, 1e-70
# Up to 2^±20, a million either way, squares and sums of squares are far from overflow and underflow.
_ORDINARY_EXPONENT = 20
# Beyond 2²⁶ ≈ 1/√ε times the usual size, the square of a client wipes out all others in a common sum of squares.
_ABSURD_EXPONENT = 26
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


def binary_scale(size: float, *, ordinary: int = _ORDINARY_EXPONENT) -> float:
    """The power of two just above a size; 1 where its exponent is at most ``ordinary`` either way.

    Parameters
    ----------
    size : float
        Not negative; 0 and infinity have the scale 1.
    ordinary : int
        How far from 1 sizes may be whose powers and sums are in range as they are.

    Returns
    -------
    float
        An exact power of two.
    """
    exponent = math.frexp(size)[1] if 0.0 < size < math.inf else 0
    if abs(exponent) <= ordinary:
        return 1.0
    return math.ldexp(1.0, min(max(exponent, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))


def usual_size(found: FloatArray) -> float:
    """The median of clients' sizes (K,), the largest where most are 0.

    Parameters
    ----------
    found : ndarray, shape (K,)
        Not negative.

    Returns
    -------
    float
    """
    return float(np.median(found)) or float(found.max())


def absurd_exponents(found: FloatArray) -> NDArray[np.int64]:
    """By how many powers of two each client (K,) is larger than 2²⁶ times the usual size; 0 for all others.

    Beyond 2²⁶ ≈ 1/√ε times the usual size the square of a client wipes out all others in a common sum of squares.

    Parameters
    ----------
    found : ndarray, shape (K,)
        Sizes, finite and not negative.

    Returns
    -------
    ndarray of int, shape (K,)
    """
    beyond = np.frexp(found)[1] - math.frexp(usual_size(found))[1] - _ABSURD_EXPONENT
    return np.asarray(np.maximum(beyond, 0), dtype=np.int64)
