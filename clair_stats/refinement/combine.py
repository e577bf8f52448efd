"""Let flagged clients inform the rest where that cannot hurt: a James–Stein combination (derivations/refinement.md).

A client can be contaminated in two directions out of forty and tell the truth in the others.  Refinement (Theorem 5)
ignores it altogether.  Here the mean of the flagged clients enters the common component with the weight that Stein's
estimate of its error allows (Green and Strawderman, JASA 86(416), 1991: an unbiased and a possibly biased estimator),
once along the directions that flagged clients have in common and once off them.  Whatever the flagged clients hold, the
expected error is no larger than that of the average over the collaborative set; the weight goes to 0 as they move away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from clair_stats.linalg import orthonormal_basis, project_off, project_on, stack
from clair_stats.records import BoolArray, ClientEstimates, Combination, FloatArray, as_client_estimates
from clair_stats.refinement.refine import refine

__all__ = ["combine"]

# A flagged client informs the subspace only when its own part inside stands out of noise; pure noise would blur it.
_STANDS_OUT = 1e-3


def combine(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    collaborative_set: ArrayLike,
    noise_scales: ArrayLike | None = None,
    directions: ArrayLike | None = None,
    level: float = 0.05,
) -> Combination:
    """Refinement that also uses flagged clients, as far as Stein's estimate of their error allows.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    basis : array_like, shape (p, r)
        Orthonormal, as for :func:`clair_stats.refine`.
    collaborative_set : array_like of bool, shape (K,)
        True = benign; at least one client.
    noise_scales : array_like, shape (K,), optional
        σ_k, per entry; the record's own when not given.  Where all are 0 the result is that of ``refine``.
    directions : array_like, shape (p, s), optional
        Orthonormal directions that flagged clients have in common; their entries are weighted by themselves.
    level : float
        A flagged client informs the subspace when its residual off ``directions`` passes the χ² test at this
        family-wise level and its part inside the subspace is more than noise.

    Returns
    -------
    Combination

    Raises
    ------
    ValueError
        Wrong shapes, nobody in the set, no noise scales, a level outside (0, 1).

    Notes
    -----
    With X̄ the precision-weighted mean of the set, v its variance per entry, F the mean of the flagged clients with
    precisions 1/max(σ_k², residual variance of k), all off the subspace, each part g of dimension d_g has the centre
    X̄_g + min(1, (d_g − 2) v/‖F_g − X̄_g‖²)(F_g − X̄_g).  A flagged client's own estimate is drawn towards X̄_g by
    min(1, (d_g − 2) σ_k²/‖X_k,g − X̄_g‖²).  Parts of fewer than three entries are left alone.
    """
    record = as_client_estimates(estimates)
    blocks = record.dense()
    n_clients, p, _ = blocks.shape
    if not (np.isfinite(level) and 0 < level < 1):
        raise ValueError(f"level: {level!r}; give a probability strictly between 0 and 1, for instance 0.05")
    sigma = record.noise_scales if noise_scales is None else np.asarray(noise_scales, dtype=np.float64)
    if sigma is None:
        raise ValueError("noise_scales: missing; the weight of a flagged client rests on σ_k, give one per client")
    if sigma.shape != (n_clients,) or not (np.isfinite(sigma).all() and (sigma >= 0).all()):
        raise ValueError(f"noise_scales: give {n_clients} finite numbers of at least 0")
    exact = not (sigma > 0).all()
    if exact and sigma.any():
        raise ValueError("noise_scales: some are 0 and some are not; give all positive ones, or all 0")
    weights = np.ones(n_clients) if exact else (sigma.min() / sigma) ** 2
    refined = refine(record, basis=basis, collaborative_set=collaborative_set, weights=weights)
    members = np.asarray(collaborative_set)
    frame = np.zeros((p, 0)) if directions is None else np.asarray(directions, dtype=np.float64)
    if frame.ndim != 2 or frame.shape[0] != p:
        raise ValueError(f"directions: shape {frame.shape}; give p × s with p = {p}")
    frame = _outside(refined.basis, frame)
    if exact or members.all():
        shares = np.stack([refined.weights, refined.weights])
        return Combination(refined.estimates, refined.basis, refined.center, frame, shares, np.zeros_like(members))
    informing = _informing(blocks, refined.basis, refined.center, members, sigma, frame, level)
    subspace = refined.basis
    if informing.any():
        subspace = _refitted(blocks, refined.center, members, informing, weights, frame, subspace.shape[1])
        frame = _outside(subspace, frame)
    return _combined(blocks, refined.center, subspace, members, informing, sigma, frame)


def _outside(basis: FloatArray, directions: FloatArray) -> FloatArray:
    """Orthonormal basis of the directions' part off the subspace."""
    if directions.shape[1] == 0:
        return directions
    return orthonormal_basis(project_off(basis, directions), relative_tolerance=1e-6)


