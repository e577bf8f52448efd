"""Theorem 5: what refinement gains over local fine-tuning, and what it costs (theory.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.linalg import block_norms, project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["OracleGain", "oracle_gain", "refinement_error", "refinement_heterogeneity", "subspace_cost"]


@dataclass(frozen=True, eq=False)
class OracleGain:
    """Risks of every benign client at the oracle (U*, C); squared Frobenius scale."""

    gain: FloatArray  # (|C|,) local_risk − oracle_risk
    local_risk: FloatArray  # (|C|,) σ_k² p q
    oracle_risk: FloatArray  # (|C|,) σ_k² r q + (p − r) q Σ_j w_j² σ_j² + heterogeneity
    heterogeneity: FloatArray  # (|C|,) ‖P_{U⊥}(Σ_j w_j Θ*_j − Θ*_k)‖_F²
    weights: FloatArray  # (|C|,) sums to 1

    def beats_local(self, cost: ArrayLike) -> BoolArray:
        """Sign rule: √oracle_risk + cost < √local_risk, client by client; ``cost`` is a root mean square.

        Parameters
        ----------
        cost : array_like, shape (|C|,)
            √E[cost_k²] of :func:`subspace_cost`, scale of the estimates.

        Returns
        -------
        bool ndarray, shape (|C|,)
        """
        return np.asarray(np.sqrt(self.oracle_risk) + np.asarray(cost) < np.sqrt(self.local_risk))


def oracle_gain(
    noise_scales: ArrayLike,
    *,
    shape: tuple[int, int],
    rank: int,
    heterogeneity: ArrayLike = 0.0,
    weights: ArrayLike | None = None,
) -> OracleGain:
    """Oracle risks and gain of Theorem 5 for i.i.d. noise of standard deviation σ_k.

    Parameters
    ----------
    noise_scales : array_like, shape (|C|,)
        σ_k of the collaborating clients.
    shape : (int, int)
        (p, q).
    rank : int
        r.
    heterogeneity : array_like, shape (|C|,) or scalar
        ‖P_{U⊥}(Θ̄*_C − Θ*_k)‖_F², see :func:`refinement_heterogeneity`.
    weights : array_like, shape (|C|,), optional
        w_k of the average off the subspace; ∝ 1/σ_k² when not given, which minimises the oracle risk of every client.

    Returns
    -------
    OracleGain

    Raises
    ------
    ValueError
        Scales that are not positive, weights that are negative or all 0, a rank outside 0 … p.

    Notes
    -----
    theory.md section 5; errors are independent across clients.

    Examples
    --------
    >>> found = oracle_gain([1.0] * 4, shape=(3, 2), rank=1)
    >>> [float(risk[0]) for risk in (found.local_risk, found.oracle_risk, found.gain)]  # pq, rq + (p − r)q/4
    [6.0, 3.0, 3.0]
    """
    sigma = np.atleast_1d(np.asarray(noise_scales, dtype=np.float64))
    p, q = shape
    if sigma.ndim != 1 or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError("noise_scales: give one positive standard deviation per collaborating client")
    if not 0 <= rank <= p or p < 1 or q < 1:
        raise ValueError(f"shape, rank: ({p}, {q}) and {rank}; need p, q ≥ 1 and 0 ≤ r ≤ p")
    raw = 1 / sigma**2 if weights is None else np.asarray(weights, dtype=np.float64)
    if raw.shape != sigma.shape or not (np.isfinite(raw) & (raw >= 0)).all() or raw.sum() <= 0:
        raise ValueError(f"weights: give {sigma.size} non-negative numbers, not all 0")
    w = raw / raw.sum()
    bias = np.broadcast_to(np.asarray(heterogeneity, dtype=np.float64), sigma.shape).copy()
    local = sigma**2 * p * q
    oracle = sigma**2 * rank * q + (p - rank) * q * float(np.sum(w**2 * sigma**2)) + bias
    return OracleGain(gain=local - oracle, local_risk=local, oracle_risk=oracle, heterogeneity=bias, weights=w)


def refinement_heterogeneity(targets: ArrayLike, *, basis: FloatArray, weights: ArrayLike | None = None) -> FloatArray:
    """‖P_{U⊥}(Θ̄*_C − Θ*_k)‖_F² of every collaborating client.

    Parameters
    ----------
    targets : array_like, shape (|C|, p, q)
        Θ*_k.
    basis : ndarray, shape (p, r)
        U*, orthonormal.
    weights : array_like, shape (|C|,), optional
        w_k of the mean, any positive multiple; equal when not given.

    Returns
    -------
    ndarray, shape (|C|,)
        On the squared scale of the targets.

    Raises
    ------
    ValueError
        Shapes that do not fit each other.

    Notes
    -----
    theory.md section 5, Theorem 5.

    Examples
    --------
    >>> refinement_heterogeneity([[[5.0], [1.0]], [[0.0], [3.0]]], basis=np.eye(2)[:, :1]).tolist()
    [1.0, 1.0]
    """
    truth = np.asarray(targets, dtype=np.float64)
    w = np.ones(truth.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    centre = np.einsum("k,kpq->pq", w / w.sum(), truth)
    return np.asarray(block_norms(project_off(basis, centre - truth)) ** 2, dtype=np.float64)


def refinement_error(
    targets: FloatArray, errors: FloatArray, *, basis: FloatArray, weights: ArrayLike | None = None
) -> FloatArray:
    """Right-hand side of the identity of Theorem 5: P_U E_k + P_{U⊥}Ē_C + P_{U⊥}(Θ̄*_C − Θ*_k).

    Parameters
    ----------
    targets, errors : ndarray, shape (|C|, p, q)
        Θ*_k and E_k of the collaborating clients.
    basis : ndarray, shape (p, r)
        U*, orthonormal.
    weights : array_like, shape (|C|,), optional
        w_k of the means, any positive multiple; equal when not given.

    Returns
    -------
    ndarray, shape (|C|, p, q)
        Θ̃_k − Θ*_k at Û = U*, Ĉ = C, on the scale of the targets.

    Raises
    ------
    ValueError
        Shapes that do not fit each other.

    Notes
    -----
    theory.md section 5, Theorem 5.

    Examples
    --------
    >>> errors = np.array([[[2.0], [4.0]], [[0.0], [2.0]]])
    >>> refinement_error(np.zeros((2, 2, 1)), errors, basis=np.eye(2)[:, :1])[:, :, 0].tolist()
    [[2.0, 3.0], [0.0, 3.0]]
    """
    w = np.ones(targets.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / w.sum()
    inside = errors - project_off(basis, errors)
    mean_error = np.einsum("k,kpq->pq", w, errors)
    mean_target = np.einsum("k,kpq->pq", w, targets)
    return np.asarray(inside + project_off(basis, mean_error + mean_target - targets))


def subspace_cost(
    estimates: ArrayLike, *, center: FloatArray, basis: FloatArray, estimated_basis: FloatArray
) -> FloatArray:
    """‖P_Û − P_U‖_op ‖X_k − X̄‖_F: the most that estimating the subspace can move client k.

    Parameters
    ----------
    estimates : array_like, shape (K, p, q)
        X_k.
    center : ndarray, shape (p, q)
        X̄.
    basis, estimated_basis : ndarray, shape (p, r)
        U* and Û, orthonormal.

    Returns
    -------
    ndarray, shape (K,)
        On the scale of the estimates.

    Raises
    ------
    ValueError
        Shapes that do not fit each other.

    Notes
    -----
    theory.md section 5, Theorem 5.

    Examples
    --------
    >>> first, second = np.eye(2)[:, :1], np.eye(2)[:, 1:]
    >>> subspace_cost([[[3.0], [4.0]]], center=np.zeros((2, 1)), basis=first, estimated_basis=second).tolist()
    [5.0]
    """
    seen = np.asarray(estimates, dtype=np.float64)
    difference = estimated_basis @ estimated_basis.T - basis @ basis.T
    return np.asarray(np.linalg.norm(difference, 2) * block_norms(seen - center), dtype=np.float64)
