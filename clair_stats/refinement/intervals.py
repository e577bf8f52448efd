"""Confidence intervals for refined estimates, coefficients and the common component (docs/derivations/intervals.md).

What is averaged or shrunk carries the error of the fit: off the subspace a refined estimate has the column covariance
S_k of :func:`column_covariances`, inside it the client's own error.  Everything is on the event that the members are
the collaborative set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "Differences",
    "Intervals",
    "column_covariances",
    "entry_errors",
    "functional_errors",
    "normal_intervals",
    "swapped",
]

Differences = Literal["none", "random"]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Estimates with the ends of their confidence intervals; all arrays of one shape."""

    estimate: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float
    simultaneous: bool  # whether all intervals hold together at the level, or each by itself


def swapped(found: Intervals) -> Intervals:
    """The last two axes of every array exchanged.

    Parameters
    ----------
    found : Intervals

    Returns
    -------
    Intervals
    """
    estimate, error, lower, upper = (
        np.ascontiguousarray(np.swapaxes(part, -1, -2))
        for part in (found.estimate, found.standard_error, found.lower, found.upper)
    )
    return Intervals(estimate, error, lower, upper, found.level, found.simultaneous)


def normal_intervals(estimate: FloatArray, error: FloatArray, level: float, *, simultaneous: bool) -> Intervals:
    """Estimate ± z × standard error; together by Šidák's inequality, which holds for any correlation of normal errors.

    Parameters
    ----------
    estimate, error : array, one shape
    level : float
        Confidence, in (0, 1).
    simultaneous : bool

    Returns
    -------
    Intervals
    """
    each = level ** (1.0 / estimate.size) if simultaneous else level
    half = -float(special.ndtri((1.0 - each) / 2.0)) * error
    return Intervals(estimate, error, estimate - half, estimate + half, level, simultaneous)


def column_covariances(
    blocks: FloatArray,
    members: BoolArray,
    scales: FloatArray,
    weights: FloatArray,
    basis: FloatArray,
    kept: FloatArray | None = None,
    *,
    differences: Differences = "none",
) -> FloatArray:
    """S_k, the covariance of one row of P_{U⊥}(Θ̃_k − Θ*_k), (K, q, q), to first order in the error of the fit.

    With B_j = Uᵀ(X_j − X̄), G = Σw_jB_jB_jᵀ and π_j = w_j/Σw, averaging has Σ_jσ_j²C_jᵀC_j, C_j = π_jI + w_jB_jᵀG⁻¹B_k;
    for w_j = 1/σ_j² that is I/Σσ_j⁻² + B_kᵀG⁻¹B_k, and for equal scales σ²(I/n + V_kV_kᵀ).  Shrinkage by the weight s
    has (1 − s)²σ_k²I + s²(τ²I + Σ_{j≠k}(σ_j² + τ²)C_jᵀC_j), the sums without k, where true differences off the subspace
    are independent with variance τ² per entry.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
    members : array of bool, shape (K,)
    scales, weights : arrays, shape (K,)
        σ_k, and the weights of the mean.
    basis : array, shape (p, r)
    kept : array, shape (K,), optional
        1 − s off the subspace; None: the members were averaged.
    differences : {"none", "random"}
        Whether τ² is 0, or estimated by :func:`difference_variance`.

    Returns
    -------
    array, shape (K, q, q)
        σ_k²I for clients outside the members.
    """
    n_clients, _, q = blocks.shape
    result = scales[:, None, None] ** 2 * np.broadcast_to(np.eye(q), (n_clients, q, q))
    chosen = np.flatnonzero(members)
    if chosen.size < 2:
        return result
    spread = difference_variance(blocks, members, scales, weights, basis) if differences == "random" else 0.0
    result = result.copy()
    for k in chosen:
        others = chosen if kept is None else chosen[chosen != k]
        error = _fit_covariance(blocks, int(k), others, scales**2 + spread, weights, basis)
        share = 1.0 if kept is None else 1.0 - float(kept[k])
        own = (1.0 - share) ** 2 * scales[k] ** 2 + share**2 * spread
        result[k] = own * np.eye(q) + share**2 * error
    return result


