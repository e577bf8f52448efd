"""Rank and number of outliers by the predictive information criterion (She and Chen, Biometrika 104(3), 2017).

With N numbers observed, the criterion for rank r and J rows with C ≠ 0 is, in the form that needs no noise scale,

    PIC(r, J) = N log(RSS/N) + A·DF(r, J) + A'·J log(eK/J),   A = 7, A' = 2.1,

the constants being those of the authors' package rrpack (function ``r4``).  Here a row is a client, N = pqK, and the
degrees of freedom are the dimension of the fits: r(p − r) of the subspace, rq(K − J) of the kept clients' coefficients,
(p − r)q of the centre off the subspace, and pqJ of the clients that fit themselves.  The paper's rows share one matrix
of coefficients and have none of their own, so that there the dimension is r(rank of the design + q − r) + Jq.

Every r ≤ p/2 and J < K/2 is tried, by the trimmed fit of :mod:`clair_stats.baselines.robust_reduced_rank`.  Nothing is
told.  An outlier costs 7pq: leaving out a share s pays where it lowers the residual by a factor above e^{7s}.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, on_moderate_scale, subspace_result
from clair_stats.baselines.robust_reduced_rank import trimmed_fit
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import FloatArray

__all__ = ["Selected", "degrees_of_freedom", "predictive_criterion", "robust_reduced_rank_pic", "select"]

_PER_DIMENSION = 7.0  # A
_PER_CHOICE = 2.1  # A'


class Selected(NamedTuple):
    """Rank and number of outlying clients with the smallest criterion."""

    rank: int
    n_outlying: int
    criterion: float


def degrees_of_freedom(shape: tuple[int, int, int], rank: int, n_outlying: int) -> int:
    """Dimension of the fits X̂ = M + L + C with rank r and J outlying clients.

    Parameters
    ----------
    shape : tuple of int
        (K, p, q).
    rank : int
        r.
    n_outlying : int
        J.

    Returns
    -------
    int
    """
    n_clients, p, q = shape
    return rank * (p - rank) + rank * q * (n_clients - n_outlying) + (p - rank) * q + p * q * n_outlying


def predictive_criterion(residual: float, shape: tuple[int, int, int], rank: int, n_outlying: int) -> float:
    """PIC(r, J) for a residual sum of squares.

    Parameters
    ----------
    residual : float
        RSS, positive, squared scale of the estimates.
    shape : tuple of int
        (K, p, q).
    rank : int
        r.
    n_outlying : int
        J.

    Returns
    -------
    float
    """
    n_clients, p, q = shape
    total = n_clients * p * q
    chosen = n_outlying * math.log(math.e * n_clients / n_outlying) if n_outlying else 0.0
    dimension = degrees_of_freedom(shape, rank, n_outlying)
    return total * math.log(residual / total) + _PER_DIMENSION * dimension + _PER_CHOICE * chosen


def select(blocks: FloatArray) -> Selected:
    """The smallest criterion over r ≤ p/2 and J < K/2; of equal ones the smaller model.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)

    Returns
    -------
    Selected
    """
    n_clients, p, q = blocks.shape
    shape = (n_clients, p, q)
    size = float(np.sum(block_norms(blocks) ** 2))
    # A fit without residual: rounding of the data is what is left.
    floor = max(np.finfo(float).eps ** 2 * size, np.finfo(float).tiny)
    best = Selected(0, 0, math.inf)
    for rank in range(p // 2 + 1):
        for outlying in range((n_clients + 1) // 2):
            basis, centre, kept = trimmed_fit(blocks, rank, outlying)
            residual = float(np.sum(block_norms(project_off(basis, blocks[kept] - centre)) ** 2))
            value = predictive_criterion(max(residual, floor), shape, rank, outlying)
            if value < best.criterion:
                best = Selected(rank, outlying, value)
    return best


@on_moderate_scale
def robust_reduced_rank_pic(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Trimmed reduced-rank fit with rank and number by the criterion.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        Checked, not used.
    n_contaminated : int
        Checked, not used.
    level : float
        Not used.

    Returns
    -------
    BaselineFit
        Scale of the estimates; the basis has the rank that was selected.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    blocks = checked_input(estimates, rank, n_contaminated).dense()
    found = select(blocks)
    basis, centre, _ = trimmed_fit(blocks, found.rank, found.n_outlying)
    without_scales = ClientEstimates(values=blocks)
    return subspace_result(without_scales, basis, centre, n_contaminated=found.n_outlying, level=level)
