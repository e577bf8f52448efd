"""Products with the scatter of sets of clients, and its leading directions, without the scatter itself.

The scatter of the set s is Σ_k w_sk (Y_k − c_km_s)(Y_k − c_km_s)ᵀ, Y_k = s_kX_k, m_s = Σ_k w_skc_kY_k/Σ_k w_skc_k².

See docs/derivations/joint_verdict.md, section 1.
"""

from __future__ import annotations

import numpy as np

from clair_stats.detection.joint.module import Module
from clair_stats.records import FloatArray

__all__ = ["centred_inner", "leading_directions", "scattered"]

# Up to this size the scatter is decomposed whole (10 ms); above, subspace iteration finds the leading directions.
_WHOLE = 128
_ITERATIONS = 8
_OVERSAMPLING = 8
_SEED = 20_261_126


def centred_inner(
    module: Module, scales: FloatArray, design: FloatArray, weights: FloatArray, bases: FloatArray
) -> FloatArray:
    """(Y_k − c_km_s)ᵀU_s of every client and set, for ``weights`` (N, K) and ``bases`` (N, p', r): (K, q', N, r).

    Parameters
    ----------
    module : Module
    scales : ndarray, shape (K,)
        s_k.
    design : ndarray, shape (K,)
        c_k.
    weights : ndarray, shape (N, K)
    bases : ndarray, shape (N, p', r)

    Returns
    -------
    ndarray, shape (K, q', N, r)
    """
    n_sets, size, rank = bases.shape
    inner = module.inner(np.ascontiguousarray(bases.transpose(1, 0, 2)).reshape(size, n_sets * rank))
    inner = (inner * scales[:, None, None]).reshape(*inner.shape[:2], n_sets, rank)
    mass = weights @ design**2
    share = np.where(mass[:, None] > 0, weights * design / np.where(mass > 0, mass, 1.0)[:, None], 0.0)
    mean = np.einsum("nk,kqnr->qnr", share, inner, optimize=True)
    return np.asarray(inner - design[:, None, None, None] * mean)


def scattered(
    module: Module, scales: FloatArray, design: FloatArray, weights: FloatArray, bases: FloatArray
) -> FloatArray:
    """The scatter of every set, ``weights`` (N, K), times its own ``bases`` (N, p', r).

    Parameters
    ----------
    module : Module
    scales : ndarray, shape (K,)
        s_k.
    design : ndarray, shape (K,)
        c_k.
    weights : ndarray, shape (N, K)
    bases : ndarray, shape (N, p', r)

    Returns
    -------
    ndarray, shape (N, p', r)
    """
    n_sets, size, rank = bases.shape
    inner = centred_inner(module, scales, design, weights, bases)
    # Σ_k w_k(Y_k − c_km)(…)ᵀU = Σ_k w_kY_k(Y_k − c_km)ᵀU, since Σ_k w_kc_k(Y_k − c_km) = 0.
    inner *= weights.T[:, None, :, None] * scales[:, None, None, None]
    product: FloatArray = module.outer(inner.reshape(*inner.shape[:2], n_sets * rank))
    return np.ascontiguousarray(product.reshape(size, n_sets, rank).transpose(1, 0, 2))


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

    def times(vectors: FloatArray) -> FloatArray:
        found: FloatArray = scattered(module, scales, design, weights[None], vectors[None])[0]
        return found

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
