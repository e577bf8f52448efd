"""The law learnt from the clients themselves: leave-one-out log scores of a majority, outward until one stands out.

Where errors are not white no law of ‖R_k‖² is known, but its logarithm is near normal between benign clients.  With n
clients accepted the next one is predicted from them: (y − ȳ)/s is t with n − 1 degrees of freedom up to √(1 + 1/n).
Two scores are looked at: what the shared subspace leaves over, and the *share* that it leaves over, which tells a
contaminated client of small norm from a benign one.

See docs/derivations/detection.md, section 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from clair_stats.detection.calibration import Calibrated, residual_variance
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, centred_blocks, fit_shared
from clair_stats.detection.step_5_verdict import Consensus, RankEvidence
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "FIRST_SHARE",
    "LogScores",
    "accept_outward",
    "accepted_outward",
    "combined",
    "learnt_set",
    "prediction_p_value",
    "prediction_p_values",
]

_MOST_REFITS = 10
FIRST_SHARE = 0.2  # the first look alone flags at a fifth of the level, both together at the level


@dataclass(frozen=True, eq=False)
class LogScores:
    """The accepted set and every client's place in its law."""

    fit: SharedFit
    members: BoolArray  # (K,)
    left: FloatArray  # (K,), ‖R_k‖² of the leave-one-out fit
    p_values: FloatArray  # (K,), flagged below level/(n + 1)
    log_critical: FloatArray  # (K,), log ‖R_k‖² above which the first look alone flags


def leave_one_out(panel: Panel, members: BoolArray, rank: int) -> tuple[FloatArray, FloatArray]:
    """Energies (K,) off and inside the subspace fitted without the client itself.

    Parameters
    ----------
    panel : Panel
    members : bool ndarray, shape (K,)
        True = in the set.
    rank : int
        r.

    Returns
    -------
    tuple of ndarray, shape (K,)
        Squared scale of the Y_k.
    """
    off, inside = np.zeros(members.size), np.zeros(members.size)
    shared = fit_shared(panel, members, rank)
    for k in range(members.size):
        fit = shared
        if members[k]:
            others = members.copy()
            others[k] = False
            fit = fit_shared(panel, others, rank)
        block = panel.blocks[k] - panel.design[k] * fit.common
        within = fit.basis.T @ block
        inside[k] = float(np.sum(within**2))
        off[k] = float(np.sum((block - fit.basis @ within) ** 2))
    return off, inside


def prediction_p_value(scores: FloatArray, members: BoolArray, client: int) -> float:
    """Upper p-value of the t prediction of one client from the members' scores without its own.

    Parameters
    ----------
    scores : ndarray, shape (K,)
    members : bool ndarray, shape (K,)
        True = in the set.
    client : int
        k.

    Returns
    -------
    float
    """
    rest = members.copy()
    rest[client] = False
    known = scores[rest]
    n = known.size
    spread = float(known.std(ddof=1)) * np.sqrt(1.0 + 1.0 / n)
    distance = float(scores[client] - known.mean())
    return float(special.stdtr(n - 1, -distance / spread)) if spread > 0 else float(distance <= 0)


def prediction_p_values(scores: FloatArray, members: BoolArray) -> FloatArray:
    """Those of all clients, shape (K,).

    Parameters
    ----------
    scores : ndarray, shape (K,)
    members : bool ndarray, shape (K,)
        True = in the set.

    Returns
    -------
    ndarray, shape (K,)
    """
    return np.array([prediction_p_value(scores, members, k) for k in range(scores.size)])


def combined(first: FloatArray | float, second: FloatArray | float) -> FloatArray:
    """One p-value from both scores: the first at a fifth of the level, or both.

    Parameters
    ----------
    first : float or ndarray, shape (K,)
        P-values of what the subspace leaves over.
    second : float or ndarray, shape (K,)
        P-values of the share that it leaves over.

    Returns
    -------
    float or ndarray, shape (K,)
    """
    return np.asarray(np.minimum(np.minimum(first / FIRST_SHARE, np.maximum(first, second)), 1.0))


