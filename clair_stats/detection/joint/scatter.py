"""Products with the scatter of sets of clients, and its leading directions, without the scatter itself.

The scatter of the set s is Σ_k w_sk (Y_k − c_km_s)(Y_k − c_km_s)ᵀ, Y_k = s_kX_k, m_s = Σ_k w_skc_kY_k/Σ_k w_skc_k².

See docs/derivations/joint_verdict.md, section 1.
"""

from __future__ import annotations

import numpy as np

from clair_stats.detection.joint.module import Module
from clair_stats.records import FloatArray

__all__ = ["leading_directions", "shares_of"]

# Up to this size the scatter is decomposed whole (10 ms); above, subspace iteration finds the leading directions.
_WHOLE = 128
_ITERATIONS = 8
_OVERSAMPLING = 8
_SEED = 20_261_126


def shares_of(weights: FloatArray, design: FloatArray) -> FloatArray:
    """Weights (N, K) with which the clients enter the mean m_s of every set; 0 without a common component.

    Parameters
    ----------
    weights : ndarray, shape (N, K)
        w_sk.
    design : ndarray, shape (K,)
        c_k.

    Returns
    -------
    ndarray, shape (N, K)
    """
    mass = weights @ design**2
    return np.where(mass[:, None] > 0, weights * design / np.where(mass > 0, mass, 1.0)[:, None], 0.0)


def leading_directions(
    module: Module, scales: FloatArray, design: FloatArray, weights: FloatArray, count: int
) -> FloatArray:
    """Leading ``count`` eigenvectors (p', count) of the scatter of one set, ``weights`` (K,).

    Parameters
    ----------
    module : Module
    scales : ndarray, shape (K,)
        s_k.
    design : ndarray, shape (K,)
        c_k.
    weights : ndarray, shape (K,)
    count : int

    Returns
    -------
    ndarray, shape (p', count)
        Orthonormal columns.
    """
    size = module.shape[1]
    shares = shares_of(weights[None], design)

    def times(vectors: FloatArray) -> FloatArray:
        return np.asarray(module.scattered(scales, design, weights[None], shares, vectors[None])[0])

    if size <= max(_WHOLE, 2 * count):
        scatter = times(np.eye(size))
        return np.ascontiguousarray(np.linalg.eigh((scatter + scatter.T) / 2.0)[1][:, ::-1][:, :count])
    start = np.random.default_rng(_SEED).standard_normal((size, min(count + _OVERSAMPLING, size)))
    basis = np.linalg.qr(start)[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(times(basis))[0]
    inside = basis.T @ times(basis)
    vectors = np.linalg.eigh((inside + inside.T) / 2.0)[1]
    return np.ascontiguousarray(basis @ vectors[:, ::-1][:, :count])
