"""Step 0 of a single module: clients that send one update several times share one vote.

Copies of one honest client explain each other at any rank, and leave too few others for a majority that uses all of its
directions; copies of an attacker bring their own direction into the common ones.  The verdict comes from one client of
each group and holds for the whole group (docs/derivations/joint_verdict.md, section 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.joint.copies import representatives
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.step_5_verdict import Consensus

__all__ = ["decided_by_distinct", "voters_of"]

# All pairs are compared, which nobody waits for among many more clients than these.
_MOST_COMPARED = 2000
_FEWEST_CLIENTS = 3
# Clients of absurd size keep squares that are numbers; what they are cut to is no size of anybody else's.
_LARGEST_FACTOR = 2.0**100


def voters_of(panel: Panel) -> NDArray[np.int64]:
    """The client that votes for each client, itself where nobody sends nearly the same, (K,).

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    ndarray of int, shape (K,)
        Everybody votes among more than 2000 clients, and where fewer than three would be left.
    """
    n_clients, p, q = panel.shape
    itself = np.arange(n_clients)
    if n_clients > _MOST_COMPARED:
        return itself
    sizes = np.minimum(panel.units / panel.unit, _LARGEST_FACTOR) * panel.scales / panel.scales.max()
    flat = (panel.blocks * sizes[:, None, None]).reshape(n_clients, p * q)
    # One shared direction lets clients differ in its q columns; the length of an update is no direction.
    voters = representatives([flat @ flat.T], q - 1)
    return itself if np.unique(voters).size < _FEWEST_CLIENTS else voters


def decided_by_distinct(panel: Panel, decide: Callable[[Panel], Consensus]) -> Consensus:
    """The verdict of the clients that have a vote, for all.

    Parameters
    ----------
    panel : Panel
        All clients.
    decide : callable
        The detector.

    Returns
    -------
    Consensus
    """
    voters = voters_of(panel)
    distinct = np.unique(voters)
    if distinct.size == voters.size:
        return decide(panel)
    found = decide(_of_clients(panel, distinct))
    place = np.searchsorted(distinct, voters)
    fitted = np.zeros(voters.size, dtype=np.bool_)
    fitted[distinct[found.fit.members]] = True
    tested = found.calibrated
    calibrated = replace(
        tested,
        scores=tested.scores[place],
        statistics=tested.statistics[place],
        p_values=tested.p_values[place],
        thresholds=tested.thresholds[place],
    )
    return replace(
        found,
        fit=fit_shared(panel, fitted, found.fit.basis.shape[1]),
        calibrated=calibrated,
        collaborative_set=found.collaborative_set[place],
        oversized=None if found.oversized is None else found.oversized[place],
        voters=voters,
    )


def _of_clients(panel: Panel, clients: NDArray[np.int64]) -> Panel:
    law = panel.covariances
    return replace(
        panel,
        blocks=panel.blocks[clients],
        design=panel.design[clients],
        scales=panel.scales[clients],
        energies=panel.energies[clients],
        units=panel.units[clients],
        covariances=None if law is None else law.of(clients),
    )
