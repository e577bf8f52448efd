"""Whether a client's update points where the others' point: the sign that subspaces do not have.

A client that learns from exchanged labels stays in the directions that all share, with the opposite sign, and is benign
by definition of the model.  Its leave-one-out cosine with the others tells it.  Clients are *named* by it and never
flagged: an honest client with another task looks the same.

See docs/derivations/alignment.md for the law and for what it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from clair_stats.detection.joint.summed_law import accept_outward
from clair_stats.detection.joint.walk_laws import critical_values
from clair_stats.detection.log_scores import prediction_p_values
from clair_stats.linalg import cosines_of
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Alignment", "alignment_of", "alignments", "cosines"]

# Fewer clients leave a t law with less than three degrees of freedom for a Bonferroni tail.
_FEWEST_CLIENTS = 6
# Cosines nearer to ±1 are rounding; the logarithms behind arctanh end there.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each client's update points, and who is named for it."""

    values: FloatArray  # (K,), cosines with the others' sum, between -1 and 1
    threshold: float  # named when the value is below; never above 0, NaN with too few clients
    p_values: FloatArray  # (K,), of lying so far below the others; NaN with too few clients
    against: BoolArray  # (K,), True = named

    def of_clients(self, numbers: NDArray[np.int64]) -> Alignment:
        """The same for clients in another order, or several times.

        Parameters
        ----------
        numbers : ndarray of int, shape (n,)

        Returns
        -------
        Alignment
        """
        return Alignment(self.values[numbers], self.threshold, self.p_values[numbers], self.against[numbers])


def cosines(products: Iterable[FloatArray]) -> FloatArray:
    """Cosines between the clients' whole updates, (K, K); a client that sends nothing has cosine 0 with everybody.

    Parameters
    ----------
    products : iterable of ndarray, shape (K, K)
        ⟨X_k, X_l⟩, one per module.

    Returns
    -------
    ndarray, shape (K, K)
    """
    return cosines_of(np.sum(list(products), axis=0))


def alignments(between: FloatArray, members: BoolArray) -> FloatArray:
    """Cosine of every client with the weighted sum of the other members' unit updates, (K,).

    Client l counts by its own agreement with the rest, w_l = Σ_{j ≠ k, l} C_lj, so that members that point away do not
    cancel the others (docs/derivations/alignment.md, section 1).  Nothing of client k is in its own reference.

    Parameters
    ----------
    between : ndarray, shape (K, K)
        C, from :func:`cosines`.
    members : bool ndarray, shape (K,)
        Who is in the sums.

    Returns
    -------
    ndarray, shape (K,)
    """
    inside = members.astype(np.float64)
    off = between - np.diag(np.diag(between))
    agreement = off @ inside
    # Column k holds the weights of client k's reference.
    weights = (agreement[:, None] - off * inside) * inside[:, None]
    np.fill_diagonal(weights, 0.0)
    along = np.sum(off * weights, axis=0)
    squared = np.sum(weights * (between @ weights), axis=0)
    lengths = np.sqrt(np.maximum(squared, 0.0))
    return np.asarray(np.clip(np.where(lengths > 0.0, along / np.where(lengths > 0.0, lengths, 1.0), 0.0), -1.0, 1.0))


def alignment_of(products: Iterable[FloatArray], members: BoolArray, level: float) -> Alignment:
    """Alignments, and the members that point away from the others.

    Parameters
    ----------
    products : iterable of ndarray, shape (K, K)
        Gram matrices of the modules.
    members : bool ndarray, shape (K,)
        Who is compared; everybody where nobody is a member.  Others have an alignment and are not named.
    level : float
        Probability that anybody is named where the members' alignments are exchangeable and normal after arctanh.

    Returns
    -------
    Alignment
    """
    compared = members if members.any() else np.ones_like(members)
    values = alignments(cosines(products), compared)
    nobody = np.zeros_like(compared)
    if compared.sum() < _FEWEST_CLIENTS:
        return Alignment(values, np.nan, np.full(values.size, np.nan), nobody)
    scores = -np.arctanh(np.clip(values, _ROUNDING - 1.0, 1.0 - _ROUNDING))
    walk = accept_outward(scores[compared], scores[compared], level)
    accepted, group = nobody.copy(), nobody.copy()
    accepted[compared], group[compared] = walk.accepted, walk.group
    critical = critical_values(int(compared.sum()), level).single / (accepted.sum() + 1)
    # A group's p-value is brought to the scale on which single clients are named.
    p_values = prediction_p_values(scores, accepted)
    p_values = np.where(group, np.minimum(p_values, walk.group_share * critical), p_values)
    if walk.torn:
        return Alignment(values, float(min(values.min(), 0.0)), p_values, nobody)
    below = compared & ~accepted
    threshold = min(_bound(scores[accepted], critical), 0.0)
    if below.any() and values[below].max() >= threshold:  # of a group: the middle of the gap above it
        threshold = min(float(values[accepted].min() + values[below].max()) / 2.0, 0.0)
    return Alignment(values, threshold, p_values, below & (values < threshold))


def _bound(known: FloatArray, critical: float) -> float:
    """The alignment below which one more client stands out from the accepted scores (n,)."""
    n = known.size
    reach = -special.stdtrit(n - 1, critical) * np.sqrt(1.0 + 1.0 / n)
    return float(np.tanh(-(known.mean() + reach * known.std(ddof=1))))
