"""One verdict: the law of white errors where the errors are white, the clients' own law where they are not.

1. Off the directions that clients have in common, benign or not, a first look asks whether errors are white.
2. If so, or if the noise is given, the consensus search tests with χ² (noise known) or F (noise learnt).  Its flags
   are dropped when all clients agree at some rank and nothing shows that only the flagged ones use the extra
   directions (``everyone``, ``generic_use``).  The answer stands when the residuals of the set look white.
3. If not, the half whose worst member fits best is found at every rank, without a law.
4. Where that half's residuals are not white, its log scores are the law: ``log_scores``.
5. Where they are white, the search's answer stands, also when it is that no majority agrees.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from clair_stats.detection.calibration import Calibrated, residual_variance
from clair_stats.detection.consensus import Consensus, RankEvidence, find_consensus, rank_limit
from clair_stats.detection.error_law import errors_are_white
from clair_stats.detection.everyone import everyone_stands
from clair_stats.detection.generic_use import members_share, used_by_all
from clair_stats.detection.least_median import choose_rank, least_median_halves
from clair_stats.detection.levelling import levelled
from clair_stats.detection.log_scores import learnt_set
from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import leading_directions
from clair_stats.detection.shared_fit import SharedFit, centered_blocks, fit_shared
from clair_stats.detection.votes import count_votes
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray

__all__ = ["decide"]

# Fewer accepted clients leave a t law with less than three degrees of freedom for a Bonferroni tail.
_FEWEST_CLIENTS = 6
# More directions than a shared subspace and a coordinated contamination of ordinary rank take together.
_COMMON = 24


def decide(panel: Panel, *, rank: int | None, level: float, heterogeneity: float = 0.0) -> Consensus:
    """Find the collaborative set under the law that the errors follow.

    Parameters
    ----------
    panel : Panel
        Blocks of all clients on a common noise scale.
    rank : int, optional
        Dimension of the shared subspace; chosen when not given.
    level : float
        Probability of any false alarm among benign clients.
    heterogeneity : float
        Tolerated benign difference; where it is given the white law with that tolerance decides.

    Returns
    -------
    Consensus
        With ``law`` and ``cut_to`` saying what decided.
    """
    search = partial(_under_white_errors, panel, rank=rank, level=level, heterogeneity=heterogeneity)
    if panel.noise is not None or heterogeneity > 0 or panel.shape[0] < _FEWEST_CLIENTS:
        return search()
    found = search() if _white_off_common_directions(panel) else None
    if found is not None and found.accepted and _white_about(panel, found.fit, found.collaborative_set):
        return found
    cut, common = levelled(panel)
    half = choose_rank(least_median_halves(cut, rank=rank), panel.shape[1])
    if _white_about(cut, fit_shared(cut, half.members, half.rank), half.members):
        return search() if found is None else found
    return replace(_learnt(cut, half.members, half.rank, level), cut_to=common)


def _under_white_errors(panel: Panel, *, rank: int | None, level: float, heterogeneity: float) -> Consensus:
    """The search's answer, unless everyone agrees too and nothing shows that only the flagged use the extra rank."""
    found = find_consensus(panel, rank=rank, level=level, heterogeneity=heterogeneity)
    if found.camps or (found.accepted and found.collaborative_set.all()):
        return found
    smallest = found.fit.basis.shape[1] if found.accepted or rank is not None else 0
    largest = rank_limit(panel) if rank is None else rank
    for larger in range(smallest, largest + 1):
        stands = everyone_stands(panel, larger, level=level, heterogeneity=heterogeneity)
        if stands is None:
            continue
        fit, calibrated = stands
        if not found.accepted:
            bought = count_votes(panel, fit, fit.members, calibrated.noise) < fit.members.size
        elif larger > smallest:  # a smaller rank, at which a majority agrees
            bought = not (
                members_share(panel, found.fit, found.calibrated.noise)
                and used_by_all(panel, fit, found.collaborative_set, smallest, calibrated.noise)
            )
        else:
            bought = False
        if bought:
            return found
        size = fit.members.size
        evidence = RankEvidence(larger, size, size, 1.0, calibrated.noise, True)
        return Consensus(fit, calibrated, fit.members, (*found.evidence, evidence), accepted=True)
    return found


def _white_off_common_directions(panel: Panel) -> bool:
    """The first look: it spares a search that climbs rank after rank on errors that are white at none."""
    count = min(_COMMON, panel.shape[1] // 2)
    directions = leading_directions(panel, count).directions
    centered = panel.blocks - panel.design[:, None, None] * panel.robust_center
    return errors_are_white(project_off(directions, centered), count, panel.floor)


def _white_about(panel: Panel, fit: SharedFit, members: BoolArray) -> bool:
    residuals = project_off(fit.basis, centered_blocks(panel, fit)[members])
    return errors_are_white(residuals, fit.basis.shape[1], panel.floor)


def _learnt(panel: Panel, start: BoolArray, rank: int, level: float) -> Consensus:
    learnt = learnt_set(panel, start, rank, level)
    fit, members = learnt.fit, learnt.members
    residual = project_off(fit.basis, centered_blocks(panel, fit))
    total, freedom = residual_variance(panel, fit, np.einsum("kij,kij->k", residual, residual))
    noise = max(float(np.sqrt(total / freedom)) if freedom > 0 else 0.0, panel.floor)
    scores = np.sqrt(learnt.left) * panel.scales
    thresholds = np.exp(learnt.log_critical / 2.0) * panel.scales
    # Flagged by both looks together, below the first look's bound: the bound that flagged it lies under the score.
    alpha = level / (members.sum() + 1)
    lowered = scores * np.sqrt(np.clip(learnt.p_values / alpha, 0.0, 1.0 - 1e-9))
    thresholds = np.where(~members & (scores <= thresholds), lowered, thresholds)
    thresholds = np.where(members, np.maximum(thresholds, scores), thresholds)
    calibrated = Calibrated(scores, learnt.left, learnt.p_values, thresholds, noise)
    size = int(members.sum())
    evidence = RankEvidence(rank, size, size, float("nan"), noise, True)
    return Consensus(fit, calibrated, members, (evidence,), accepted=True, law="log scores")
