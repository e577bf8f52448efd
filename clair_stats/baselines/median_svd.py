"""Plain singular value decomposition of the stack after centring at the entrywise median."""

from __future__ import annotations

from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, subspace_result
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, stack

__all__ = ["median_svd"]


def median_svd(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Leading left singular vectors of [X_k − median]."""
    record = checked_input(estimates, rank, n_contaminated)
    basis, center = centred_subspace(record.dense(), lambda centred: orthonormal_basis(stack(centred), rank))
    return subspace_result(record, basis, center, n_contaminated=n_contaminated, level=level)
