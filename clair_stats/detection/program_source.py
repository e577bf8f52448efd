"""Candidates from the convex program: the sets that the path of (E) proposes, in the place of random subsets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clair_stats.decomposition.proposals import Proposal, propose
from clair_stats.detection.panel import Panel
from clair_stats.detection.step_2_candidates import Candidate, search
from clair_stats.records import BoolArray

__all__ = ["program", "proposals_of"]


def proposals_of(panel: Panel) -> tuple[Proposal, ...]:
    """What the program proposes on the blocks of a panel, σ_k as weights."""
    blocks = panel.blocks * panel.scales[:, None, None]
    equal = bool((panel.scales == panel.scales[0]).all())
    return propose(blocks, noise_scales=None if equal else panel.scales, common_component=panel.common_component)


def program(panel: Panel, *, rank: int | None = None) -> Iterator[Candidate]:
    """Candidates by increasing rank, grown from what the program proposes."""
    found = proposals_of(panel)
    if found:
        starts: BoolArray = np.stack([proposal.members for proposal in found])
        yield from search(panel, rank=rank, starts=starts, source="program")