def _fit_covariance(
    blocks: FloatArray, k: int, others: np.ndarray, variances: FloatArray, weights: FloatArray, basis: FloatArray
) -> FloatArray:
    """Σ_j var_j C_jᵀC_j over ``others``, (q, q)."""
    own = weights[others]
    shares = own / own.sum()
    mean = np.tensordot(shares, blocks[others], axes=1)
    inside = basis.T @ (blocks[others] - mean)  # (n, r, q)
    gram = np.einsum("j,jrc,jsc->rs", own, inside, inside)
    loads = own[:, None, None] * inside.transpose(0, 2, 1) @ np.linalg.pinv(gram) @ (basis.T @ (blocks[k] - mean))
    maps = shares[:, None, None] * np.eye(blocks.shape[2]) + loads
    return np.asarray(np.einsum("j,jab,jac->bc", variances[others], maps, maps, optimize=True))


def difference_variance(
    blocks: FloatArray, members: BoolArray, scales: FloatArray, weights: FloatArray, basis: FloatArray
) -> float:
    """τ², variance of an entry of the true differences off the subspace, from the residuals of the members' fit.

    Σ_k‖P_{U⊥}(X_k − X̄)‖²/σ_k² has mean (p − r)((n − 1)q − r)(1 + τ²·mean(σ_k⁻²)) to first order; 0 where it is less.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    members : bool ndarray, shape (K,)
        True = in the set.
    scales : ndarray, shape (K,)
        σ_k, scale of the estimates.
    weights : ndarray, shape (K,)
        w_k.
    basis : ndarray, shape (p, r)
        Orthonormal columns.

    Returns
    -------
    float
    """
    p, q = blocks.shape[1:]
    rank, n_members = basis.shape[1], int(members.sum())
    freedom = (p - rank) * ((n_members - 1) * q - rank)
    if freedom <= 0:
        return 0.0
    own = weights[members] / weights[members].sum()
    residual = project_off(basis, blocks[members] - np.tensordot(own, blocks[members], axes=1))
    precisions = scales[members] ** -2.0
    excess = float(np.sum(precisions[:, None, None] * residual**2)) / freedom - 1.0
    return float(max(0.0, excess / precisions.mean()))


def entry_errors(scales: FloatArray, columns: FloatArray, basis: FloatArray) -> FloatArray:
    """Standard errors of all entries, (K, p, q): variance σ_k²(P_U)_ii + (I − P_U)_ii (S_k)_jj.

    Parameters
    ----------
    scales : ndarray, shape (K,)
        σ_k, scale of the estimates.
    columns : ndarray, shape (K, q, q)
        S_k.
    basis : ndarray, shape (p, r)
        Orthonormal columns.

    Returns
    -------
    ndarray, shape (K, p, q)
        Scale of the estimates.
    """
    inside = np.sum(basis**2, axis=1)
    variances = np.einsum("i,k->ki", inside, scales**2)[:, :, None]
    off = np.einsum("i,kj->kij", np.maximum(1.0 - inside, 0.0), np.diagonal(columns, axis1=1, axis2=2))
    return np.asarray(np.sqrt(variances + off))


def functional_errors(
    functionals: FloatArray, scales: FloatArray, columns: FloatArray, basis: FloatArray
) -> FloatArray:
    """Standard errors of ⟨L_i, Θ̃_k⟩, (K, m): variance σ_k²‖UᵀL‖² + tr(P_{U⊥}L S_k Lᵀ).

    Parameters
    ----------
    functionals : ndarray, shape (m, p, q)
        L_i.
    scales : ndarray, shape (K,)
        σ_k, scale of the estimates.
    columns : ndarray, shape (K, q, q)
        S_k.
    basis : ndarray, shape (p, r)
        Orthonormal columns.

    Returns
    -------
    ndarray, shape (K, m)
    """
    inside = np.sum((basis.T @ functionals) ** 2, axis=(1, 2))
    off = project_off(basis, functionals)
    spread = np.einsum("mij,kjl,mil->km", off, columns, off, optimize=True)
    return np.asarray(np.sqrt(scales[:, None] ** 2 * inside + np.maximum(spread, 0.0)))
