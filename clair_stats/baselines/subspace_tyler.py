"""Subspace-constrained Tyler's estimator (Yu, Zhang and Lerman, CVPR 2024), carried from points to client blocks.

Tyler's fixed point Σ ← mean of x xᵀ/(xᵀΣ⁻¹x), with the p − r smallest eigenvalues of Σ replaced by γ times their mean
after every step.  One weight per client, q p/tr(X_kᵀΣ⁻¹X_k), because a client is contaminated as a whole; γ = 1/3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, on_moderate_scale, subspace_result
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import project_off
from clair_stats.records import FloatArray

__all__ = ["constrained_tyler", "subspace_tyler"]

_ITERATIONS = 50
_TOLERANCE = 1e-6
_SHRINK = 1.0 / 3.0
_FLOOR = 1e-12  # relative; keeps Σ invertible for exact data


def constrained_tyler(centred: FloatArray, rank: int) -> FloatArray:
    """The STE iteration on blocks (K, p, q), from the identity.

    Parameters
    ----------
    centred : ndarray, shape (K, p, q)
        X_k − M.
    rank : int
        r.

    Returns
    -------
    ndarray, shape (p, r)
        Orthonormal columns.
    """
    n_clients, p, _ = centred.shape
    scatters = (centred @ centred.transpose(0, 2, 1)).reshape(n_clients, -1)
    inverse = np.eye(p)
    basis = np.zeros((p, rank))
    for _ in range(_ITERATIONS):
        sizes = scatters @ inverse.ravel()
        weights = 1.0 / np.maximum(sizes, np.finfo(float).tiny ** 0.5)
        values, vectors = np.linalg.eigh((weights @ scatters).reshape(p, p))
        values = np.maximum(values, 0.0) / max(float(np.sum(values)), np.finfo(float).tiny)
        if rank < p:
            values[: p - rank] = _SHRINK * values[: p - rank].mean()
        values = np.maximum(values, _FLOOR)
        inverse = (vectors / values) @ vectors.T
        following = vectors[:, p - rank :]
        moved = float(np.linalg.norm(project_off(basis, following)))
        basis = following
        if moved <= _TOLERANCE:
            break
    return np.ascontiguousarray(basis)


@on_moderate_scale
def subspace_tyler(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """STE on median-centred blocks.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        f.
    level : float
        Family-wise level of the test of clients whose noise scales are known.

    Returns
    -------
    BaselineFit
        Scale of the estimates.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    record = checked_input(estimates, rank, n_contaminated)
    basis, centre = centred_subspace(record.dense(), lambda centred: constrained_tyler(centred, rank))
    return subspace_result(record, basis, centre, n_contaminated=n_contaminated, level=level)
