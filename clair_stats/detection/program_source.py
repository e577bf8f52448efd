"""Candidates from the convex program: the sets that the path of (E) proposes, in the place of random subsets.

See docs/derivations/programs.md, section 9.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clair_stats.decomposition.proposals import Proposal
from clair_stats.detection.panel import Panel
from clair_stats.detection.step_2_candidates import Candidate, search
from clair_stats.records import BoolArray

__all__ = ["program", "program_starts", "proposer_of"]


def program_starts(panel: Panel) -> BoolArray:
    """The proposed sets as masks.

    Parameters
    ----------
    panel : Panel
        Blocks of all clients on a common noise scale.

    Returns
    -------
    ndarray of bool, shape (N, K)
        Empty where the program proposes nothing.
    """
    found = [proposal.members for proposal in panel.proposals]
    return np.array(found, dtype=np.bool_).reshape(len(found), panel.shape[0])


def program(panel: Panel, *, rank: int | None = None) -> Iterator[Candidate]:
    """Candidates by increasing rank, grown from what the program proposes.

    Parameters
    ----------
    panel : Panel
        Blocks of all clients on a common noise scale.
    rank : int, optional
        The only rank that is wanted.

    Yields
    ------
    Candidate
        Up to three sets a rank.
    """
    starts = program_starts(panel)
    if len(starts):
        yield from search(panel, rank=rank, starts=starts, source="program")


def proposer_of(panel: Panel, members: BoolArray, rank: int) -> Proposal | None:
    """The point of the path behind an accepted set: of the nearest rank, and there with the most similar set.

    Parameters
    ----------
    panel : Panel
        That of :func:`program`.
    members : ndarray of bool, shape (K,)
        The accepted set.
    rank : int
        Its rank.

    Returns
    -------
    Proposal or None
        None where the program proposed nothing.
    """

    def distance(proposal: Proposal) -> tuple[int, float]:
        union = max(int((members | proposal.members).sum()), 1)
        return abs(proposal.rank - rank), -int((members & proposal.members).sum()) / union

    return min(panel.proposals, key=distance, default=None)
