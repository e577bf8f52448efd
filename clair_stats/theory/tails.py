"""χ² quantiles at tail probabilities given by their logarithm, also where the probability underflows.

The bounds are those of Laurent and Massart, Ann. Statist. 28(5), 2000.
"""

from __future__ import annotations

import numpy as np
from scipy import special

__all__ = ["lower_quantile", "upper_quantile"]

# Below this logarithm the probability itself is no normal double any more.
_SMALLEST = -700.0


def upper_quantile(log_tail: float, freedom: int) -> float:
    """x with P(χ² > x) ≤ e^log_tail: exact, or m + 2√(mt) + 2t, t = −log_tail, where the probability underflows.

    Laurent and Massart, "Adaptive estimation of a quadratic functional by model selection", Ann. Statist. 28(5), 2000.

    Parameters
    ----------
    log_tail : float
        Logarithm of a probability.
    freedom : int
        m, degrees of freedom.

    Returns
    -------
    float
        On the scale of χ², no smaller than the exact quantile.
    """
    if log_tail > _SMALLEST:
        return float(special.chdtri(freedom, np.exp(log_tail)))
    return float(freedom - 2 * log_tail + 2 * np.sqrt(-freedom * log_tail))


def lower_quantile(log_tail: float, freedom: int) -> float:
    """x with P(χ² < x) ≤ e^log_tail: exact, or (m − 2√(mt))₊ where the probability underflows (Laurent and Massart).

    Parameters
    ----------
    log_tail : float
        Logarithm of a probability.
    freedom : int
        m, degrees of freedom.

    Returns
    -------
    float
        On the scale of χ², no larger than the exact quantile.
    """
    if log_tail > _SMALLEST:
        return float(2.0 * special.gammaincinv(freedom / 2.0, np.exp(log_tail)))
    return float(max(0.0, freedom - 2 * np.sqrt(-freedom * log_tail)))
