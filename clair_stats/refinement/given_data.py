"""The law of a refined estimate's error given the data, at given variances of the members' true differences.

A refined estimate is X_k + D_k with a D_k that is read off the data, so its error is E_k + D_k, and only E_k is random.
Where true differences off the subspace are normal, E_k given the residuals of the members' fit is normal, with mean and
covariance of linear prediction (docs/derivations/intervals.md).  However D_k came about, this law stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.linalg import project_off
from clair_stats.records import FloatArray
from clair_stats.refinement.members_fit import MembersFit

__all__ = ["ErrorGivenData", "error_given_data"]

# Combinations of columns whose residual has less than this share of the largest variance: the client alone fits them.
_ALONE = 1e-10


@dataclass(frozen=True, eq=False)
class ErrorGivenData:
    """vec E_k given the residuals: N(vec mean, G_k ⊗ Σ_k − Σ_ac gain_ac (l_al_aᵀ) ⊗ (s_cs_cᵀ)), at each of T values."""

    mean: FloatArray  # (T, p, q)
    left: FloatArray | None  # (p, a), l_a; None: orthonormal columns that span what is off the basis
    right: FloatArray  # (T, q, c), s_c
    gains: FloatArray  # (T, a, c); (T, 1, c) where left is None
    basis: FloatArray  # (p, r)

    def told_of_entries(self, back: FloatArray | None = None, aside: FloatArray | None = None) -> FloatArray:
        """By how much the data lower the variance of the entries of back·E_k·aside, (T, p, q).

        Parameters
        ----------
        back : ndarray, shape (p, p), optional
        aside : ndarray, shape (q, q), optional

        Returns
        -------
        ndarray, shape (T, p, q)
        """
        right = (self.right if aside is None else aside.T @ self.right) ** 2
        if self.left is None:
            off = np.maximum(1.0 - np.sum(self.basis**2, axis=1), 0.0)
            return np.asarray(off[:, None] * (self.gains @ right.swapaxes(1, 2)))
        left = (self.left if back is None else back @ self.left) ** 2
        return np.asarray(left @ self.gains @ right.swapaxes(1, 2))

    def told_of_functionals(self, functionals: FloatArray) -> FloatArray:
        """The same of ⟨L_i, E_k⟩, (T, m).

        Parameters
        ----------
        functionals : ndarray, shape (m, p, q)

        Returns
        -------
        ndarray, shape (T, m)
        """
        seen = project_off(self.basis, functionals) if self.left is None else self.left.T @ functionals
        squares = (seen @ self.right[:, None]) ** 2  # (T, m, a, c)
        return np.asarray(np.sum(squares * self.gains[:, None], axis=(2, 3)))


def error_given_data(fit: MembersFit, place: int, spreads: FloatArray) -> ErrorGivenData:
    """A member's error given the residuals, at every variance of true differences.

    Parameters
    ----------
    fit : MembersFit
    place : int
        Of the member in the fit.
    spreads : ndarray, shape (T,)
        τ², on the squared scale of the estimates; where ∞ the residuals tell nothing of the error.

    Returns
    -------
    ErrorGivenData
    """
    law, residual = fit.residual_laws[place], fit.residuals[place]
    finite = np.isfinite(spreads)[:, None, None]
    spread = np.where(finite, spreads[:, None, None], 0.0)
    values, vectors = np.linalg.eigh(law.own + law.others + spread * law.differences)
    values = values[:, None]
    used = finite & (values > _ALONE * values[..., -1:])
    white = np.divide(vectors, np.sqrt(np.where(used, values, 1.0)), out=np.zeros_like(vectors), where=used)
    if fit.axes is None:
        right = law.passed @ white
        gains = np.ones((spreads.size, 1, residual.shape[1]))
        return ErrorGivenData((residual @ white) @ right.swapaxes(1, 2), None, right, gains, fit.basis)
    shares, turn = np.linalg.eigh(white.swapaxes(1, 2) @ law.own @ white)  # of the own error in its residual
    white = white @ turn
    frame, sizes = fit.axes[0][place], fit.axes[1][place]
    gains = 1.0 / np.maximum(1.0 + (sizes[:, None] - 1.0) * shares[:, None], _ALONE)
    left, right = fit.row_covariance(place) @ frame, law.passed @ white
    mean = left @ (gains * (frame.T @ residual @ white)) @ right.swapaxes(1, 2)
    return ErrorGivenData(mean, left, right, gains, fit.basis)
