"""Robust reduced-rank regression (She and Chen, Biometrika 104(3), 2017), for estimates instead of data.

min ½‖X − M − L − C‖_F² with rank(L) ≤ r and at most f clients with C_k ≠ 0: rank-r fit and removal of the f clients
with the largest residual, by turns.  It is thresholding for outliers in PCA (Cherapanamjeri, Jain and Netrapalli,
COLT 2017) with whole clients in place of columns.  With the group lasso in place of the count the criterion
is that of the low-rank variant of ARMUL (:mod:`clair_stats.baselines.armul`).  Told r and f; the paper's own rule for
them is in :mod:`clair_stats.baselines.robust_reduced_rank_pic`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, on_moderate_scale, subspace_result
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, entrywise_median, project_off, stack, symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = ["robust_reduced_rank", "trimmed_fit"]

_ITERATIONS = 100  # the objective falls in every step that changes the set, so that no set comes twice


def _leading(centred: FloatArray, rank: int) -> FloatArray:
    """Leading r left singular vectors, from the Gram matrix of the rows; in units of the clients' own largest entry."""
    columns = stack(centred)
    columns = columns / max(float(np.abs(columns).max()), np.finfo(float).tiny)
    return np.ascontiguousarray(symmetric_eigen(columns @ columns.T)[1][:, ::-1][:, :rank])


def trimmed_fit(blocks: FloatArray, rank: int, n_contaminated: int) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Least-squares fit of rank r to the K − f clients that fit it best, from the entrywise median as centre.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        f.

    Returns
    -------
    tuple of ndarray, shapes (p, r), (p, q) and (K,)
        Basis, centre, and the clients that are kept.
    """
    n_clients = len(blocks)
    kept = np.ones(n_clients, dtype=np.bool_)
    centre = entrywise_median(blocks)
    basis = _leading(blocks - centre, rank)
    for _ in range(_ITERATIONS):
        residual = block_norms(project_off(basis, blocks - centre))
        following = np.zeros(n_clients, dtype=np.bool_)
        following[np.argsort(residual, kind="stable")[: n_clients - n_contaminated]] = True
        centre = blocks[following].mean(axis=0)
        basis = _leading(blocks[following] - centre, rank)
        if np.array_equal(following, kept):
            break
        kept = following
    return basis, centre, kept


@on_moderate_scale
def robust_reduced_rank(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Trimmed reduced-rank fit.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        f.
    level : float
        Not used.

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
    blocks = record.dense()
    basis, centre, _ = trimmed_fit(blocks, rank, n_contaminated)
    without_scales = ClientEstimates(values=blocks)  # the clients with C_k ≠ 0 are the f that fit worst, not a test's
    return subspace_result(without_scales, basis, centre, n_contaminated=n_contaminated, level=level)
