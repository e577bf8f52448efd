"""Which sets of clients can be accepted at all: Theorem 6, docs/derivations/guarantee.md, section 3."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import BoolArray, FloatArray
from clair_stats.theory.subsets import ENUMERATION_LIMIT, subset_indicators
from clair_stats.theory.tilt import largest_tilt

__all__ = ["AcceptedSets", "accepted_sets"]


@dataclass(frozen=True, eq=False)
class AcceptedSets:
    """What the theorem says about every set of more than half of the clients, on one draw of the noise.

    With ``contained`` no set is accepted at a rank below r, and every set accepted at rank r holds benign clients only.
    With ``decided`` moreover C itself is accepted: the smallest rank with an accepted set is r, its largest set is C.
    """

    contained: bool
    complete: bool  # C is accepted, by (U*, M*)
    lower_ranks: BoolArray  # (r,) True: no set is accepted at rank 0, …, r − 1
    squared_tilt: float  # bound on ‖P_{Û⊥}U*‖_F² of every set accepted at rank r; r when nothing is known
    radius: float  # T, worst subset, in units of σ
    slack: FloatArray  # (|O|,) min_B √(1 − s²)ρ*_j − x_j − T_B√h_jB in units of σ_j; positive: j is never accepted
    n_subsets: int

    @property
    def decided(self) -> bool:
        """Whether the smallest accepted rank and its largest accepted set are r and C."""
        return self.contained and self.complete


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over clients that give every subset its fit; one row per benign client, divided by σ_k."""

    design: FloatArray  # (n, m·m) Z_kᵀZ_k
    cross: FloatArray  # (n, p·m) F_kZ_k
    scatter: FloatArray  # (n, p·p) F_kF_kᵀ
    width: int  # m


def _moments(off: FloatArray, inside: FloatArray, sigma: FloatArray, common_component: bool) -> _Moments:
    """``off`` (n, p, q) and ``inside`` (n, q, r) in units of σ_k."""
    n_clients, _, q = off.shape
    design = inside
    if common_component:
        identity = np.eye(q) / sigma[:, None, None]
        design = np.concatenate([inside, identity], axis=2)
    return _Moments(
        np.einsum("kqi,kqj->kij", design, design).reshape(n_clients, -1),
        np.einsum("kpq,kqi->kpi", off, design).reshape(n_clients, -1),
        np.einsum("kpq,koq->kpo", off, off).reshape(n_clients, -1),
        design.shape[2],
    )


@dataclass(frozen=True, eq=False)
class _SubsetTerms:
    """What (3.1) needs, per subset."""

    inverse: FloatArray  # (N, m, m) (Z_BᵀZ_B)⁻¹
    margin: FloatArray  # (N,) μ_B
    free_noise: FloatArray  # (N,) f_B²
    free_norm: FloatArray  # (N,) o_B
    absorbed: FloatArray  # (N,) g_B

    def tilt(self, allowed: FloatArray, rank: int, lower_rank: int) -> tuple[FloatArray, FloatArray]:
        """Largest s² and T at one rank; ``allowed`` is X_B."""
        return largest_tilt(
            allowed=allowed,
            free_noise=self.free_noise,
            free_norm=self.free_norm,
            absorbed=self.absorbed,
            margin=self.margin,
            rank=rank,
            lower_rank=lower_rank,
        )


def _subset_terms(moments: _Moments, indicators: FloatArray, p: int, rank: int) -> _SubsetTerms:
    n_subsets = indicators.shape[0]
    width = moments.width
    design: FloatArray = (indicators @ moments.design).reshape(n_subsets, width, width)
    cross = (indicators @ moments.cross).reshape(n_subsets, p, width)
    scatter = (indicators @ moments.scatter).reshape(n_subsets, p, p)
    inverse = np.linalg.pinv(design, hermitian=True)
    schur = design[:, :rank, :rank]
    if width > rank:
        corner = design[:, rank:, rank:]
        side = design[:, :rank, rank:]
        schur = schur - side @ np.linalg.solve(corner, side.transpose(0, 2, 1))
    margin = np.sqrt(np.linalg.eigvalsh(schur)[:, 0].clip(min=0.0)) if rank else np.full(n_subsets, np.inf)
    absorbed = np.einsum("npi,nij,noj->npo", cross, inverse, cross)
    free = scatter - absorbed
    eigenvalues = np.linalg.eigvalsh(free).clip(min=0.0)
    return _SubsetTerms(
        np.asarray(inverse),
        np.asarray(margin),
        np.asarray(eigenvalues.sum(axis=1)),
        np.asarray(np.sqrt(eigenvalues[:, -1])),
        np.asarray(np.sqrt(np.einsum("npp->n", absorbed).clip(min=0.0))),
    )


