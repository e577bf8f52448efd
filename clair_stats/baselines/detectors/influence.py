"""Influence of training points on each other (Cook, 1977; Koh and Liang, ICML 2017; arXiv 1703.04730).

Up-weighting point j by a small share moves the fitted parameters by −H⁻¹g_j/n, with H the Hessian of the mean loss and
g_j the gradient of the loss of point j; the loss of point i then falls by g_iᵀH⁻¹g_j/n.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clair_stats.records import FloatArray

__all__ = ["fisher_influence", "pairwise_influence"]


def pairwise_influence(gradients: FloatArray, hessian: FloatArray) -> FloatArray:
    """How much training on point j lowers the loss of point i, to first order.

    Parameters
    ----------
    gradients : ndarray, shape (n, d)
        g_i at the fitted parameters.
    hessian : ndarray, shape (d, d)
        H of the mean training loss with its penalty, positive definite.

    Returns
    -------
    ndarray, shape (n, n)
        g_iᵀH⁻¹g_j/n, symmetric, on the scale of the loss.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a Hessian that is not positive definite: the point is no minimum, train longer or
        add a penalty.
    """
    points, parameters = gradients.shape
    if hessian.shape != (parameters, parameters):
        raise ValueError(f"hessian: shape {hessian.shape}; give ({parameters}, {parameters})")
    try:
        factor = cho_factor(hessian, lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError("hessian: not positive definite; train to a minimum, or add a penalty") from error
    return np.asarray(gradients @ cho_solve(factor, gradients.T) / points, dtype=np.float64)


def fisher_influence(gradients: FloatArray, damping: float) -> FloatArray:
    """Influence with the empirical Fisher matrix for the Hessian, where parameters are many and the loss not convex.

    H = GᵀG/n + λI with G the gradients as rows (Martens, JMLR 21, 2020, on what this leaves out); with the Gram matrix
    Q = GGᵀ the influence GH⁻¹Gᵀ/n is Q(Q/n + λI)⁻¹/n, so that no d × d matrix is formed.

    Parameters
    ----------
    gradients : ndarray, shape (n, d)
        g_i at the fitted parameters.
    damping : float
        λ over the mean eigenvalue tr(GᵀG/n)/min(n, d); positive.

    Returns
    -------
    ndarray, shape (n, n)
        g_iᵀH⁻¹g_j/n, symmetric, on the scale of the loss.

    Raises
    ------
    ValueError
        A damping that is not positive.
    """
    if not damping > 0.0:
        raise ValueError(f"damping: {damping}; give a positive number, the Fisher matrix alone has no inverse")
    n = len(gradients)
    values, vectors = np.linalg.eigh(gradients @ gradients.T / n)
    values = np.maximum(values, 0.0)
    added = damping * float(values.sum()) / min(gradients.shape)
    shares = values / (values + added) if added > 0.0 else values  # all gradients zero: nothing has influence
    return np.asarray((vectors * shares) @ vectors.T, dtype=np.float64)
