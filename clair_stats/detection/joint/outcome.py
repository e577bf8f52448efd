"""What the joint verdict says about each client.

See docs/derivations/joint_verdict.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.joint.alignment import Alignment
from clair_stats.detection.sizes import oversized
from clair_stats.records import BoolArray, FloatArray

__all__ = ["JointVerdict", "Scale"]

Scale = Literal["as given", "norms divided out", "both"]


@dataclass(frozen=True, eq=False)
class JointVerdict:
    """Who collaborates, and what it rests on."""

    collaborative_set: BoolArray  # (K,); all False without a majority
    scores: FloatArray  # (K,), the clients' sums
    thresholds: FloatArray  # (K,), flagged when scores > thresholds
    p_values: FloatArray  # (K,)
    module_scores: FloatArray  # (M, K), standard deviations above the members, module by module
    ranks: tuple[int, ...]  # M
    law: Literal["white errors", "log scores"]
    scale: Scale  # on which clients were compared
    cut_to: tuple[int | None, ...]  # M; the rank to which higher ones were cut
    reason: str | None  # why there is no majority
    alignment: Alignment | None = None  # which way the clients point; the set does not depend on it
    oversized: BoolArray | None = None  # (K,), flagged for their size; None where sizes were not judged apart
    voters: NDArray[np.int64] | None = None  # (K,), who votes for each client; None where nobody sends a copy

    @property
    def majority(self) -> bool:
        """Whether more than half of the clients agree."""
        return self.reason is None

    @property
    def counted(self) -> BoolArray:
        """Benign clients that have a vote, (K,): of those who send one update the one that speaks for it."""
        if self.voters is None:
            return self.collaborative_set
        return np.asarray(self.collaborative_set & (self.voters == np.arange(self.voters.size)))

    def with_sizes(self, sizes: FloatArray, level: float) -> JointVerdict:
        """The verdict on blocks of norm one, and those flagged whose whole update is much larger than the others'.

        Parameters
        ----------
        sizes : ndarray, shape (K,)
            Norms of the whole updates.
        level : float
            Share of the level that sizes have.

        Returns
        -------
        JointVerdict
        """
        look = oversized(sizes, level)
        members = self.collaborative_set & ~look.flagged
        if not self.majority or 2 * members.sum() <= members.size:
            return self
        return replace(
            self,
            collaborative_set=members,
            p_values=look.p_values_with(self.p_values),
            thresholds=look.thresholds_with(self.scores, self.thresholds),
            oversized=look.flagged,
        )

    def for_copies(self, voters: NDArray[np.int64]) -> JointVerdict:
        """The verdict on all clients, from that on the distinct ones, which are those that vote for themselves.

        Parameters
        ----------
        voters : ndarray of int, shape (K,)
            Who votes for each client.

        Returns
        -------
        JointVerdict
        """
        place = np.searchsorted(np.unique(voters), voters)
        assert self.alignment is not None
        return replace(
            self,
            collaborative_set=self.collaborative_set[place],
            scores=self.scores[place],
            thresholds=self.thresholds[place],
            p_values=self.p_values[place],
            module_scores=self.module_scores[:, place],
            alignment=self.alignment.of_clients(place),
            oversized=None if self.oversized is None else self.oversized[place],
            voters=voters,
        )
