"""The law of the clients' sums: standardised log scores of all modules, one bound for a client.

For client k and module m, y_km = log ‖(I − UUᵀ)(Y_k − c_km)‖², fitted without k.  Between benign clients it is near
normal whatever the errors are; z_km is its distance from the members' mean over their standard deviation, and the sum
over modules is predicted from the members' sums as one score of one module is: the spread of the *sums* is estimated,
so that nothing is assumed about how modules of one client depend on each other (docs/derivations/joint_verdict.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from clair_stats.detection.joint.view import View
from clair_stats.records import BoolArray, FloatArray

__all__ = ["SummedScores", "accept_outward", "log_scores", "prediction_p_values", "settle", "standardised"]

_MOST_REFITS = 10
_FIRST_SHARE = 0.2  # the first look alone flags at a fifth of the level, both together at the level


@dataclass(frozen=True, eq=False)
class SummedScores:
    """The accepted set and every client's place in its law."""

    members: BoolArray  # (K,)
    left: FloatArray  # (M, K), ‖R_k‖² of the leave-one-out fits
    sums: FloatArray  # (K,), standardised log scores summed over modules, over their members' standard deviation
    p_values: FloatArray  # (K,), flagged below level/(n + 1)
    bound: float  # the sum above which the first look alone flags


def log_scores(views: Sequence[View], ranks: Sequence[int], members: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Leave-one-out log energies off the subspace, and log shares off it, (M, K) each."""
    first, second = np.empty((2, len(views), members.size))
    for number, (view, rank) in enumerate(zip(views, ranks, strict=True)):
        off, inside = view.leave_one_out(members, rank)
        first[number] = np.log(off)
        second[number] = first[number] - np.log(inside) if rank else first[number]
    return first, second


def standardised(scores: FloatArray, members: BoolArray) -> FloatArray:
    """(y_km − ȳ_m)/s_m from scores (M, K), mean and standard deviation those of the members."""
    known = scores[:, members]
    spread = known.std(axis=1, ddof=1, keepdims=True)
    # A module in which the members agree to rounding has no spread of its own.
    rounding = 1e-9 * np.maximum(np.abs(known).max(axis=1, keepdims=True), 1.0)
    return np.asarray((scores - known.mean(axis=1, keepdims=True)) / np.maximum(spread, rounding))


def prediction_p_values(sums: FloatArray, members: BoolArray) -> FloatArray:
    """Upper p-values (K,) of t predictions from the members' values, a member's from the others."""
    values = np.empty(sums.size)
    for k in range(sums.size):
        rest = members.copy()
        rest[k] = False
        known = sums[rest]
        n = known.size
        spread = float(known.std(ddof=1)) * np.sqrt(1.0 + 1.0 / n)
        distance = float(sums[k] - known.mean())
        values[k] = special.stdtr(n - 1, -distance / spread) if spread > 0 else float(distance <= 0)
    return values


def _combined(first: FloatArray, second: FloatArray) -> FloatArray:
    """One p-value from two looks: the first at a fifth of the level, or both."""
    return np.minimum(np.minimum(first / _FIRST_SHARE, np.maximum(first, second)), 1.0)


def p_values_of(first: FloatArray, second: FloatArray, members: BoolArray) -> FloatArray:
    """One p-value a client (K,) from both scores (M, K)."""
    looks = [prediction_p_values(standardised(scores, members).sum(axis=0), members) for scores in (first, second)]
    return _combined(*looks)


def accept_outward(first: FloatArray, second: FloatArray, level: float) -> BoolArray:
    """Accept clients in the order of their first sums from the lower half outward, passing those that stand out.

    One that stands out does not stop the walk: a benign client of large coefficients may lie behind it.
    """
    n_clients = first.shape[1]
    half = n_clients // 2 + 1
    # In the order of plain sums of logs: no spread is known before there is a set.
    order = np.argsort(first.sum(axis=0), kind="stable")
    accepted = np.zeros(n_clients, dtype=np.bool_)
    accepted[order[:half]] = True
    for k in order[half:]:
        accepted[k] = p_values_of(first, second, accepted)[k] >= level / (accepted.sum() + 1)
    return accepted


def settle(views: Sequence[View], ranks: Sequence[int], start: BoolArray, level: float) -> SummedScores:
    """Fit, score, accept outward, fit on the accepted, until the set repeats itself."""
    members, seen = start, {start.tobytes()}
    for _ in range(_MOST_REFITS):
        first, second = log_scores(views, ranks, members)
        accepted = accept_outward(first, second, level)
        if accepted.tobytes() in seen:
            break
        seen.add(accepted.tobytes())
        members = accepted
    sums = standardised(first, accepted).sum(axis=0)
    spread = float(sums[accepted].std(ddof=1))
    n = int(accepted.sum())
    reach = -special.stdtrit(n - 1, _FIRST_SHARE * level / (n + 1)) * np.sqrt(1.0 + 1.0 / n)
    sums = sums / spread if spread > 0 else sums
    return SummedScores(accepted, np.exp(first), sums, p_values_of(first, second, accepted), float(reach))
