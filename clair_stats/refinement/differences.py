"""What the members' residuals tell of τ², the variance of their true differences off the subspace.

Σ_k‖P_{U⊥}R_k‖²/σ_k² is a multiple of χ² whose mean is linear in τ² (docs/derivations/intervals.md): limits for τ²
follow from its quantiles, and so do nodes of the posterior law under the prior dτ²/(σ² + τ²) on τ² ≥ 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtr, gammaincinv

from clair_stats.records import FloatArray

__all__ = ["DifferenceLaw"]

# Rounds of the fixed point between τ² and the degrees of freedom; equal scales need one.
_ROUNDS = 4
# Edges of the posterior's cells; narrow above, since large τ² decide the tails of intervals.
_EDGES = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 1.0])


@dataclass(frozen=True, eq=False)
class DifferenceLaw:
    """Q = Σ_k u_k‖P_{U⊥}R_k‖², u_k the inverse mean error variance of client k, of mean m₀ + m₁τ²."""

    energy: float  # Q
    without: float  # m₀
    slope: float  # m₁
    freedom: float  # (p − r)((n − 1)q − r)
    precisions: FloatArray  # (n,), u_k
    evenness: FloatArray  # (n,), (tr S)²/(d tr S²) of client k's error covariance S off the subspace, d = (p − r)q

    @property
    def known(self) -> bool:
        """Whether residuals tell anything: degrees of freedom are left, and errors are not 0."""
        return self.freedom > 0 and self.slope > 0 and bool(np.isfinite(self.precisions).all())

    def posterior(self) -> tuple[FloatArray, FloatArray]:
        """Nodes of τ² and their weights, two arrays (T,); τ² = ∞ where residuals tell nothing.

        Returns
        -------
        tuple of ndarray
            τ² on the squared scale of the estimates; weights of sum 1.
        """
        if not self.known:
            return np.array([np.inf]), np.ones(1)
        freedom = self._effective(np.zeros(1))[0]
        above = float(chdtr(freedom, self.energy / self.without * freedom)) if self.without > 0 else 1.0
        middle = (_EDGES[1:] + _EDGES[:-1]) / 2.0
        return self._quantiles(above * (1.0 - middle)), np.diff(_EDGES)

    def limits(self, tail: float) -> tuple[float, float]:
        """Confidence limits of τ², each missed with probability ``tail`` at most, cut at 0; (∞, ∞) if nothing is known.

        Parameters
        ----------
        tail : float
            In (0, 1/2).

        Returns
        -------
        tuple of float
            On the squared scale of the estimates.
        """
        if not self.known:
            return np.inf, np.inf
        low, high = self._quantiles(np.array([1.0 - tail, tail]))
        return float(low), float(high)

    def _quantiles(self, above: FloatArray) -> FloatArray:
        """τ² above which the fiducial law has these shares, 0 where negative."""
        found = np.full(above.shape, max((self.energy - self.without) / self.slope, 0.0))
        some = np.maximum(above, np.finfo(float).tiny)  # residuals that are far too small leave nothing above 0
        for _ in range(_ROUNDS):
            freedom = self._effective(found)
            quantile = np.maximum(2.0 * gammaincinv(freedom / 2.0, some), np.finfo(float).tiny)
            raised = self.energy * freedom / quantile - self.without
            found = np.where(above > 0, np.maximum(raised / self.slope, 0.0), 0.0)
        return found

    def _effective(self, spread: FloatArray) -> FloatArray:
        """Degrees of freedom of Q at each τ², by its first two moments (Satterthwaite)."""
        relative = spread[:, None] * self.precisions  # (T, n)
        first = np.sum(1.0 + relative, axis=1)
        second = np.sum(1.0 / self.evenness + 2.0 * relative + relative**2, axis=1)
        return np.asarray(self.freedom * first**2 / (self.precisions.size * second))
