"""Whitening: a scale on which the errors of local estimates have nearly equal variance in every direction.

X_k → W_R X_k W_S maps the model of theory.md section 1 onto itself: M* → W_R M* W_S, U* → an orthonormal basis of
W_R span(U*), and contaminated stays contaminated.  With W_R, W_S the inverse square roots of the pooled row and column
covariances the errors become as close to i.i.d. entries as one pair of matrices for all clients can make them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clair_stats.local_fits.fit import LocalFit
from clair_stats.records import FloatArray

__all__ = ["Whitening", "pooled_whitening"]


@dataclass(frozen=True, eq=False)
class Whitening:
    """A pair of linear maps common to all clients; directions without any error are left out of the whitened blocks."""

    left: FloatArray  # (p', p), W_R
    left_inverse: FloatArray  # (p, p')
    right: FloatArray  # (q, q'), W_S
    right_inverse: FloatArray  # (q', q)
    noise_scales: FloatArray  # (K,), σ_k of the whitened estimates

    def apply(self, blocks: FloatArray) -> FloatArray:
        """Whitened blocks W_R X_k W_S, shape (K, p', q').

        Parameters
        ----------
        blocks : ndarray, shape (K, p, q)
            Scale of the local fits.

        Returns
        -------
        ndarray, shape (K, p', q')
            Scale on which errors have the variances of ``noise_scales``.
        """
        whitened: FloatArray = self.left @ blocks @ self.right
        return whitened

    def undo(self, whitened: FloatArray, *, blocks: FloatArray) -> FloatArray:
        """Blocks (K, p, q) whose whitened form is ``whitened``; what whitening left out is taken from ``blocks``.

        Parameters
        ----------
        whitened : ndarray, shape (K, p', q')
        blocks : ndarray, shape (K, p, q)
            Scale of the local fits.

        Returns
        -------
        ndarray, shape (K, p, q)
            Scale of the local fits.
        """
        change: FloatArray = self.left_inverse @ (whitened - self.apply(blocks)) @ self.right_inverse
        return blocks + change


def _roots(covariance: FloatArray, relative_tolerance: float) -> tuple[FloatArray, FloatArray]:
    """Inverse square root (d', d) and square root (d, d') on the directions that carry error."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
    kept = values > relative_tolerance * float(values[-1])
    roots = np.sqrt(values[kept])
    return (vectors[:, kept] / roots).T, vectors[:, kept] * roots


def pooled_whitening(fits: Sequence[LocalFit], *, relative_tolerance: float = 1e-6) -> Whitening:
    """Whitening by the average error covariance of all clients, each first brought to unit average variance.

    Parameters
    ----------
    fits : sequence of LocalFit
        One per client.  Contaminated clients enter too: their covariance describes their error, not their target.
    relative_tolerance : float
        Directions with pooled variance below this multiple of the largest are left out (a pixel that is 0 for everybody
        has a coefficient without error).

    Returns
    -------
    Whitening

    Raises
    ------
    ValueError
        No fits, or a client without error.
    """
    if not fits:
        raise ValueError("whitening: no local fits given; give one per client")
    for k, fit in enumerate(fits):
        if not fit.noise_scale > 0.0:
            raise ValueError(f"client {k}: the fit has no error to whiten (noise_scale 0); leave whitening out")
    row = (
        np.mean([fit.row_covariance / np.trace(fit.row_covariance) for fit in fits], axis=0) * fits[0].estimate.shape[0]
    )
    column = np.mean([fit.column_covariance for fit in fits], axis=0)
    left, left_inverse = _roots(row, relative_tolerance)
    right, right_inverse = (m.T for m in _roots(column, relative_tolerance))
    sizes = [
        float(np.trace(left @ fit.row_covariance @ left.T) * np.trace(right.T @ fit.column_covariance @ right))
        for fit in fits
    ]
    entries = left.shape[0] * right.shape[1]
    return Whitening(
        left=left,
        left_inverse=left_inverse,
        right=right,
        right_inverse=right_inverse,
        noise_scales=np.array([math.sqrt(size / entries) for size in sizes]),
    )
