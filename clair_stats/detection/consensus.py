"""The collaborative set: the smallest rank at which a majority of clients agrees up to noise.

For r = 0, 1, 2, … the best halves found by concentration are grown to fixed points of *fit on the set → test every
client → keep the clients that pass*.  A rank is accepted when such a fixed point holds more than K/2 clients and its
residual is white.  Taking the smallest such rank is what separates a shared direction from a contamination that a
minority agrees on: the latter is only needed to explain the minority (docs/derivations/detection.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clair_stats.detection.calibration import Calibrated, calibrate, per_client_level
from clair_stats.detection.concentration import best_groups, random_subsets
from clair_stats.detection.directions import second_look, suspicious_directions
from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import Reduction, reduce_panel
from clair_stats.detection.shared_fit import SharedFit, fit_shared, standardised_residuals
from clair_stats.detection.votes import count_votes
from clair_stats.detection.whiteness import spike_ratio
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Consensus", "RankEvidence", "find_consensus"]

# Starts from the smallest subsets are drawn until, at a contaminated share of 0.45, all of them hold a contaminated
# client with at most this probability; a few larger ones suffer less from noise.
_ALL_SPOILT = 1e-4
_MOST_STARTS = 300
_LARGER_STARTS = (10, 5)
_MAX_STEPS = 30
_TIE_CLIENTS = 20
_CANDIDATES = 5
# The search draws its subsets from this fixed stream: the same data give the same answer, and no caller's generator
# is touched.
_SEARCH_SEED = 20_260_521


@dataclass(frozen=True)
class RankEvidence:
    """What was seen at one rank."""

    rank: int
    n_consistent: int  # clients that pass the test against the best fit of this rank
    votes: int  # those of them that do not owe their place to a direction that few members share
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
    accepted: bool  # whether some rank was accepted
    camps: tuple[BoolArray, ...] = ()  # two halves of the clients, each explained by a smaller rank on its own

    @property
    def majority(self) -> bool:
        """Whether there is a collaborative majority; two equal camps are none, whatever rank explains both."""
        return self.accepted and not self.camps


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
    everyone = np.ones((1, n_clients), dtype=np.bool_)
    given = np.concatenate([everyone, *(np.asarray(start, dtype=np.bool_)[None] for start in starts)])
    limit = min(p - 1, reduction.directions.shape[1])
    ranks = range(limit + 1) if rank is None else (rank,)
    evidence: list[RankEvidence] = []
    best: Consensus | None = None
    for r in ranks:
        candidate = _best_of_rank(panel, reduction, given, r, half, level, heterogeneity)
        if candidate is None:
            break
        accepted = candidate.votes >= half and (candidate.white or rank is not None)
        evidence.append(
            RankEvidence(
                r, int(candidate.members.sum()), candidate.votes, candidate.ratio, candidate.calibrated.noise, accepted
            )
        )
        current = Consensus(candidate.fit, candidate.calibrated, candidate.members, tuple(evidence), accepted)
        if accepted:
            return replace(current, camps=_equal_camps(panel, reduction, r, level) if rank is None else ())
        if best is None or evidence[-1].n_consistent > int(best.collaborative_set.sum()):
            best = current
    if best is None:
        raise ValueError(
            f"rank: {rank} needs more than {half - int(panel.common_component)} × {panel.shape[2]} benign columns "
            "to be identified; give a smaller rank or add clients"
        )
    return Consensus(best.fit, best.calibrated, best.collaborative_set, tuple(evidence), False)


def _equal_camps(panel: Panel, reduction: Reduction, rank: int, level: float) -> tuple[BoolArray, ...]:
    """Look for a tie: K/2 clients that agree at a rank below the accepted one, while the other K/2 agree as well.

    A larger shared subspace that holds both camps explains a tie too, and nothing in the data tells the two apart.
    Looked for up to 20 clients, where an exact tie is a practical risk.
    """
    n_clients, p, q = panel.shape
    half = n_clients // 2
    if n_clients % 2 or n_clients > _TIE_CLIENTS or half < 2:
        return ()
    for r in range(rank):
        if (half - int(panel.common_component)) * q <= r or r >= p:
            break
        masks = random_subsets(n_clients, _subset_sizes(panel, r), _stream())
        for camp in best_groups(panel, reduction, masks, r, half=half, level=level, n_best=2):
            if camp.sum() == half and all(_agrees(panel, group, rank - 1, level) for group in (camp, ~camp)):
                return camp, ~camp
    return ()


def _agrees(panel: Panel, group: BoolArray, rank: int, level: float) -> bool:
    """Whether these clients are consistent and white on their own at some rank up to ``rank``."""
    alpha = per_client_level(level, panel.shape[0])
    for r in range(rank + 1):
        if r and (int(group.sum()) - int(panel.common_component)) * panel.shape[2] <= r:
            return False
        fit = fit_shared(panel, group, r)
        calibrated = calibrate(panel, fit, level=level)
        if spike_ratio(panel, fit) <= 1.0 and not (calibrated.p_values[group] < alpha).any():
            return True
    return False


def _stream() -> np.random.Generator:
    return np.random.default_rng(_SEARCH_SEED)


def _subset_sizes(panel: Panel, rank: int) -> dict[int, int]:
    """How many subsets of which size: from the fewest clients that determine U and M upward.

    At a contaminated share of 0.45 a pair is all benign in 30 % of the draws, a triple in 17 %, five clients in 5 %.
    """
    n_clients, _, q = panel.shape
    least = int(panel.common_component) + max(-(-rank // q), 1)
    enough = math.ceil(math.log(_ALL_SPOILT) / math.log1p(-(0.55**least)))
    sizes = {least: min(enough, _MOST_STARTS), least + 1: _LARGER_STARTS[0], least + 3: _LARGER_STARTS[1]}
    return {min(size, n_clients): count for size, count in sizes.items()}


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A fixed point of one rank."""

    fit: SharedFit
    calibrated: Calibrated
    members: BoolArray
    votes: int
    ratio: float

    @property
    def white(self) -> bool:
        return self.ratio <= 1.0

    @property
    def merit(self) -> tuple[bool, int]:
        """White residuals first: a mixture of benign and contaminated clients can be large, but is never white."""
        return self.white, self.votes