def _informing(
    blocks: FloatArray,
    basis: FloatArray,
    center: FloatArray,
    members: BoolArray,
    sigma: FloatArray,
    directions: FloatArray,
    level: float,
) -> BoolArray:
    """Flagged clients that are benign but for the directions and have something to say about the subspace."""
    _, p, q = blocks.shape
    rank, n_directions = basis.shape[1], directions.shape[1]
    if rank == 0 or n_directions == 0:
        return np.zeros_like(members)
    centered = blocks - center
    inside = basis.T @ centered
    left = project_off(directions, centered - basis @ inside)
    variance = sigma**2 + 1.0 / float(np.sum(1.0 / sigma[members] ** 2))
    alpha = -np.expm1(np.log1p(-level) / members.size)
    quiet = np.einsum("kij,kij->k", left, left) <= variance * special.chdtri((p - rank - n_directions) * q, alpha)
    loud = np.einsum("kij,kij->k", inside, inside) > variance * special.chdtri(rank * q, _STANDS_OUT)
    return np.asarray(~members & quiet & loud)


def _refitted(
    blocks: FloatArray,
    center: FloatArray,
    members: BoolArray,
    informing: BoolArray,
    weights: FloatArray,
    directions: FloatArray,
    rank: int,
) -> FloatArray:
    """The subspace from members and, off the directions, informing clients."""
    scaled = np.sqrt(weights)[:, None, None] * (blocks - center)
    together = np.concatenate([scaled[members], project_off(directions, scaled[informing])])
    tall = stack(together)
    return np.ascontiguousarray(np.linalg.eigh(tall @ tall.T)[1][:, -rank:][:, ::-1])


def _combined(
    blocks: FloatArray,
    mean: FloatArray,
    basis: FloatArray,
    members: BoolArray,
    informing: BoolArray,
    sigma: FloatArray,
    directions: FloatArray,
) -> Combination:
    flagged = ~members
    precisions = 1.0 / sigma[members] ** 2
    variance = 1.0 / float(precisions.sum())
    residual = project_off(basis, blocks - mean)
    along = project_on(directions, residual)
    q, n_directions = blocks.shape[2], directions.shape[1]
    off = blocks.shape[1] - basis.shape[1] - n_directions
    center, own = mean.copy(), blocks[flagged].copy()
    shares = np.zeros((2, members.size))
    for row, (part, dimension) in enumerate(((along, n_directions * q), (residual - along, off * q))):
        shares[row, members] = precisions * variance
        if dimension < 3:
            continue
        energies = np.einsum("kij,kij->k", part[flagged], part[flagged])
        trust = 1.0 / np.maximum(energies / dimension, sigma[flagged] ** 2)
        trust /= trust.sum()
        gap = np.tensordot(trust, part[flagged], axes=1)
        share = _stein(dimension, variance, np.array([np.sum(gap**2)]))[0]
        center += share * gap
        shares[row] *= 1.0 - share
        shares[row, flagged] = share * trust
        own -= _stein(dimension, sigma[flagged] ** 2, energies)[:, None, None] * part[flagged]
    combined = blocks - project_off(basis, blocks - center)
    combined[flagged] = own
    return Combination(combined, basis, center, directions, shares, informing)


def _stein(dimension: int, variance: float | FloatArray, energy: FloatArray) -> FloatArray:
    """min(1, (d − 2) v / ‖·‖²): how far to go towards the other estimate."""
    tiny = np.finfo(float).tiny
    return np.asarray(np.minimum(1.0, (dimension - 2) * variance / np.maximum(energy, tiny)))
