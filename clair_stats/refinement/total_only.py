"""Shrinkage where only the size of the errors is known: scales are given, and the clients refute white errors.

Along a direction in which the others scatter less than white errors of the given size would, the errors are smaller
than that, so that they are larger elsewhere, nobody knows where.  What is left is their sum, and it allows one weight
(docs/derivations/shrinkage.md, "One scale for errors that are not white").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc

from clair_stats.records import FloatArray

__all__ = ["TotalOnly", "refutation", "total_only"]

# Level of the test of white errors, over all groups of directions.  Where differences are small, as they must be
# (_MOST_ENERGY), one weight costs little if errors are white after all.
_LEVEL = 0.05
# Energy of the members' distances over that of white errors, up to which one weight is used.  Beyond, more than half of
# the distances is true difference and one weight saves less than half of the error: weights by direction then promise
# far more, and stay.
_MOST_ENERGY = 2.0


@dataclass(frozen=True, eq=False)
class TotalOnly:
    """One weight in the span of the others' leading directions and one off it."""

    along: FloatArray  # (n, 2), shares of the way towards the others
    traces: FloatArray  # (n, 2), white errors of that size
    risk: FloatArray  # (n,), an upper estimate for every law between white and the shape of the others' scatter


def refutation(energies: FloatArray, entries: FloatArray) -> float:
    """P-value of "errors are white and of the given size, with true differences of any kind on top".

    True differences only add energy, so only directions with too little of it speak.  Groups are the last 1, 2, 4, …
    of the others' directions and what is off them; Bonferroni over groups.  A client's energy is independent of the
    directions, which the others set, but the energies of n clients depend on each other through them: their mean is
    given the variance of one, the largest that it can have (Cauchy and Schwarz).

    Parameters
    ----------
    energies : ndarray, shape (n, m + 1)
        ‖u_iᵀZ_k‖² over the variance of an entry of Z_k under white errors; the last off all m directions.
    entries : ndarray, shape (m + 1,)
        Numbers of entries.

    Returns
    -------
    float
    """
    m = energies.shape[1] - 1
    mean = energies.mean(axis=0)
    groups = [slice(m - width, m) for width in 2 ** np.arange(max(m, 1).bit_length()) if width <= m]
    found = []
    for group in [*groups, slice(m, m + 1)]:
        freedom = float(entries[group].sum())
        if freedom > 0:
            found.append(float(gammainc(freedom / 2.0, float(mean[group].sum()) / 2.0)))
    return min(1.0, len(found) * min(found)) if found else 1.0


def total_only(
    energies: FloatArray, variances: FloatArray, shares: FloatArray, entries: FloatArray
) -> TotalOnly | None:
    """Weights for n members if white errors are refuted and at most half of their distances is true difference.

    Parameters
    ----------
    energies : ndarray, shape (n, m + 1)
        ‖u_iᵀZ_k‖² along the others' directions; the last off all of them.
    variances : ndarray, shape (n,)
        σ_k².
    shares : ndarray, shape (n,)
        Weight of the client over the sum of the others'.
    entries : ndarray, shape (m + 1,)
        Numbers of entries of the directions.

    Returns
    -------
    TotalOnly or None
        None: weights by direction stand.
    """
    n, m = energies.shape[0], energies.shape[1] - 1
    if n < 3 or m < 1 or not (variances > 0).all():
        return None
    relative = energies / (variances * (1.0 + shares))[:, None]
    size = float(entries.sum())
    if float(relative.sum()) > _MOST_ENERGY * n * size or refutation(relative, entries) > _LEVEL:
        return None
    beside = relative.sum(axis=0) - relative  # n − 1 times the mean over the others
    profile = beside * (size / beside.sum(axis=1, keepdims=True))
    peaks = np.divide(profile, entries, out=np.zeros_like(profile), where=entries > 0)
    parts = [np.arange(m), np.arange(m, m + 1)]
    white = np.array([entries[part].sum() for part in parts])
    shaped = np.stack([profile[:, part].sum(axis=1) - 2.0 * peaks[:, part].max(axis=1) for part in parts], axis=1)
    constant = np.maximum(np.minimum(white - 2.0, shaped), 0.0) * variances[:, None]
    held = np.stack([energies[:, part].sum(axis=1) for part in parts], axis=1)
    whole = (constant > 0) & (held <= constant)
    along = np.where(whole, 1.0, np.divide(constant, held, out=np.zeros_like(held), where=held > 0))
    saved = np.where(whole, 2.0 * constant - held, along * constant).sum(axis=1)
    return TotalOnly(along, white * variances[:, None], size * variances - saved)
