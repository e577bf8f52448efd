"""The collaborative set: the smallest rank at which a majority of clients agrees up to noise.

For r = 0, 1, 2, … the best halves found by concentration are grown to fixed points of *fit on the set → test every
client → keep the clients that pass*.  A rank is accepted when such a fixed point holds more than K/2 clients and its
residual is white.  Taking the smallest such rank is what separates a shared direction from a contamination that a
minority agrees on: the latter is only needed to explain the minority (docs/derivations/detection.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from clair_stats.detection.calibration import Calibrated
from clair_stats.detection.camps import equal_camps
from clair_stats.detection.concentration import Kernel, best_groups, least_rank
from clair_stats.detection.fixed_point import Outcome, Tester, fixed_point
from clair_stats.detection.joint_look import shared_after_all
from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import extended, reduce_panel
from clair_stats.detection.shared_fit import SharedFit, fit_shared
from clair_stats.detection.starts import starting_subsets
from clair_stats.detection.votes import count_votes
from clair_stats.records import BoolArray

__all__ = ["Consensus", "RankEvidence", "find_consensus", "rank_limit"]

# On development seeds of the robustness studies the accepted group was the first or the second looked at.
_CANDIDATES = 3
# A residual up to this multiple of its noise edge may be a direction that the signs have missed.
_NEAR_THE_EDGE = 1.5


@dataclass(frozen=True)
class RankEvidence:
    """What was seen at one rank."""

    rank: int
    n_consistent: int  # clients that pass the test against the best fit of this rank
    votes: int  # those that do not owe their place to a direction few members share; not counted off white: all
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
    law: str = "white errors"  # or "log scores": what the p-values rest on
    cut_to: int | None = None  # rank to which estimates of unequal rank were cut before they were compared

    @property
    def majority(self) -> bool:
        """Whether there is a collaborative majority; two equal camps are none, whatever rank explains both."""
        return self.accepted and not self.camps


def rank_limit(panel: Panel) -> int:
    """The largest rank that is tried: beyond it a basis merely spans the clients it explains, whatever they send."""
    n_clients, p, q = panel.shape
    spanned = min((n_clients // 2 + 1 - int(panel.common_component)) * q - 2, n_clients - 3)
    return max(min(p - 1, spanned), 0)


def find_consensus(
    panel: Panel,
    *,
    rank: int | None,
    level: float,
    heterogeneity: float = 0.0,
    starts: Sequence[BoolArray] = (),
) -> Consensus:
    """Search rank by rank; ``starts`` are extra initial sets (K,), such as the support of a convex solution."""
    search = _Search(panel, rank=rank, level=level, heterogeneity=heterogeneity, starts=starts)
    found = search.run(cautious=False)
    if rank is None and not found.accepted:
        found = search.run(cautious=True)
    if found.accepted and rank is None:
        return replace(found, camps=equal_camps(search.kernel, found.fit.basis.shape[1], level))
    return found


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A fixed point of one rank."""

    fit: SharedFit
    calibrated: Calibrated
    members: BoolArray
    votes: int
    ratio: float
    noise_only: bool  # residual white, and no direction of flagged clients in it

    @property
    def merit(self) -> tuple[bool, int]:
        """Noise first: a mixture of benign and contaminated clients can be large, but leaves more than noise."""
        return self.noise_only, self.votes


