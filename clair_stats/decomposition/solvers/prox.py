"""Proximal operators of the two norms by their definitions; the tests compare the fast versions with them.

Derived in docs/derivations/programs.md, section 1.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from clair_stats.decomposition.problem import tall_norms
from clair_stats.records import FloatArray

__all__ = ["block_shrink", "prox_centred_nuclear", "singular_value_threshold"]


def block_shrink(tall: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Prox of Σ_k t_k‖S_k‖_F: scale block k by (1 − t_k/‖·‖_F)_+; exact zeros where the norm is at most t_k.

    Parameters
    ----------
    tall : ndarray, shape (K, q, p)
    thresholds : ndarray, shape (K,)
        t_k, scale of the stack.

    Returns
    -------
    ndarray, shape (K, q, p)
    """
    norms = tall_norms(tall)
    factors = np.zeros_like(norms)
    kept = norms > thresholds
    factors[kept] = 1.0 - thresholds[kept] / norms[kept]
    shrunk: FloatArray = tall * factors[:, None, None]
    return shrunk


def singular_value_threshold(matrix: FloatArray, threshold: float) -> FloatArray:
    """Prox of t‖·‖_*: singular values soft-thresholded, by a full SVD.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)
    threshold : float
        t, scale of the matrix.

    Returns
    -------
    ndarray, shape (m, n)
    """
    try:
        left, values, right = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesdd")
    except np.linalg.LinAlgError:  # gesdd can fail to converge where the slower gesvd does not
        left, values, right = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    thresholded: FloatArray = (left * np.maximum(values - threshold, 0.0)) @ right
    return thresholded


def prox_centred_nuclear(tall: FloatArray, threshold: float) -> FloatArray:
    """Prox of t‖Z(I − Π)‖_*: ZΠ + SVT_t(Z(I − Π)) (theory.md section 2).

    Parameters
    ----------
    tall : ndarray, shape (K, q, p)
        Z.
    threshold : float
        t, scale of the stack.

    Returns
    -------
    ndarray, shape (K, q, p)
    """
    mean = tall.mean(axis=0)
    matrix = (tall - mean).reshape(-1, tall.shape[2])
    thresholded: FloatArray = mean + singular_value_threshold(matrix, threshold).reshape(tall.shape)
    return thresholded
