"""Refinement of the benign clients' estimates: averaged off the subspace (Theorem 5), or drawn towards the others.

Averaging is best where clients differ inside the subspace only; shrinkage never loses against a client's own estimate,
however much they differ off it, and costs at most two error variances where they do not
(docs/derivations/shrinkage.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import checked_frame, project_off
from clair_stats.records import FloatArray, Refinement
from clair_stats.refinement.error_energy import error_energy
from clair_stats.refinement.shrink import shrink

__all__ = ["refine"]

# Entries whose fourth powers, and sums of them, are normal numbers.
_SMALLEST, _LARGEST = 1e-70, 1e70


def refine(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike | None,
    collaborative_set: ArrayLike,
    weights: ArrayLike | None = None,
    method: Literal["average", "shrinkage"] = "average",
    noise_scales: ArrayLike | None = None,
) -> Refinement:
    """Refined estimates of the collaborative set; clients outside it keep X_k (theory.md section 5).

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    basis : array_like, shape (p, r), or None
        Orthonormal; r = 0 gives the plain average.  None, with ``method="shrinkage"`` only: every client's subspace is
        fitted on the other members, and the rank is that of the smallest estimated risk.
    collaborative_set : array_like of bool, shape (K,)
        True = benign; at least one client.
    weights : array_like, shape (K,), optional
        w_k of the mean, best w_k ∝ 1/σ_k²; from the record's ``noise_scales``, else its ``sample_sizes``, else equal.
    method : {"average", "shrinkage"}
        "average": Θ̃_k = X̄ + P_U(X_k − X̄) (Theorem 5).  "shrinkage": X_k is drawn towards the mean of the *other*
        members by Stein's weight, off the subspace and along every direction in it (docs/derivations/shrinkage.md).
    noise_scales : array_like, shape (K,), optional
        σ_k, on which Stein's weight rests; by default what the record holds: covariances, halves or noise scales.

    Returns
    -------
    Refinement

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, a basis that is not finite and orthonormal, nobody in the set, weights that are not positive,
        shrinkage where nothing tells the error.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import refine
    >>> rng = np.random.default_rng(0)
    >>> basis = np.eye(12)[:, :1]
    >>> truth = basis @ rng.standard_normal((20, 1, 6))
    >>> estimates = truth + 0.1 * rng.standard_normal(truth.shape)
    >>> refined = refine(estimates, basis=basis, collaborative_set=np.ones(20, dtype=bool))
    >>> bool(np.linalg.norm(refined.estimates - truth) < 0.5 * np.linalg.norm(estimates - truth))
    True
    """
    checked = as_client_estimates(estimates)
    blocks = checked.dense()
    n_clients, p, _ = blocks.shape
    if method not in ("average", "shrinkage"):
        raise ValueError(f"method: {method!r}; give 'average' or 'shrinkage'")
    members = np.asarray(collaborative_set)
    if members.dtype != np.bool_ or members.shape != (n_clients,):
        raise ValueError(f"collaborative_set: dtype {members.dtype}, shape {members.shape}; give {n_clients} booleans")
    if not members.any():
        raise ValueError("collaborative_set: nobody is in it; there is nothing to average, keep the local estimates")
    frame = None if basis is None else checked_frame(basis, p)
    raw = _raw_weights(checked, weights)
    shares = np.where(members, raw, 0.0)
    shares = shares / shares.sum()
    centre = np.tensordot(shares, blocks, axes=1)
    if method == "average":
        if frame is None:
            raise ValueError("basis: None; averaging needs a subspace, give p × r, or method='shrinkage' to fit it")
        refined = np.where(members[:, None, None], blocks - project_off(frame, blocks - centre), blocks)
        return Refinement(refined, frame, centre, shares, members=members)
    largest = float(np.abs(blocks[members]).max())
    if not (largest == 0.0 or _SMALLEST < largest < _LARGEST):
        raise ValueError(
            f"estimates: the largest entry of a member is {largest:.3g}, and shrinkage takes its fourth power; give "
            "them in another unit (CLAIR().fit does so by itself)"
        )
    energy = error_energy(_with_scales(checked, noise_scales))
    found = shrink(blocks, members, raw, energy, basis=frame)
    told_of = (found.kept, found.risk, found.own_risk, found.one_weight)
    return Refinement(found.estimates, found.basis, centre, shares, members, *told_of)


def _raw_weights(checked: ClientEstimates, weights: ArrayLike | None) -> FloatArray:
    n_clients = checked.n_clients
    if weights is not None:
        raw = np.asarray(weights, dtype=np.float64)
        if raw.shape != (n_clients,) or not (np.isfinite(raw).all() and (raw > 0).all()):
            raise ValueError(f"weights: give {n_clients} positive finite numbers")
        return np.asarray(raw / raw.max())  # their sum may overflow
    if checked.noise_scales is not None:
        return np.asarray((checked.noise_scales.min() / checked.noise_scales) ** 2)  # ratios first: σ² may underflow
    if checked.sample_sizes is not None:
        return np.asarray(checked.sample_sizes / checked.sample_sizes.max())
    return np.ones(n_clients)


def _with_scales(checked: ClientEstimates, noise_scales: ArrayLike | None) -> ClientEstimates:
    if noise_scales is None:
        return checked
    plain = {"row_covariances": None, "column_covariances": None, "residual_degrees_of_freedom": None, "halves": None}
    return replace(checked, noise_scales=noise_scales, **plain)  # type: ignore[arg-type]
