"""Proximal operators of the two norms, in the layout the solvers iterate in, each with a plain twin.

Solvers hold a stack as an array (K, q, p), blocks transposed ("tall"): then the Gram matrix of X is one product of
contiguous arrays, every block is one contiguous piece of memory, and the mean block is one reduction.  Measured at
(p, q, K) = (256, 64, 100) this makes a Gram singular value thresholding cost 0.13 economy SVDs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from clair_stats.records import FloatArray

__all__ = [
    "Thresholded",
    "block_shrink",
    "from_tall",
    "singular_value_threshold",
    "singular_value_threshold_naive",
    "tall_norms",
    "to_tall",
]

# The Gram matrix carries singular values with absolute error ~ machine epsilon · σ_1²/σ, so thresholding at t is
# accurate to about ε(σ_1/t) σ_1.  Below this ratio t/σ_1 the error would reach 1e-10 σ_1 and the SVD takes over.
_GRAM_RATIO = 2e-6


@dataclass(frozen=True, eq=False)
class Thresholded:
    """Result of a singular value thresholding."""

    matrix: FloatArray  # (n, p)
    nuclear_norm: float  # of `matrix`
    rank: int


def to_tall(blocks: FloatArray) -> FloatArray:
    """(K, p, q) to the contiguous array (K, q, p)."""
    return np.ascontiguousarray(blocks.transpose(0, 2, 1))


def from_tall(tall: FloatArray) -> FloatArray:
    """Inverse of :func:`to_tall`."""
    return np.ascontiguousarray(tall.transpose(0, 2, 1))


def tall_norms(tall: FloatArray) -> FloatArray:
    """Frobenius norm of every block of a (K, q, p) stack whose entries are of moderate size, shape (K,)."""
    flat = tall.reshape(tall.shape[0], -1)
    return np.asarray(np.sqrt(np.einsum("ki,ki->k", flat, flat)), dtype=np.float64)


def block_shrink(tall: FloatArray, thresholds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Prox of Σ_k t_k‖S_k‖_F: scale block k by (1 − t_k/‖·‖_F)_+.

    Returns the shrunk stack (exact zeros where the norm is at most t_k) and the norms of its blocks.
    """
    norms = tall_norms(tall)
    factors = np.zeros_like(norms)
    kept = norms > thresholds
    factors[kept] = 1.0 - thresholds[kept] / norms[kept]
    return tall * factors[:, None, None], factors * norms


def singular_value_threshold_naive(matrix: FloatArray, threshold: float) -> Thresholded:
    """SVT_t by a full SVD: the definition, kept as the twin and as the fallback for very small thresholds."""
    try:
        left, values, right = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    except np.linalg.LinAlgError:  # gesdd can fail to converge where the slower gesvd does not
        left, values, right = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    shrunk = np.maximum(values - threshold, 0.0)
    rank = int(np.count_nonzero(shrunk))
    return Thresholded((left[:, :rank] * shrunk[:rank]) @ right[:rank], float(shrunk.sum()), rank)


def singular_value_threshold(matrix: FloatArray, threshold: float) -> Thresholded:
    """SVT_t of an n × p matrix (n ≥ p pays off) through the eigenvectors of its p × p Gram matrix."""
    gram = matrix.T @ matrix
    values, vectors = np.linalg.eigh(gram)
    top = float(values[-1])
    if top <= threshold * threshold:
        return Thresholded(np.zeros_like(matrix), 0.0, 0)
    if threshold < _GRAM_RATIO * np.sqrt(top):
        return singular_value_threshold_naive(matrix, threshold)
    kept = values > threshold * threshold
    singular_values = np.sqrt(values[kept])
    basis = vectors[:, kept]
    shrunk = singular_values - threshold
    factors = shrunk / singular_values
    rank = basis.shape[1]
    if 2 * rank < matrix.shape[1]:
        thresholded = ((matrix @ basis) * factors) @ basis.T
    else:
        thresholded = matrix @ ((basis * factors) @ basis.T)
    return Thresholded(thresholded, float(shrunk.sum()), rank)
