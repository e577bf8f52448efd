"""Step 5, the verdict: an accepted set, or undecidable with the reason and what would decide it.

See docs/derivations/detection.md, sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.calibration import Calibrated
from clair_stats.detection.shared_fit import SharedFit
from clair_stats.detection.step_4_test import Outcome
from clair_stats.records import BoolArray

__all__ = ["Consensus", "RankEvidence", "accept", "undecidable"]


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
    collaborative_set: BoolArray  # (K,), True = passes; a verdict only when ``accepted``
    evidence: tuple[RankEvidence, ...]
    accepted: bool  # whether there is a verdict
    law: str = "F of white errors"  # what the p-values rest on: "given", "F of white errors" or "log scores"
    why: str = "no noise scale was given and errors are white inside a client"
    source: str = "everyone"  # what proposed the accepted set
    reason: str = ""  # why there is no verdict
    remedy: str = ""  # what would decide it
    cut_to: int | None = None  # rank to which estimates of unequal rank were cut before they were compared
    oversized: BoolArray | None = None  # (K,), flagged for their size where norms were divided out
    normalised: bool = False  # whether every block was divided by its norm before they were compared
    voters: NDArray[np.int64] | None = None  # (K,), who votes for each client; None where nobody sends a copy
    excess: float = 1.0  # learnt over given noise scale, where the given one was too small for the majority itself

    @property
    def majority(self) -> bool:
        """Whether there is a collaborative majority."""
        return self.accepted

    @property
    def votes(self) -> BoolArray:
        """Who has a vote, shape (K,): of those who send one update the one that speaks for it."""
        if self.voters is None:
            return np.ones_like(self.collaborative_set)
        return np.asarray(self.voters == np.arange(self.voters.size))

    @property
    def flagged(self) -> BoolArray:
        """Clients that the verdict calls contaminated, shape (K,); nobody without a verdict."""
        return np.asarray(~self.collaborative_set & self.accepted)


def evidence_of(tested: Outcome, *, accepted: bool) -> RankEvidence:
    """One line of the evidence.

    Parameters
    ----------
    tested : Outcome
    accepted : bool

    Returns
    -------
    RankEvidence
    """
    size = int(tested.passed.sum())
    return RankEvidence(tested.rank, size, tested.ratio, tested.calibrated.noise, accepted)


def accept(tested: Outcome, source: str, evidence: tuple[RankEvidence, ...]) -> Consensus:
    """A verdict: the clients that pass are benign, all others flagged.

    Parameters
    ----------
    tested : Outcome
    source : str
        Who proposed the set.
    evidence : tuple of RankEvidence
        By rank.

    Returns
    -------
    Consensus
    """
    line = evidence_of(tested, accepted=True)
    return Consensus(tested.fit, tested.calibrated, tested.passed, (*evidence, line), True, source=source)


def undecidable(
    best: Outcome, evidence: tuple[RankEvidence, ...], *, everyone: Outcome | None, rank: int | None
) -> Consensus:
    """No verdict, and why.

    ``everyone`` is the fit at which all clients agree although not all of them plausibly use its directions.

    Parameters
    ----------
    best : Outcome
    evidence : tuple of RankEvidence
        By rank.
    everyone : Outcome or None
    rank : int or None
        The rank that was given.

    Returns
    -------
    Consensus
    """
    n_clients, largest = best.passed.size, int(best.passed.sum())
    given = rank is not None
    if everyone is not None and rank is None:
        best = everyone
        reason = (
            f"all {n_clients} clients agree at rank {everyone.rank}, but a part of them alone uses some of its "
            "directions, and no majority agrees without them, so that it cannot be told which part is contaminated"
        )
        remedy = f"add clients, or say with rank={everyone.rank} that all of these directions may be shared"
    elif 2 * largest > n_clients:
        why, remedy = _doubt(best, given=given)
        reason = f"{largest} of the {n_clients} clients pass the test at rank {best.rank}, but {why}"
    else:
        where = "at the given rank" if given else "at any rank"
        reason = (
            f"no more than half of the {n_clients} clients agree up to noise {where} that so many clients can identify "
            f"(the largest group has {largest})"
        )
        remedy = (
            "add clients, fix the rank, give noise_scales, or allow benign differences off the subspace with "
            "heterogeneity; if clients share a row space, use shared='rows'"
        )
    return Consensus(
        best.fit, best.calibrated, best.passed, evidence, False, source="none", reason=reason, remedy=remedy
    )


def _doubt(best: Outcome, *, given: bool) -> tuple[str, str]:
    """Why a majority that agrees is not acceptable, and what would decide it."""
    if not given and best.ratio > 1.0:
        return (
            f"more than noise is left in their residuals ({best.ratio:.2g} times its edge), and no higher rank that so "
            "many clients can identify explains it",
            "fix the rank, give noise_scales or covariances, or add clients",
        )
    if not best.homogeneous:
        return (
            "their errors differ more in size than those of one scale can",
            "give noise_scales, sample_sizes or covariances, or allow benign differences off the subspace with "
            "heterogeneity",
        )
    return (
        "a part of them alone uses some of its directions, so that it cannot be told which part is contaminated",
        "add clients, or fix the rank if all of these directions may be shared",
    )