def _checked(
    estimates: ClientEstimates, basis: FloatArray, mask: BoolArray, tolerances: FloatArray, sigma: FloatArray
) -> int:
    """Size n = h − |O| of the subsets."""
    n_clients, p, _ = estimates.dense().shape
    if basis.ndim != 2 or basis.shape[0] != p or not np.allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-8):
        raise ValueError(f"basis: shape {basis.shape}; give an orthonormal p × r matrix with p = {p}")
    if mask.shape != (n_clients,) or mask.dtype != np.bool_:
        raise ValueError(f"collaborative_set: give {n_clients} booleans, True for benign clients")
    if tolerances.shape != (basis.shape[1] + 1, n_clients) or not (tolerances > 0).all():
        raise ValueError(
            f"tolerances: shape {tolerances.shape}; give positive norms of shape (r + 1, K) = "
            f"({basis.shape[1] + 1}, {n_clients}), row i for sets of rank i"
        )
    if sigma.shape != (n_clients,) or not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError(f"noise_scales: give {n_clients} positive standard deviations")
    majority = n_clients // 2 + 1
    n_contaminated = int(np.count_nonzero(~mask))
    if n_clients - n_contaminated < majority or n_contaminated >= majority:
        raise ValueError(
            f"collaborative_set: {n_contaminated} of {n_clients} clients are contaminated; the theorem needs a benign "
            "majority"
        )
    size = majority - n_contaminated
    n_subsets = comb(n_clients - n_contaminated, size)
    if n_subsets > ENUMERATION_LIMIT:
        raise ValueError(
            f"collaborative_set: {n_subsets} subsets of {size} benign clients are too many to look at one by one; "
            "use set_guarantee, which bounds them"
        )
    return int(size)


def accepted_sets(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    common: ArrayLike,
    collaborative_set: ArrayLike,
    tolerances: ArrayLike,
    noise_scales: ArrayLike | None = None,
    common_component: bool = True,
) -> AcceptedSets:
    """Evaluate the assumptions of the theorem on a draw whose truth is known.

    A set A of at least h = ⌊K/2⌋ + 1 clients is *accepted* at rank r̂ when some Û of rank r̂ and some M̂ leave
    ‖P_{Û⊥}(X_k − M̂)‖_F ≤ τ_k for all k in A.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        X_k, with their noise.
    basis : array_like, shape (p, r)
        U*, orthonormal.
    common : array_like, shape (p, q)
        M*.
    collaborative_set : array_like of bool, shape (K,)
        C, a majority.
    tolerances : array_like, shape (r + 1, K)
        τ_k > 0 for sets of rank 0, …, r, on the scale of the estimates (:func:`chi_square_tolerances`).
    noise_scales : array_like, shape (K,), optional
        σ_k, weights of the argument; any positive numbers are valid.  1 when not given.
    common_component : bool
        Whether M̂ is free; False fixes it to 0.

    Returns
    -------
    AcceptedSets

    Raises
    ------
    ValueError
        Wrong shapes, no benign majority, or more than 50,000 subsets of h − |O| benign clients.

    Notes
    -----
    docs/derivations/guarantee.md, section 3.  Nothing is assumed about the noise or the contamination.

    Examples
    --------
    >>> values = np.stack([[[s], [0.0]] for s in (1.0, -1.0, 2.0, -2.0, 3.0, -3.0)] + [[[0.0], [1.0]]])
    >>> found = accepted_sets(
    ...     values, basis=np.eye(2)[:, :1], common=np.zeros((2, 1)), collaborative_set=np.arange(7) < 6,
    ...     tolerances=np.full((2, 7), 1e-3),
    ... )
    >>> found.decided  # no four clients agree at a rank below one, and none that agree are contaminated
    True
    """
    record = as_client_estimates(estimates)
    span, mask = np.asarray(basis, dtype=np.float64), np.asarray(collaborative_set)
    tau = np.asarray(tolerances, dtype=np.float64)
    n_clients = mask.size
    sigma = np.ones(n_clients) if noise_scales is None else np.asarray(noise_scales, dtype=np.float64)
    size = _checked(record, span, mask, tau, sigma)
    p, rank = span.shape
    shifted = (record.dense() - (np.asarray(common) if common_component else 0.0)) / sigma[:, None, None]
    allowed = tau / sigma
    off, inside = project_off(span, shifted), np.einsum("pi,kpq->kqi", span, shifted)
    scores = block_norms(off)
    moments = _moments(off[mask], inside[mask], sigma[mask], common_component)
    others = np.flatnonzero(~mask)
    rows = inside[others]
    if common_component:
        identity = np.eye(off.shape[2]) / sigma[others, None, None]
        rows = np.concatenate([rows, identity], axis=2)
    lower, tilt, radius, slack = np.ones(rank, dtype=bool), 0.0, 0.0, np.full(others.size, np.inf)
    for indicators in subset_indicators(int(mask.sum()), size):
        terms = _subset_terms(moments, indicators, p, rank)
        squares = indicators @ allowed[:, mask].T ** 2
        for lower_rank in range(rank):
            lower[lower_rank] &= bool(np.isnan(terms.tilt(squares[:, lower_rank], rank, lower_rank)[0]).all())
        squared, reach = terms.tilt(squares[:, rank], rank, rank)
        tilt, radius = max(tilt, float(squared.max())), max(radius, float(reach.max()))
        keeps = np.sqrt((1 - squared).clip(min=0.0))
        for place, j in enumerate(others):
            leverage = np.linalg.norm(rows[place] @ terms.inverse @ rows[place].T, ord=2, axis=(1, 2))
            left = np.where(squared < 1, keeps * scores[j] - allowed[rank, j] - reach * np.sqrt(leverage), -np.inf)
            slack[place] = min(slack[place], float(left.min()))
    return AcceptedSets(
        contained=bool(lower.all() and tilt < 1 and (slack > 0).all()),
        complete=bool((scores[mask] <= allowed[rank, mask]).all()),
        lower_ranks=lower,
        squared_tilt=tilt,
        radius=radius,
        slack=slack,
        n_subsets=comb(int(mask.sum()), size),
    )
