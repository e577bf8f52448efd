"""Plain singular value decomposition of the stack after centring at the entrywise median.

The best approximation of rank r in the Frobenius norm (Eckart and Young, Psychometrika 1(3), 1936).
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, on_moderate_scale, subspace_result
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, stack

__all__ = ["median_svd"]


@on_moderate_scale
def median_svd(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Leading left singular vectors of [X_k − median].

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
    basis, centre = centred_subspace(record.dense(), lambda centred: orthonormal_basis(stack(centred), rank))
    return subspace_result(record, basis, centre, n_contaminated=n_contaminated, level=level)
