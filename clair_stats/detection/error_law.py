"""Which law do the errors of the clients follow: are they white inside a client?

An adapter of rank s carries an error of rank about s: the entries of one client's residual are then far from
independent, no χ² or F law holds for its norm, and the noise edge of a Wishart matrix says nothing about the rank.
John's statistic U_k measures this client by client (Biometrika 58(1), 1971).  For a white p × q residual
1 + U_k = p tr(W²)/tr(W)², W = RRᵀ, is independent of tr W, hence E U_k = p(p + q + 1)/(pq + 2) − 1 exactly, and q U_k
has variance 4 to first order (Ledoit and Wolf, Ann. Statist. 30(4), 2002, Proposition 3).
"""

from __future__ import annotations

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["errors_are_white", "sphericity"]

# A white majority exceeds two standard deviations at the *median* with a probability below 1e-3 from 7 clients on
# (binomial: four of seven beyond .023); a client cut to rank s lies near min(p, q)/s times the white value.
_DEVIATIONS = 2.0


def sphericity(residuals: FloatArray, rank: int) -> FloatArray:
    """John's statistic in standard units, q(U_k − E U_k)/2 on p' = p − r rows, near N(0, 1) for white errors.

    Parameters
    ----------
    residuals : array, shape (K, p, q)
        Blocks off the shared subspace.
    rank : int
        Dimension r of that subspace.

    Returns
    -------
    array, shape (K,)
        NaN where a residual is zero, or fewer than two rows or columns are left.
    """
    rows, columns = residuals.shape[1] - rank, residuals.shape[2]
    if rows < 2 or columns < 2:
        return np.full(len(residuals), np.nan)
    # Either Gram matrix has the same traces.
    gram = residuals @ residuals.transpose(0, 2, 1)
    if columns < residuals.shape[1]:
        gram = residuals.transpose(0, 2, 1) @ residuals
    total = np.trace(gram, axis1=1, axis2=2)
    squares = np.einsum("kij,kij->k", gram, gram)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = rows * squares / total**2
    return np.asarray(columns * (ratio - rows * (rows + columns + 1) / (rows * columns + 2)) / 2.0)


def errors_are_white(residuals: FloatArray, rank: int, floor: float) -> bool:
    """Whether at least half of the clients' residuals (K, p, q) look white; True where it cannot be told.

    Residuals whose entries are at most ``floor`` are rounding, whose law says nothing about errors.
    """
    deviations = sphericity(residuals, rank)
    above = np.einsum("kij,kij->k", residuals, residuals) > floor**2 * residuals[0].size
    deviations = deviations[np.isfinite(deviations) & above]
    return deviations.size == 0 or float(np.median(deviations)) <= _DEVIATIONS
