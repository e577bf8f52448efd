"""Outlier pursuit (Xu, Caramanis and Sanghavi, IEEE Trans. Inf. Theory 58(5), 2012): column-sparse robust PCA.

min ‖L‖_* + λ Σ_j ‖C_·j‖ with L + C = X, the stack of the centred blocks, every column by itself: nothing ties the q
columns of a client together, which is what program (E) adds.  λ = 3/(7√m) with m the number of outlying columns, told.
Beyond a share of 9/49 of the columns that value leaves nothing in L, since then ‖Y‖_op ≤ λ√n < 1 for every dual Y
with columns of norm λ; the theorem is about smaller shares.  λ is therefore not taken below 1.2 times the column norm
√(r/n₀) of the ideal dual UVᵀ over the n₀ clean columns, which needs the rank as well.  The exact program is used, as in
the paper's experiments; with noise all columns of C are non-zero, and the f clients with the largest residual are
flagged.  (The χ² test of the other subspace baselines would flag everybody: shrinkage moves the directions by more than
the error of a least-squares fit.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, on_moderate_scale, subspace_result
from clair_stats.baselines.splitting import split
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import entrywise_median, orthonormal_basis, project_off, stack
from clair_stats.records import FloatArray

__all__ = ["outlier_pursuit", "pursued_subspace"]

_TOLERANCE = 1e-3  # relative duality gap of the pursuit; directions no longer move in the third digit
_ABOVE_IDEAL = 1.2  # columns of the dual vary about √(r/n₀); set before any run, not tuned


def pursued_subspace(centred: FloatArray, rank: int, n_contaminated: int) -> FloatArray:
    """Leading left singular vectors of the low-rank part.

    Parameters
    ----------
    centred : ndarray, shape (K, p, q)
        X_k − M.
    rank : int
        r.
    n_contaminated : int
        f; λ is for f·q outlying columns, and for one client's where f = 0.

    Returns
    -------
    ndarray, shape (p, r)
        Orthonormal columns.
    """
    columns = stack(centred)
    n_clients, _, q = centred.shape
    of_the_paper = 3.0 / (7.0 * math.sqrt(max(n_contaminated, 1) * q))
    penalty = max(of_the_paper, _ABOVE_IDEAL * math.sqrt(max(rank, 1) / ((n_clients - n_contaminated) * q)))
    low_rank = split(columns, penalty=penalty, sparsity="columns", tolerance=_TOLERANCE).low_rank
    # Where λ leaves fewer than r directions the rest is arbitrary; the data's own directions come next.
    floor = 1e-8 * max(float(np.abs(low_rank).max()), np.finfo(float).tiny)
    scale = max(float(np.abs(columns).max()), np.finfo(float).tiny)
    return orthonormal_basis(low_rank + floor / scale * columns, rank)


@on_moderate_scale
def outlier_pursuit(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Outlier pursuit on the columns of median-centred blocks.

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
    basis = pursued_subspace(blocks - entrywise_median(blocks), rank, n_contaminated)
    off = project_off(basis, blocks)
    centre = entrywise_median(off) + entrywise_median(blocks - off)
    without_scales = ClientEstimates(values=blocks)
    return subspace_result(without_scales, basis, centre, n_contaminated=n_contaminated, level=level)