def _best_of_rank(
    panel: Panel,
    reduction: Reduction,
    starts: BoolArray,
    rank: int,
    half: int,
    level: float,
    heterogeneity: float,
) -> _Candidate | None:
    """The best fixed point grown from the best halves; None when the rank cannot be identified by half the clients."""
    q = panel.shape[2]
    if rank and (half - int(panel.common_component)) * q <= rank:
        return None
    best: _Candidate | None = None
    masks = np.concatenate([starts, random_subsets(panel.shape[0], _subset_sizes(panel, rank), _stream())])
    known: dict[bytes, _Outcome] = {}  # candidates often meet on their way

    def tested(members: BoolArray) -> _Outcome:
        key = members.tobytes()
        if key not in known:
            known[key] = _tested(panel, members, rank, half, level, heterogeneity)
        return known[key]

    for mask in best_groups(panel, reduction, masks, rank, half=half, level=level, n_best=_CANDIDATES):
        fit, calibrated, members = _fixed_point(tested, mask, half)
        votes = count_votes(panel, fit, members, calibrated.noise)
        candidate = _Candidate(fit, calibrated, members, votes, spike_ratio(panel, fit, heterogeneity=heterogeneity))
        if best is None or candidate.merit > best.merit:
            best = candidate
        if best.white and best.votes >= half:
            break
    return best


_Outcome = tuple[SharedFit, Calibrated, BoolArray]


def _fixed_point(tested: Callable[[BoolArray], _Outcome], start: BoolArray, half: int) -> _Outcome:
    """Fit, test, keep those that pass; never below half the clients.

    The set is a fixed point when it repeats itself.  A cycle is left at its largest set, and the number of steps is
    bounded, so the loop cannot run on; refilling to h keeps it from collapsing onto a few clients that fit each other.
    """
    members = start
    seen: dict[bytes, BoolArray] = {}
    while True:
        fit, calibrated, passed = tested(members)
        following = passed if passed.sum() >= half else _nearest(calibrated.statistics, half)
        if np.array_equal(following, members) or len(seen) >= _MAX_STEPS:
            return fit, calibrated, passed
        if following.tobytes() in seen:
            largest = max(seen.values(), key=lambda m: int(m.sum()))
            return tested(largest)
        seen[members.tobytes()] = members
        members = following


def _tested(panel: Panel, members: BoolArray, rank: int, half: int, level: float, heterogeneity: float) -> _Outcome:
    """Fit on the members, test every client twice, return who passes.

    The second look is taken against the clients that fail the first.  It is dropped when it would leave no majority:
    then the directions belong to the shared subspace and the rank is too small.
    """
    alpha = per_client_level(level, panel.shape[0])
    fit = fit_shared(panel, members, rank)
    residuals = standardised_residuals(panel, fit)
    calibrated = calibrate(panel, fit, level=level, heterogeneity=heterogeneity, residuals=residuals)
    passed: BoolArray = ~(calibrated.p_values < alpha)
    if passed.sum() < half:
        return fit, calibrated, passed
    directions = suspicious_directions(panel, fit, residuals.blocks, passed, calibrated.noise)
    if directions.shape[1] == 0:
        return fit, calibrated, passed
    p_along, excess = second_look(
        panel, fit, residuals.blocks, directions, calibrated.noise, level=level, heterogeneity=heterogeneity
    )
    both = passed & ~(p_along < alpha)
    if both.sum() < half:
        return fit, calibrated, passed
    return fit, calibrated.tightened(np.where(p_along < alpha, p_along, 1.0), excess), both


def _nearest(statistics: FloatArray, count: int) -> BoolArray:
    nearest = np.zeros(statistics.size, dtype=np.bool_)
    nearest[np.argsort(statistics, kind="stable")[:count]] = True
    return nearest
