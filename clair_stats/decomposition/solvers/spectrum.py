"""Singular value thresholding inside an iteration: the leading spectrum, followed from one step to the next.

Once the low-rank part has settled on a rank r well below p, a full eigenvalue problem at each step is waste.  The
tracker keeps a basis a few vectors wider than r, turns it by one block power step per call and diagonalises inside
it: three products of the stack with a thin matrix.  Whenever the smallest value it follows is above the threshold,
the rank has outgrown the basis and the full Gram matrix decides again.  What the tracker might miss cannot go
unnoticed: the dual point it leaves has then an operator norm above one, which the certificate measures in full.

Norms and their accuracy: docs/derivations/programs.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from clair_stats.records import FloatArray

__all__ = ["LeadingPart", "SpectrumTracker"]

# The Gram matrix carries singular values with absolute error ~ machine epsilon · σ_1²/σ, so thresholding at t is
# accurate to about ε(σ_1/t) σ_1.  Below this ratio t/σ_1 the error would reach 1e-10 σ_1 and a QR takes over.
_GRAM_RATIO = 2e-6
_SPARE = 6  # vectors beyond the rank; fewer make the rank test unreliable, more cost time


@dataclass(frozen=True, eq=False)
class LeadingPart:
    """SVT of an n × p matrix in factored form: left · diag(shrunk/values) · basisᵀ."""

    left: FloatArray  # (n, r), the matrix times the basis (not normalised)
    basis: FloatArray  # (p, r), orthonormal
    values: FloatArray  # (r,), singular values, all above the threshold
    shrunk: FloatArray  # (r,), values minus the threshold

    @property
    def rank(self) -> int:
        """R."""
        return int(self.basis.shape[1])

    @property
    def nuclear_norm(self) -> float:
        """Nuclear norm of the thresholded matrix."""
        return float(self.shrunk.sum())

    def scaled_left(self, factor: float = 1.0) -> FloatArray:
        """``factor`` · left · diag(shrunk/values), so that the thresholded matrix is this times basisᵀ.

        Parameters
        ----------
        factor : float

        Returns
        -------
        ndarray, shape (qK, m)
        """
        scaled: FloatArray = self.left * (factor * self.shrunk / self.values)
        return scaled


class SpectrumTracker:
    """Thresholds a slowly changing stack (K, q, p), with or without taking its mean block out first.

    Parameters
    ----------
    centred : bool
        Threshold X(I − Π) instead of X.  The centred stack is never formed.
    partial : bool
        Allow the tracked basis; False keeps to the full Gram matrix (the plain version).
    """

    def __init__(self, *, centred: bool, partial: bool = True) -> None:
        self._centred = centred
        self._partial = partial
        self._basis: FloatArray | None = None  # (p, r + spare) from the previous call
        self.n_full = 0  # calls decided by the full Gram matrix

    def distrust(self) -> None:
        """Decide the next call by the full Gram matrix."""
        self._basis = None

    def threshold(self, tall: FloatArray, mean: FloatArray | None, threshold: float) -> LeadingPart:
        """SVT of the (centred) stack; ``mean`` is its mean block (q, p), None when not centred.

        Parameters
        ----------
        tall : ndarray, shape (K, q, p)
        mean : ndarray, shape (q, p), or None
        threshold : float
            t, scale of the stack.

        Returns
        -------
        LeadingPart
            Singular values above t with their vectors, and the thresholded values.
        """
        matrix = tall.reshape(-1, tall.shape[2])
        basis = self._basis
        if basis is not None:
            values, vectors, left = self._follow(tall, matrix, mean, basis)
            if values[0] < threshold or basis.shape[1] == matrix.shape[1]:
                return self._keep(values, vectors, left, threshold)
        return self._full(tall, matrix, mean, threshold)

    def _product(self, tall: FloatArray, matrix: FloatArray, mean: FloatArray | None, basis: FloatArray) -> FloatArray:
        product: FloatArray = matrix @ basis
        if mean is not None:
            blocks = product.reshape(tall.shape[0], tall.shape[1], -1)
            blocks -= mean @ basis
        return product

    def _follow(
        self, tall: FloatArray, matrix: FloatArray, mean: FloatArray | None, basis: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """One block power step and a Rayleigh–Ritz step; values ascending."""
        product = self._product(tall, matrix, mean, basis)
        turned, _ = np.linalg.qr(matrix.T @ product)
        product = self._product(tall, matrix, mean, turned)
        squared, rotation = np.linalg.eigh(product.T @ product)
        return np.sqrt(np.maximum(squared, 0.0)), turned @ rotation, product @ rotation

    def _keep(self, values: FloatArray, vectors: FloatArray, left: FloatArray, threshold: float) -> LeadingPart:
        rank = int(np.count_nonzero(values > threshold))
        first = len(values) - rank
        width = min(rank + _SPARE, len(values))
        self._basis = vectors[:, len(values) - width :]
        if width < rank + _SPARE and width < vectors.shape[0]:
            self._basis = None  # the rank grew into the spare vectors: take fresh ones from the full spectrum
        return LeadingPart(left[:, first:], vectors[:, first:], values[first:], values[first:] - threshold)

    def _full(self, tall: FloatArray, matrix: FloatArray, mean: FloatArray | None, threshold: float) -> LeadingPart:
        self.n_full += 1
        gram = matrix.T @ matrix
        if mean is not None:
            gram -= tall.shape[0] * (mean.T @ mean)
        squared, vectors = np.linalg.eigh(gram)
        values = np.sqrt(np.maximum(squared, 0.0))
        if threshold < _GRAM_RATIO * values[-1]:
            # Squaring has lost the values near the threshold: take them from the triangular factor instead.
            centred = matrix if mean is None else (tall - mean).reshape(matrix.shape)
            triangular = scipy.linalg.qr(centred, mode="r", check_finite=False)[0][: matrix.shape[1]]
            _, values, right = np.linalg.svd(triangular, full_matrices=True)
            values = np.concatenate([values, np.zeros(right.shape[0] - len(values))])[::-1]
            vectors = right[::-1].T
        rank = int(np.count_nonzero(values > threshold))
        first = len(values) - rank
        width = rank + _SPARE
        self._basis = vectors[:, len(values) - width :] if self._partial and 3 * width < len(values) else None
        basis = vectors[:, first:]
        left = self._product(tall, matrix, mean, basis)
        return LeadingPart(left, basis, values[first:], values[first:] - threshold)
