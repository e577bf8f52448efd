"""Penalised empirical risk with one subspace per client (Tian, Gu and Feng, JMLR 26(187), 2025), for estimates.

Every client has a subspace P_k of its own, drawn towards a shared one P̄ (projectors of rank r):

    min over P_1, …, P_K, P̄ of Σ_k ½‖(I − P_k)(X_k − M)‖_F² + λ_k ‖P_k − P̄‖_F,

then a step of biased regularisation towards M + P_k(X_k − M).  The paper penalises the operator norm, which is the
Frobenius norm over √2 for r = 1 and within the constants of its theorem for every r.  M is the median off and on the
subspace, as for the other baselines, so that a common component is allowed.

The penalty is not smooth at P_k = P̄, so that clients whose subspace is not shown to differ share P̄ exactly.  At P̄ the
slope of the first term in direction H, U_⊥ H Uᵀ, is −⟨H, U_⊥ᵀ X_kX_kᵀ U⟩, and the penalty has slope √2 λ_k ‖H‖: a
client stays if ‖U_⊥ᵀX_kX_kᵀU‖_F ≤ √2 λ_k.  For a benign one the left side is the norm of noise times coefficients,
about σ_k √(p − r) ‖UᵀX_k‖_F.  Hence λ_k = σ_k √χ² b/√2 with χ² the per-client quantile on p − r degrees of freedom and
b the median of ‖UᵀX_k‖_F at the start; set so before any run.

*Descent.*  For P̄ given, √s is concave in s = ‖P_k − P̄‖_F² = 2r − 2 tr(P_kP̄), so that P_k moves to the leading r
eigenvectors of X_kX_kᵀ/2 + (λ_k/c_k)P̄ with c_k its present distance; where P̄ itself is no worse the client shares it,
and where it would go alone is followed all the same.  Then P̄ moves to the leading eigenvectors of Σ X_kX_kᵀ/2 over the
clients that share it plus Σ (λ_k/c_k)P_k over the others.  Both steps lower the criterion.  λ = 0 leaves every client
its own decomposition, λ = ∞ is that of the stack.

The f clients with the largest residual off P̄ are flagged.  (Those who do not share still pull P̄, each by at most λ_k,
and so by more than the error of a least-squares fit, so that the χ² test of the other baselines would flag too many.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, flag, on_moderate_scale
from clair_stats.baselines.winsorised_spectral import pull_towards, typical_noise_norm
from clair_stats.estimates import ClientEstimates
from clair_stats.laws import per_client_level
from clair_stats.linalg import block_norms, entrywise_median, project_off, symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Subspaces", "criterion", "penalised_subspaces", "penalised_subspaces_of"]

_ITERATIONS = 50
_TOLERANCE = 1e-8  # relative decrease of the criterion
_MOVED = 1e-3  # relative change of a client's distance from the shared subspace at which it stands still
_SMALLEST = 1e-12  # distance of projectors; its inverse is a weight


class Subspaces(NamedTuple):
    """Own and shared subspaces."""

    own: FloatArray  # (K, p, r), orthonormal columns
    shared: FloatArray  # (p, r), orthonormal columns
    sharing: BoolArray  # (K,), True where own and shared one are equal
    values: tuple[float, ...]  # of the criterion, not increasing


def _leading(matrices: FloatArray, rank: int) -> FloatArray:
    return np.ascontiguousarray(symmetric_eigen(matrices)[1][..., ::-1][..., :rank])


def _distances(own: FloatArray, shared: FloatArray) -> FloatArray:
    """‖P_k − P̄‖_F = √2 ‖(I − P̄)U_k‖_F, without the loss of digits of 2r − 2 tr."""
    return np.asarray(np.sqrt(2.0) * block_norms(project_off(shared, own)))


def _losses(grams: FloatArray, own: FloatArray) -> FloatArray:
    inside = np.einsum("kir,kij,kjr->k", own, grams, own, optimize=True)
    return np.asarray(0.5 * (np.trace(grams, axis1=1, axis2=2) - inside))


def criterion(grams: FloatArray, penalties: FloatArray, own: FloatArray, shared: FloatArray) -> float:
    """Σ_k ½‖(I − P_k)(X_k − M)‖_F² + λ_k‖P_k − P̄‖_F.

    Parameters
    ----------
    grams : ndarray, shape (K, p, p)
        (X_k − M)(X_k − M)ᵀ.
    penalties : ndarray, shape (K,)
        λ_k, squared scale of the estimates.
    own : ndarray, shape (K, p, r)
    shared : ndarray, shape (p, r)

    Returns
    -------
    float
        Squared scale of the estimates.
    """
    return float(np.sum(_losses(grams, own) + penalties * _distances(own, shared)))


def penalised_subspaces_of(
    grams: FloatArray, penalties: FloatArray, rank: int, *, iterations: int = _ITERATIONS
) -> Subspaces:
    """The descent, from the clients' own subspaces and the subspace of the stack.

    Parameters
    ----------
    grams : ndarray, shape (K, p, p)
        (X_k − M)(X_k − M)ᵀ.
    penalties : ndarray, shape (K,)
        λ_k, squared scale of the estimates; 0 and infinity are allowed.
    rank : int
        r.
    iterations : int
        At most.

    Returns
    -------
    Subspaces
    """
    shared, apart = _leading(grams.sum(axis=0), rank), _leading(grams, rank)
    always = np.isinf(penalties)
    finite = np.where(always, 0.0, penalties)  # a client with an infinite one always shares, at no cost
    away = np.maximum(_distances(apart, shared), _SMALLEST)
    values: list[float] = []
    for _ in range(iterations):
        apart = _leading(0.5 * grams + (finite / away)[:, None, None] * (shared @ shared.T), rank)
        together = np.broadcast_to(shared, apart.shape)
        cost = _losses(grams, apart) + finite * _distances(apart, shared)
        sharing = always | ((penalties > 0.0) & (_losses(grams, together) <= cost))
        weights = np.where(sharing, 0.0, finite / np.maximum(_distances(apart, shared), _SMALLEST))
        scatter = 0.5 * grams[sharing].sum(axis=0) + np.einsum("k,kir,kjr->ij", weights, apart, apart, optimize=True)
        if scatter.any():
            shared = _leading(scatter, rank)
        own = np.where(sharing[:, None, None], shared, apart)
        values.append(criterion(grams, finite, own, shared))
        before, away = away, np.maximum(_distances(apart, shared), _SMALLEST)
        # Who shares is settled where leaving does not pay at first order; who does not, where it moves no more.
        stays = block_norms(project_off(shared, grams @ shared)) <= np.sqrt(2.0) * finite
        settled = always | (sharing & stays) | (np.abs(away - before) <= _MOVED * away)
        if len(values) > 1 and settled.all() and values[-2] - values[-1] <= _TOLERANCE * values[-1]:
            break
    return Subspaces(own, shared, sharing, tuple(values))


def _grams(centred: FloatArray) -> FloatArray:
    return np.asarray(centred @ centred.transpose(0, 2, 1))


def _found(record: ClientEstimates, centred: FloatArray, rank: int, level: float) -> Subspaces:
    """The descent with λ_k = σ_k √χ² b/√2."""
    n_clients, p, q = centred.shape
    grams = _grams(centred)
    start = _leading(grams.sum(axis=0), rank)
    noise = typical_noise_norm(record, block_norms(project_off(start, centred))) / np.sqrt(p * q)
    quantile = float(stats.chi2.isf(per_client_level(level, n_clients), p - rank)) if p > rank else 0.0
    coefficients = float(np.median(block_norms(start.T @ centred))) if rank else 0.0
    return penalised_subspaces_of(grams, noise * np.sqrt(quantile / 2.0) * coefficients, rank)


@on_moderate_scale
def penalised_subspaces(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Own subspaces drawn towards a shared one, then biased regularisation.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        f.
    level : float
        Family-wise level at which benign clients leave the shared subspace.

    Returns
    -------
    BaselineFit
        Scale of the estimates; the basis is the shared one.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    record = checked_input(estimates, rank, n_contaminated)
    blocks = record.dense()
    # The centre is that of the subspace, not the entrywise median (:func:`clair_stats.baselines.fit.centred_subspace`).
    _, centre = centred_subspace(blocks, lambda centred: _leading(_grams(centred).sum(axis=0), rank))
    found = _found(record, blocks - centre, rank, level)
    off = project_off(found.shared, blocks)
    centre = entrywise_median(off) + entrywise_median(blocks - off)
    centred = blocks - centre
    found = _found(record, centred, rank, level)
    inside = centre + found.own @ (found.own.transpose(0, 2, 1) @ centred)
    refined = pull_towards(inside, blocks, typical_noise_norm(record, block_norms(blocks - inside)))
    without_scales = ClientEstimates(values=blocks)
    benign = flag(without_scales, found.shared, centre, n_contaminated=n_contaminated, level=level)
    return BaselineFit(refined, centre, found.shared, benign)
