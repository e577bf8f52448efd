"""Theorem 4: the window of thresholds that return the collaborative set exactly (theory.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.linalg import block_norms, project_off, project_on, sin_theta
from clair_stats.records import BoolArray, FloatArray

__all__ = ["ThresholdWindow", "detection_scores", "threshold_window"]


@dataclass(frozen=True, eq=False)
class ThresholdWindow:
    """Every threshold strictly between the two ends returns Ĉ = C."""

    lower: float  # max over benign clients of the largest score the theorem allows
    upper: float  # min over contaminated clients of the smallest score the theorem allows; inf when none
    score_bounds: FloatArray  # (K,) upper bounds for benign, lower bounds (may be negative) for contaminated clients
    subspace_error: float  # ŝ
    common_error: float  # m̂

    @property
    def is_open(self) -> bool:
        """Whether some threshold is guaranteed to separate the two groups."""
        return self.lower < self.upper


def detection_scores(estimates: FloatArray, *, basis: FloatArray, common: FloatArray) -> FloatArray:
    """ρ_k = ‖(I − P_Û)(X_k − M̂)‖_F of every client.

    Parameters
    ----------
    estimates : ndarray, shape (K, p, q)
        X_k.
    basis : ndarray, shape (p, r)
        Û, orthonormal.
    common : ndarray, shape (p, q)
        M̂.

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
    theory.md section 5.

    Examples
    --------
    >>> detection_scores(np.array([[[3.0], [4.0]]]), basis=np.eye(2)[:, :1], common=np.zeros((2, 1))).tolist()
    [4.0]
    """
    return block_norms(project_off(basis, estimates - common))


def threshold_window(
    targets: ArrayLike,
    estimates: ArrayLike,
    *,
    basis: FloatArray,
    common: FloatArray,
    estimated_basis: FloatArray,
    estimated_common: FloatArray,
    collaborative_set: BoolArray,
) -> ThresholdWindow:
    """Evaluate both sides of Theorem 4 from the truth and the estimates.

    Parameters
    ----------
    targets, estimates : array_like, shape (K, p, q)
        Θ*_k and X_k.
    basis, estimated_basis : ndarray, shape (p, r)
        U* and Û, orthonormal.
    common, estimated_common : ndarray, shape (p, q)
        M* and M̂.
    collaborative_set : ndarray of bool, shape (K,)
        The true C.

    Returns
    -------
    ThresholdWindow
        On the scale of the estimates.

    Raises
    ------
    ValueError
        Arrays of different shapes, or a set without clients.

    Notes
    -----
    theory.md section 5, Theorem 4; docs/derivations/consistency.md.

    Examples
    --------
    >>> targets = np.array([[[1.0], [0.0]], [[2.0], [0.0]], [[0.0], [5.0]]])
    >>> plane, zero = np.eye(2), np.zeros((2, 1))
    >>> window = threshold_window(
    ...     targets, targets, basis=plane[:, :1], common=zero, estimated_basis=plane[:, :1], estimated_common=zero,
    ...     collaborative_set=np.array([True, True, False]),
    ... )
    >>> window.lower, window.upper  # neither noise nor estimation error: all of the separation
    (0.0, 5.0)
    """
    truth, seen = np.asarray(targets, dtype=np.float64), np.asarray(estimates, dtype=np.float64)
    if truth.shape != seen.shape or truth.ndim != 3:
        raise ValueError(f"targets, estimates: shapes {truth.shape} and {seen.shape}; give two arrays (K, p, q)")
    mask = np.asarray(collaborative_set)
    if mask.dtype != np.bool_ or mask.shape != truth.shape[:1] or not mask.any():
        raise ValueError(f"collaborative_set: give {truth.shape[0]} booleans with at least one True")
    noise = block_norms(seen - truth)
    off_subspace = block_norms(project_off(basis, truth - common))
    angle = sin_theta(estimated_basis, basis)
    common_error = float(np.linalg.norm(project_off(basis, estimated_common - common)))
    inside = block_norms(project_on(basis, truth - estimated_common))
    slack = noise + common_error + angle * inside
    bounds = np.where(mask, off_subspace + slack, np.sqrt(1 - angle**2) * off_subspace - slack)
    upper = float(bounds[~mask].min()) if not mask.all() else float("inf")
    return ThresholdWindow(float(bounds[mask].max()), upper, bounds, angle, common_error)