def accept_outward(first: FloatArray, second: FloatArray, half: int, level: float) -> BoolArray:
    """Accept clients in the order of the first score (K,), from the lowest ``half`` on, until one stands out.

    Parameters
    ----------
    first : ndarray, shape (K,)
        First score.
    second : ndarray, shape (K,)
        Second score.
    half : int
        ⌊K/2⌋ + 1.
    level : float
        Family-wise level.

    Returns
    -------
    bool ndarray, shape (K,)
    """
    order = np.argsort(first, kind="stable")
    accepted = np.zeros(first.size, dtype=np.bool_)
    accepted[order[:half]] = True
    for k in order[half:]:
        p_value = combined(prediction_p_value(first, accepted, k), prediction_p_value(second, accepted, k))
        # One that stands out does not stop the walk: a benign client of large coefficients may lie behind it.
        accepted[k] = p_value >= level / (accepted.sum() + 1)
    return accepted


def learnt_set(panel: Panel, start: BoolArray, rank: int, level: float) -> LogScores:
    """Fit, score, accept outward, fit on the accepted, until the set repeats itself.

    Parameters
    ----------
    panel : Panel
    start : bool ndarray, shape (K,)
        The set to begin with.
    rank : int
        r.
    level : float
        Family-wise level.

    Returns
    -------
    LogScores
    """
    half = panel.shape[0] // 2 + 1
    members = start
    seen: set[bytes] = set()
    floor = panel.floor**2 * panel.shape[1] * panel.shape[2]
    while True:
        off, inside = leave_one_out(panel, members, rank)
        first = np.log(np.maximum(off, floor))
        second = first - np.log(np.maximum(inside, floor)) if rank else first
        accepted = accept_outward(first, second, half, level)
        if np.array_equal(accepted, members) or accepted.tobytes() in seen or len(seen) >= _MOST_REFITS:
            break
        seen.add(accepted.tobytes())
        members = accepted
    p_values = combined(prediction_p_values(first, accepted), prediction_p_values(second, accepted))
    known = first[accepted]
    n = known.size
    reach = -special.stdtrit(n - 1, FIRST_SHARE * level / (n + 1)) * np.sqrt(1.0 + 1.0 / n)
    critical = np.full(first.size, known.mean() + reach * known.std(ddof=1))
    return LogScores(fit_shared(panel, accepted, rank), accepted, off, p_values, critical)


def accepted_outward(panel: Panel, start: BoolArray, rank: int, level: float) -> Consensus:
    """The verdict of the log scores, grown from a half of the clients (K,).

    Parameters
    ----------
    panel : Panel
    start : bool ndarray, shape (K,)
        The set to begin with.
    rank : int
        r.
    level : float
        Family-wise level.

    Returns
    -------
    Consensus
    """
    learnt = learnt_set(panel, start, rank, level)
    fit, members = learnt.fit, learnt.members
    residual = project_off(fit.basis, centred_blocks(panel, fit))
    total, freedom = residual_variance(panel, fit, np.einsum("kij,kij->k", residual, residual))
    noise = max(float(np.sqrt(total / freedom)) if freedom > 0 else 0.0, panel.floor)
    sizes = panel.scales * panel.units
    scores = np.sqrt(learnt.left) * sizes
    thresholds = np.exp(learnt.log_critical / 2.0) * sizes
    # Flagged by both looks together, below the first look's bound: the bound that flagged it lies under the score.
    alpha = level / (members.sum() + 1)
    lowered = scores * np.sqrt(np.clip(learnt.p_values / alpha, 0.0, 1.0 - 1e-9))
    thresholds = np.where(~members & (scores <= thresholds), lowered, thresholds)
    thresholds = np.where(members, np.maximum(thresholds, scores), thresholds)
    calibrated = Calibrated(scores, learnt.left, learnt.p_values, thresholds, noise)
    evidence = RankEvidence(rank, int(members.sum()), float("nan"), noise, True)
    return Consensus(
        fit,
        calibrated,
        members,
        (evidence,),
        accepted=True,
        law="log scores",
        why="errors are not white inside a client, as in low-rank updates",
        source="least median halves",
    )
