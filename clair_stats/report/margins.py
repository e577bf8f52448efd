"""How tables, pictures and files order clients, and how they show a number that may be missing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import FloatArray

__all__ = ["finite", "most_suspicious_first"]


def most_suspicious_first(scores: FloatArray, thresholds: FloatArray) -> NDArray[np.intp]:
    """Clients by their score in units of their threshold, largest first; a score above a threshold of 0 leads.

    Parameters
    ----------
    scores, thresholds : ndarray, shape (K,)

    Returns
    -------
    ndarray of int, shape (K,)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(thresholds > 0, scores / thresholds, np.where(scores > 0, np.inf, 0.0))
    return np.argsort(-ratio, kind="stable")


def finite(value: float) -> float | None:
    """The number, or None (JSON's null) where it is not finite.

    Parameters
    ----------
    value : float

    Returns
    -------
    float or None
    """
    return value if math.isfinite(value) else None
