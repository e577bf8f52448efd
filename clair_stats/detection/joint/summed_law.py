"""The law of the clients' sums: log scores of all modules, weighted and added up, one bound for a client.

For client k and module m, y_km = log ‖(I − UUᵀ)(Y_k − c_km)‖², fitted without k.  Between benign clients it is near
normal whatever the errors are.  The sum Y_k = Σ_m w_m y_km is predicted from the members' sums as one score of one
module is: the spread of the *sums* is estimated, so that nothing is assumed about how the modules of a client depend on
each other.  The weights are known beforehand.  Weights 1/s_m estimated from the scores make clients outside the fit
look far away: 8 to 13 alarms in 100 in place of 5, whether s_m is that of the members or of the lower half of all
clients, where modules are correlated (docs/derivations/joint_verdict.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from clair_stats.detection.joint.view import View
from clair_stats.detection.joint.walk_laws import critical_values, widest_gap
from clair_stats.detection.log_scores import FIRST_SHARE, combined, prediction_p_value, prediction_p_values
from clair_stats.parallel import each
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "SummedScores",
    "accept_outward",
    "log_scores",
    "settle",
    "standardised",
]

_MOST_REFITS = 10


@dataclass(frozen=True, eq=False)
class SummedScores:
    """The accepted set and every client's place in its law."""

    members: BoolArray  # (K,)
    left: FloatArray  # (M, K), ‖R_k‖² of the leave-one-out fits
    sums: FloatArray  # (K,), weighted sums of log scores, standard deviations above the members' mean
    p_values: FloatArray  # (K,), flagged below critical/(n + 1)
    critical: float
    bound: float  # the sum above which the first look alone flags
    torn: bool  # no more than half of the clients agree


def log_scores(
    views: Sequence[View], ranks: Sequence[int], members: BoolArray, n_jobs: int | None = 1
) -> tuple[FloatArray, FloatArray]:
    """Leave-one-out log energies off the subspace, and log shares off it, (M, K) each.

    Parameters
    ----------
    views : sequence of View
        One per module.
    ranks : sequence of int
        One per module.
    members : bool ndarray, shape (K,)
        True = in the set.
    n_jobs : int, optional
        Modules at a time.

    Returns
    -------
    tuple of ndarray, shape (M, K)
    """
    first, second = np.empty((2, len(views), members.size))
    pairs = list(zip(views, ranks, strict=True))
    energies = each(lambda pair: pair[0].leave_one_out(members, pair[1]), pairs, n_jobs=n_jobs, shared_memory=True)
    for number, ((off, inside), rank) in enumerate(zip(energies, ranks, strict=True)):
        first[number] = np.log(off)
        second[number] = first[number] - np.log(inside) if rank else first[number]
    return first, second


def standardised(scores: FloatArray, members: BoolArray) -> FloatArray:
    """(y_km − ȳ_m)/s_m from scores (M, K), mean and standard deviation those of the members; for reading only.

    Parameters
    ----------
    scores : ndarray, shape (M, K)
    members : bool ndarray, shape (K,)
        True = in the set.

    Returns
    -------
    ndarray, shape (M, K)
    """
    known = scores[:, members]
    spread = known.std(axis=1, ddof=1, keepdims=True)
    rounding = 1e-9 * np.maximum(np.abs(known).max(axis=1, keepdims=True), 1.0)
    return np.asarray((scores - known.mean(axis=1, keepdims=True)) / np.maximum(spread, rounding))


@dataclass(frozen=True, eq=False)
class Walk:
    """Who was accepted on the way outward."""

    accepted: BoolArray  # (K,)
    torn: bool  # already the client that would make a majority stands out: no more than half agree
    group: BoolArray  # (K,), above a gap that is too wide for chance
    group_share: float  # p-value of that gap over its critical value; 1 where there is no such group


def accept_outward(first: FloatArray, second: FloatArray, level: float) -> Walk:
    """Accept clients in the order of their first sums (K,) from the lower half outward, passing those that stand out.

    One that stands out does not stop the walk: a benign client of large coefficients may lie behind it.  A group that
    stands out together, by the gap below it, is passed as one.

    Parameters
    ----------
    first : ndarray, shape (K,)
        Sums of the first score.
    second : ndarray, shape (K,)
        Sums of the second score.
    level : float
        Family-wise level.

    Returns
    -------
    Walk
    """
    critical, gap = critical_values(first.size, level), widest_gap(first)
    order, half = np.argsort(first, kind="stable"), first.size // 2
    group = np.zeros(first.size, dtype=np.bool_)
    if gap.p_value < critical.group:
        group[order[gap.below :]] = True
    accepted = np.zeros(first.size, dtype=np.bool_)
    accepted[order[:half]] = True
    for k in order[half : first.size - int(group.sum())]:
        p_value = combined(prediction_p_value(first, accepted, k), prediction_p_value(second, accepted, k))
        accepted[k] = p_value >= critical.single / (accepted.sum() + 1)
        if not accepted[k] and k == order[half]:
            accepted[k] = True
            return Walk(accepted, True, group, 1.0)
    return Walk(accepted, False, group, gap.p_value / critical.group if group.any() else 1.0)


def settle(
    views: Sequence[View],
    ranks: Sequence[int],
    weights: FloatArray,
    start: BoolArray,
    level: float,
    *,
    n_jobs: int | None = 1,
) -> SummedScores:
    """Fit, score, accept outward, fit on the accepted, until the set repeats itself; ``weights`` (M,).

    Parameters
    ----------
    views : sequence of View
        One per module.
    ranks : sequence of int
        One per module.
    weights : ndarray, shape (M,)
        Of the modules.
    start : bool ndarray, shape (K,)
        The set to begin with.
    level : float
        Family-wise level.
    n_jobs : int, optional
        Modules at a time.

    Returns
    -------
    SummedScores
    """
    members, seen = start, {start.tobytes()}
    for _ in range(_MOST_REFITS):
        scores, shares = log_scores(views, ranks, members, n_jobs)
        first, second = weights @ scores, weights @ shares
        walk = accept_outward(first, second, level)
        if walk.torn or walk.accepted.tobytes() in seen:
            break
        seen.add(walk.accepted.tobytes())
        members = walk.accepted
    accepted, critical = walk.accepted, critical_values(first.size, level).single
    n = int(accepted.sum())
    centre, spread = float(first[accepted].mean()), float(first[accepted].std(ddof=1))
    reach = -special.stdtrit(n - 1, FIRST_SHARE * critical / (n + 1)) * np.sqrt(1.0 + 1.0 / n)
    sums = (first - centre) / spread if spread > 0 else first - centre
    p_values = combined(prediction_p_values(first, accepted), prediction_p_values(second, accepted))
    # A group's p-value is brought to the scale on which single clients are flagged.
    p_values = np.where(walk.group, np.minimum(p_values, walk.group_share * critical / (n + 1)), p_values)
    return SummedScores(accepted, np.exp(scores), sums, p_values, critical, float(reach), walk.torn)