class _Search:
    """The ranks one after the other, on one reduction of the data."""

    def __init__(
        self, panel: Panel, *, rank: int | None, level: float, heterogeneity: float, starts: Sequence[BoolArray]
    ) -> None:
        self.panel, self.rank, self.level, self.heterogeneity = panel, rank, level, heterogeneity
        self.half = panel.shape[0] // 2 + 1
        everyone = np.ones((1, panel.shape[0]), dtype=np.bool_)
        self.given = np.concatenate([everyone, *(np.asarray(start, dtype=np.bool_)[None] for start in starts)])
        self._known_starts: dict[int, BoolArray] = {}
        self.reduction = reduce_panel(panel)
        self.kernel = Kernel(panel, self.reduction)

    def run(self, *, cautious: bool) -> Consensus:
        """The smallest accepted rank, or the best fit seen.

        Unless ``cautious``, ranks at which no start agrees with itself are only followed from the given starts.
        """
        panel, half = self.panel, self.half
        r = 0 if self.rank is None else self.rank
        least = 0 if cautious or self.rank is not None else self._least_rank()
        evidence: list[RankEvidence] = []
        best: Consensus | None = None
        while r <= (self._limit() if self.rank is None else r):
            candidate = self._best_of_rank(r, everything=r >= least)
            if candidate is None:
                break
            accepted = candidate.votes >= half and (self.rank is not None or candidate.noise_only)
            noise = candidate.calibrated.noise
            size = int(candidate.members.sum())
            evidence.append(RankEvidence(r, size, candidate.votes, candidate.ratio, noise, accepted))
            current = Consensus(candidate.fit, candidate.calibrated, candidate.members, tuple(evidence), accepted)
            if accepted or self.rank is not None:
                return current
            if best is None or size > int(best.collaborative_set.sum()):
                best = current
            near = 1.0 < candidate.ratio <= _NEAR_THE_EDGE
            if r == self._limit() and r < panel.shape[1] - 1 and size >= half and near:
                self._extend(candidate)
            r += 1
        if best is None:
            raise ValueError(
                f"rank: {r} needs more than {half - int(panel.common_component)} × {panel.shape[2]} benign columns "
                "to be identified; give a smaller rank or add clients"
            )
        return replace(best, evidence=tuple(evidence))

    def _limit(self) -> int:
        return min(rank_limit(self.panel), int(self.reduction.directions.shape[1]))

    def _extend(self, candidate: _Candidate) -> None:
        """Add what the members leave over to the common directions; near the edge of noise the signs may miss it."""
        members = candidate.members
        left = fit_shared(self.panel, members, candidate.fit.basis.shape[1] + 1).basis[:, -1]
        self.reduction = extended(self.panel, self.reduction, left)
        self.kernel = Kernel(self.panel, self.reduction)

    def _starts(self, rank: int) -> BoolArray:
        blocks = max(
            -(-rank // self.panel.shape[2]), 1
        )  # how many clients a basis takes: ranks that agree share starts
        if blocks not in self._known_starts:
            self._known_starts[blocks] = np.concatenate([self.given, starting_subsets(self.panel, rank)])
        return self._known_starts[blocks]

    def _least_rank(self) -> int:
        return least_rank(self.kernel, self._starts(0), heterogeneity=self.heterogeneity)

    def _best_of_rank(self, rank: int, *, everything: bool) -> _Candidate | None:
        """The best fixed point grown from the best halves; None when half the clients cannot identify the rank."""
        panel, half = self.panel, self.half
        if rank and (half - int(panel.common_component)) * panel.shape[2] <= rank:
            return None
        masks = self._starts(rank) if everything else self.given
        # Where the rank is given whiteness does not decide; where scales are unequal one precise client too many makes
        # an otherwise right set look far from white.
        to_the_end = self.rank is not None or panel.unequal_scales
        test = Tester(panel, rank, half=half, level=self.level, heterogeneity=self.heterogeneity, to_the_end=to_the_end)
        best: _Candidate | None = None
        for mask in best_groups(self.kernel, masks, rank, half=half, level=self.level, n_best=_CANDIDATES):
            # Groups come largest first; one that shrank on its way does not end the search before a larger one.
            if best is not None and best.noise_only and best.votes >= max(half, int(mask.sum())):
                break
            candidate = self._candidate(fixed_point(test, mask))
            if best is None or candidate.merit > best.merit:
                best = candidate
        return best

    def _candidate(self, outcome: Outcome) -> _Candidate:
        fit, calibrated, members = outcome.fit, outcome.calibrated, outcome.passed
        votes, noise_only = int(members.sum()), outcome.white
        # Votes decide where the rank could be accepted; elsewhere counting them would cost as much as the fit.
        if outcome.white or self.rank is not None:
            votes = count_votes(self.panel, fit, members, calibrated.noise)
        if outcome.white and votes >= self.half:
            noise_only = not shared_after_all(
                self.panel, fit, members, calibrated.noise, heterogeneity=self.heterogeneity
            )
        return _Candidate(fit, calibrated, members, votes, outcome.ratio, noise_only)
