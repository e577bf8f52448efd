"""The collaborative set: the smallest rank at which a majority of clients agrees up to noise.

For r = 0, 1, 2, … the best halves found by concentration are grown to fixed points of *fit on the set → test every
client → keep the clients that pass*.  A rank is accepted when such a fixed point holds more than K/2 clients and its
residual is white.  Taking the smallest such rank is what separates a shared direction from a contamination that a
minority agrees on: the latter is only needed to explain the minority (docs/derivations/detection.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clair_stats.detection.calibration import Calibrated, calibrate, per_client_level
from clair_stats.detection.concentration import best_halves, random_subsets
from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import Reduction, reduce_panel
from clair_stats.detection.shared_fit import SharedFit, fit_shared
from clair_stats.detection.whiteness import spike_ratio
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Consensus", "RankEvidence", "find_consensus"]

_STARTS_PER_SIZE = 80
_MAX_STEPS = 30
_CANDIDATES = 3
# The search draws its subsets from this fixed stream: the same data give the same answer, and no caller's generator
# is touched.
_SEARCH_SEED = 20_260_521


@dataclass(frozen=True)
class RankEvidence:
    """What was seen at one rank."""

    rank: int
    n_consistent: int  # clients that pass the test against the best fit of this rank
    spike_ratio: float  # largest residual eigenvalue over its noise edge; white when ≤ 1
    noise: float  # φ at this fit
    accepted: bool


@dataclass(frozen=True, eq=False)
class Consensus:
    """The accepted fit, or the best one found when nothing was acceptable."""

    fit: SharedFit
    calibrated: Calibrated
    collaborative_set: BoolArray  # (K,)
    evidence: tuple[RankEvidence, ...]
    majority: bool  # whether a collaborative majority was found


def find_consensus(
    panel: Panel,
    *,
    rank: int | None,
    level: float,
    heterogeneity: float = 0.0,
    starts: Sequence[BoolArray] = (),
) -> Consensus:
    """Search rank by rank; ``starts`` are extra initial sets (K,), such as the support of a convex solution."""
    n_clients, p, _ = panel.shape
    half = n_clients // 2 + 1
    reduction = reduce_panel(panel)
    masks = _starting_masks(panel, starts)
    limit = min(p - 1, reduction.directions.shape[1])
    ranks = range(limit + 1) if rank is None else (rank,)
    evidence: list[RankEvidence] = []
    best: Consensus | None = None
    for r in ranks:
        candidate = _best_of_rank(panel, reduction, masks, r, half, level, heterogeneity)
        if candidate is None:
            break
        fit, calibrated, members = candidate
        ratio = spike_ratio(panel, fit, heterogeneity=heterogeneity)
        count = int(members.sum())
        accepted = count >= half and (ratio <= 1.0 or rank is not None)
        evidence.append(RankEvidence(r, count, ratio, calibrated.noise, accepted))
        current = Consensus(fit, calibrated, members, tuple(evidence), accepted)
        if accepted:
            return current
        if best is None or count > int(best.collaborative_set.sum()):
            best = current
    assert best is not None
    return Consensus(best.fit, best.calibrated, best.collaborative_set, tuple(evidence), False)


def _starting_masks(panel: Panel, starts: Sequence[BoolArray]) -> BoolArray:
    n_clients = panel.shape[0]
    generator = np.random.default_rng(_SEARCH_SEED)
    sizes = tuple(sorted({min(m, n_clients) for m in (2, 3, 5)}))
    random = random_subsets(n_clients, sizes, _STARTS_PER_SIZE, generator)
    everyone = np.ones((1, n_clients), dtype=np.bool_)
    return np.concatenate([everyone, *(np.asarray(s, dtype=np.bool_)[None] for s in starts), random])


def _best_of_rank(
    panel: Panel,
    reduction: Reduction,
    masks: BoolArray,
    rank: int,
    half: int,
    level: float,
    heterogeneity: float,
) -> tuple[SharedFit, Calibrated, BoolArray] | None:
    """Largest fixed point among the best halves; ties by the smaller residual."""
    q = panel.shape[2]
    if rank and (half - int(panel.common_component)) * q <= rank:
        return None
    halves, _ = best_halves(reduction, panel.design, masks, rank, half, _CANDIDATES)
    best: tuple[SharedFit, Calibrated, BoolArray] | None = None
    for mask in halves:
        candidate = _fixed_point(panel, mask, rank, half, level, heterogeneity)
        if best is None or candidate[2].sum() > best[2].sum():
            best = candidate
        if best[2].all():
            break
    return best


def _fixed_point(
    panel: Panel, start: BoolArray, rank: int, half: int, level: float, heterogeneity: float
) -> tuple[SharedFit, Calibrated, BoolArray]:
    """Fit, test, keep those that pass; never below half the clients.

    The set is a fixed point when it repeats itself.  A cycle is left at its largest set, and the number of steps is
    bounded, so the loop cannot run on; refilling to h keeps it from collapsing onto a few clients that fit each other.
    """
    n_clients = panel.shape[0]
    alpha = per_client_level(level, n_clients)
    members = start
    seen: dict[bytes, BoolArray] = {}
    while True:
        fit = fit_shared(panel, members, rank)
        calibrated = calibrate(panel, fit, level=level, heterogeneity=heterogeneity)
        passed: BoolArray = ~(calibrated.p_values < alpha)
        following = passed if passed.sum() >= half else _nearest(calibrated.statistics, half)
        if np.array_equal(following, members) or len(seen) >= _MAX_STEPS:
            return fit, calibrated, passed
        if following.tobytes() in seen:
            largest = max(seen.values(), key=lambda m: int(m.sum()))
            fit = fit_shared(panel, largest, rank)
            calibrated = calibrate(panel, fit, level=level, heterogeneity=heterogeneity)
            return fit, calibrated, ~(calibrated.p_values < alpha)
        seen[members.tobytes()] = members
        members = following


def _nearest(statistics: FloatArray, count: int) -> BoolArray:
    nearest = np.zeros(statistics.size, dtype=np.bool_)
    nearest[np.argsort(statistics, kind="stable")[:count]] = True
    return nearest
