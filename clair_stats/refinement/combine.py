"""Let flagged clients inform the rest where that cannot hurt: a James–Stein weight (docs/derivations/refinement.md).

A client can be contaminated in two directions out of forty and tell the truth in the others.  Refinement (Theorem 5)
ignores it altogether.  Here the mean of the flagged clients enters the common component with the weight that Stein's
estimate of its error allows (Green and Strawderman, JASA 86(416), 1991: an unbiased and a possibly biased estimator),
once along the directions that flagged clients have in common and once off them.  With the subspace, the directions and
the set given, and whatever flagged clients hold that do not know the errors of the set, the expected error of the
common component is no larger than that of the average over the set (Proposition "combination").  Flagged clients never
help to fit the subspace: that was an opening for attack (tests/refinement/test_attack_on_combination.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import block_norms, project_off, project_on
from clair_stats.records import BoolArray, Combination, FloatArray
from clair_stats.refinement.refine import refine

__all__ = ["combine"]

# Directions are orthonormal; what is left of one inside the subspace is rounding.
_ROUNDING = 1e-6


def combine(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    collaborative_set: ArrayLike,
    noise_scales: ArrayLike | None = None,
    directions: ArrayLike | None = None,
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

    Returns
    -------
    Combination

    Raises
    ------
    ValueError
        Wrong shapes, nobody in the set, no noise scales or some of them 0, directions that are not finite.

    Notes
    -----
    With X̄ the precision-weighted mean of the set, v its variance per entry, F the mean of the n flagged clients with
    precisions 1/max(σ_k², residual variance of k), all off the subspace, each part g has the centre
    X̄_g + min(1, a_g v/‖F_g − X̄_g‖²)(F_g − X̄_g), a_g = f − 2, for n > 1 not above 2(f − 4) − (n + 1)/4: F leans on X̄
    through the precisions, and that costs no more than this.  f is the number of entries, sq along the directions;
    off them (p − r − s)(q − s), since directions that were found in F − X̄ have fitted the rest of its noise.
    A flagged client's own estimate is drawn towards X̄_g by min(1, (f_k − 2) σ_k²/‖X_k,g − X̄_g‖²), f_k = sq and
    (p − r − s)(q − s/n).  Parts of fewer than three entries are left alone.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import combine
    >>> rng = np.random.default_rng(0)
    >>> estimates = 0.1 * rng.standard_normal((10, 12, 6))
    >>> estimates[0] += 1.0
    >>> benign = np.arange(10) > 0
    >>> combined = combine(
    ...     estimates, basis=np.eye(12)[:, :2], collaborative_set=benign, noise_scales=np.full(10, 0.1)
    ... )
    >>> combined.estimates.shape
    (10, 12, 6)
    >>> bool(combined.weights[:, 0].max() < 0.1)  # the flagged client weighs little in the centre
    True
    """
    record = as_client_estimates(estimates)
    blocks = record.dense()
    n_clients, p, _ = blocks.shape
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
    if not np.isfinite(frame).all():
        raise ValueError("directions: some entries are NaN or infinite; give orthonormal columns")
    frame = _outside(refined.basis, frame)
    if exact or members.all():
        shares = np.stack([refined.weights, refined.weights])
        return Combination(refined.estimates, refined.basis, refined.centre, frame, shares)
    return _combined(blocks, refined.centre, refined.basis, members, sigma, frame)


def _outside(basis: FloatArray, directions: FloatArray) -> FloatArray:
    """Orthonormal basis of the directions' part off the subspace."""
    left, sines, _ = np.linalg.svd(project_off(basis, directions), full_matrices=False)
    return np.ascontiguousarray(left[:, sines > _ROUNDING])


def _mean_scale(sigma: FloatArray) -> float:
    """√v, standard deviation of one entry of the precision-weighted mean; ratios first, since σ² may underflow."""
    return float(sigma.min() / np.sqrt(np.sum((sigma.min() / sigma) ** 2)))


def _combined(
    blocks: FloatArray,
    mean: FloatArray,
    basis: FloatArray,
    members: BoolArray,
    sigma: FloatArray,
    directions: FloatArray,
) -> Combination:
    flagged = ~members
    precisions = (sigma.min() / sigma[members]) ** 2
    residual = project_off(basis, blocks - mean)
    along = project_on(directions, residual)
    q, n_directions = blocks.shape[2], directions.shape[1]
    off = blocks.shape[1] - basis.shape[1] - n_directions
    n_flagged = int(flagged.sum())
    # Directions found in the gap have fitted part of its noise: off them s columns of q, s/n of a single client's.
    parts = (
        (along, n_directions * q, n_directions * q, n_directions * q),
        (residual - along, off * q, off * (q - n_directions), off * (q - n_directions / n_flagged)),
    )
    centre, own = mean.copy(), blocks[flagged].copy()
    shares = np.zeros((2, members.size))
    for row, (part, dimension, free, own_free) in enumerate(parts):
        shares[row, members] = precisions / precisions.sum()
        if dimension < 3:
            continue
        sizes = block_norms(part[flagged])
        spread = np.maximum(sizes / np.sqrt(dimension), sigma[flagged])
        trust = (spread.min() / spread) ** 2
        trust /= trust.sum()
        gap = np.tensordot(trust, part[flagged], axes=1)
        share = float(_stein(_reach(free, n_flagged), _mean_scale(sigma[members]), block_norms(gap[None]))[0])
        centre += share * gap
        shares[row] *= 1.0 - share
        shares[row, flagged] = share * trust
        own -= _stein(max(0.0, own_free - 2.0), sigma[flagged], sizes)[:, None, None] * part[flagged]
    combined = blocks - project_off(basis, blocks - centre)
    combined[flagged] = own
    return Combination(combined, basis, centre, directions, shares)


def _reach(dimension: int, n_flagged: int) -> float:
    """a, the multiple of v in the weight: that of James and Stein, less in few entries, where F leans on X̄ too much."""
    leaning = 0.0 if n_flagged == 1 else 2.0 + (n_flagged + 1) / 8.0
    return max(0.0, min(dimension - 2.0, 2.0 * (dimension - 2.0 - leaning)))


def _stein(reach: float, scale: float | FloatArray, size: FloatArray) -> FloatArray:
    """min(1, a σ²/‖·‖²): how far to go towards the other estimate; never further than √a σ."""
    longest = np.sqrt(reach) * scale
    return np.asarray((longest / np.maximum(np.maximum(size, longest), np.finfo(float).tiny)) ** 2)
