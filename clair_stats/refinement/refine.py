"""Refinement: average over the collaborative set off the subspace, keep what is one's own inside it (Theorem 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import project_off
from clair_stats.records import Refinement

__all__ = ["refine"]


def refine(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    collaborative_set: ArrayLike,
    weights: ArrayLike | None = None,
) -> Refinement:
    """Θ̃_k = X̄ + P_U(X_k − X̄) for benign clients; contaminated clients keep X_k (theory.md section 5).

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    basis : array_like, shape (p, r)
        Orthonormal; r = 0 gives the plain average.
    collaborative_set : array_like of bool, shape (K,)
        True = benign; at least one client.
    weights : array_like, shape (K,), optional
        w_k of the mean X̄, best w_k ∝ 1/σ_k²; from the record's ``noise_scales``, else its ``sample_sizes``, else equal.

    Returns
    -------
    Refinement

    Raises
    ------
    ValueError
        Wrong shapes, nobody in the set, weights that are not positive.
    """
    checked = as_client_estimates(estimates)
    blocks = checked.dense()
    n_clients, p, _ = blocks.shape
    members = np.asarray(collaborative_set)
    if members.dtype != np.bool_ or members.shape != (n_clients,):
        raise ValueError(f"collaborative_set: dtype {members.dtype}, shape {members.shape}; give {n_clients} booleans")
    if not members.any():
        raise ValueError("collaborative_set: nobody is in it; there is nothing to average, keep the local estimates")
    frame = np.asarray(basis, dtype=np.float64)
    if frame.ndim != 2 or frame.shape[0] != p:
        raise ValueError(f"basis: shape {frame.shape}; give p × r with p = {p}")
    if weights is not None:
        raw = np.asarray(weights, dtype=np.float64)
        if raw.shape != (n_clients,) or not (np.isfinite(raw).all() and (raw > 0).all()):
            raise ValueError(f"weights: give {n_clients} positive finite numbers")
    elif checked.noise_scales is not None:
        raw = (checked.noise_scales.min() / checked.noise_scales) ** 2  # ratios first: σ² may underflow
    elif checked.sample_sizes is not None:
        raw = checked.sample_sizes
    else:
        raw = np.ones(n_clients)
    shares = np.where(members, raw, 0.0)
    shares = shares / shares.sum()
    center = np.tensordot(shares, blocks, axes=1)
    refined = np.where(members[:, None, None], blocks - project_off(frame, blocks - center), blocks)
    return Refinement(refined, frame, center, shares)
