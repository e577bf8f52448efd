"""Fast median subspace (Lerman and Maunu, Information and Inference 7(2), 2018), carried from points to client blocks.

Iteratively reweighted principal components for min_U Σ_k ‖(I − P_U)(X_k − M)‖_F with M the entrywise median: block k
has weight 1/max(‖(I − P_U)(X_k − M)‖_F, δ).  The original weighs single points; one weight per client is the stronger
choice here, because a client is contaminated as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, on_moderate_scale, subspace_result
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import FloatArray

__all__ = ["fast_median_subspace", "reweighted_subspace"]

_ITERATIONS = 50
_TOLERANCE = 1e-6
_DELTA = 1e-10


def reweighted_subspace(centred: FloatArray, rank: int) -> FloatArray:
    """The FMS iteration on blocks (K, p, q), from the plain principal subspace.

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
    scatters = centred @ centred.transpose(0, 2, 1)
    p = centred.shape[1]
    floor = max(_DELTA * float(block_norms(centred).max()), np.finfo(float).tiny)
    weights = np.ones(len(centred))
    basis = np.zeros((p, rank))
    for _ in range(_ITERATIONS):
        vectors = np.linalg.eigh(np.tensordot(weights, scatters, axes=1))[1]
        following = vectors[:, p - rank :]
        moved = float(np.linalg.norm(project_off(basis, following)))
        basis = following
        floored = np.maximum(block_norms(project_off(basis, centred)), floor)
        weights = floored.min() / floored  # largest 1: their scale does not matter, and inverses would overflow
        if moved <= _TOLERANCE:
            break
    return np.ascontiguousarray(basis)


@on_moderate_scale
def fast_median_subspace(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """FMS on median-centred blocks.

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
    basis, centre = centred_subspace(record.dense(), lambda centred: reweighted_subspace(centred, rank))
    return subspace_result(record, basis, centre, n_contaminated=n_contaminated, level=level)
