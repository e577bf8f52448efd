"""The second proximal step of program (B): block-sparse part and bounded residual taken out together.

For a stack Y it solves  min Σ_k t_k‖S_k‖_F + ½‖Y − S − N‖_F²  subject to ‖N‖_F ≤ ε.  At the solution T = Y − S − N is
T_k = Y_k·min(1/(1 + α), t_k/‖Y_k‖_F) and N = αT, where α ≥ 0 is 0 or solves α‖T(α)‖_F = ε: one increasing scalar
equation in the K block norms, whatever p and q.
"""

from __future__ import annotations

import numpy as np

from clair_stats.decomposition.prox import tall_norms
from clair_stats.records import FloatArray

__all__ = ["residual_multiplier", "shrink_and_project"]


def residual_multiplier(norms: FloatArray, thresholds: FloatArray, radius: float) -> float:
    """α of the module's equation; infinite when Y lies inside the ball, so that N = Y and S = 0.

    With β = 1 + α the squared equation is (β − 1)²(Σ_{k free} n_k²/β² + Σ_{k capped} t_k²) = ε², where client k is free
    when n_k/β ≤ t_k.  The capped set shrinks as β grows, so the break points n_k/t_k bracket the root and the equation is
    solved inside one bracket by bisection safeguarded to rounding.
    """
    if float(np.linalg.norm(norms)) <= radius:
        return float("inf")

    def excess(beta: float) -> float:
        return (beta - 1.0) * float(np.linalg.norm(np.minimum(norms / beta, thresholds))) - radius

    low, high = 1.0, 2.0
    while excess(high) < 0.0:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if excess(middle) < 0.0:
            low = middle
        else:
            high = middle
    return low - 1.0


def shrink_and_project(
    tall: FloatArray, thresholds: FloatArray, radius: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """S, N and the block norms of S, for a stack (K, q, p)."""
    norms = tall_norms(tall)
    alpha = residual_multiplier(norms, thresholds, radius)
    if np.isinf(alpha):
        return np.zeros_like(tall), tall.copy(), np.zeros_like(norms)
    with np.errstate(divide="ignore"):
        kept = np.minimum(1.0 / (1.0 + alpha), np.where(norms > 0, thresholds / norms, np.inf))
    noise = tall * (alpha * kept)[:, None, None]
    factors = np.where(kept < 1.0 / (1.0 + alpha), 1.0 - (1.0 + alpha) * kept, 0.0)
    return tall * factors[:, None, None], noise, factors * norms
