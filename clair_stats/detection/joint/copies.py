"""Clients that send one update several times share one vote.

One client that answers under many names, or attackers who send one update to the last digits, are no majority of
clients that agree.  Two clients are copies where their directions are much closer to each other than either is to half
of the federation than honest clients come, however little they differ by; how close that is depends on the number of
directions in which they do (docs/derivations/joint_verdict.md, section 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from clair_stats.records import FloatArray

__all__ = ["closest_by_chance", "representatives"]

# Of the squared distance to the nearest half: a tenth of the distance.  A heuristic for attackers, who can keep away
# from it.
_COPIES = 0.01
# Probability that any two honest clients share a vote.
_BY_CHANCE = 1e-3
# Squared distances of unit updates below this are rounding.
_ROUNDING = 1e-12


def closest_by_chance(n_clients: int, freedom: int) -> float:
    """What two honest clients' squared distance does not fall below, as a share of that to the nearest half.

    Parameters
    ----------
    n_clients : int
        K.
    freedom : int
        d ≥ 1, directions in which the directions of honest clients differ.

    Returns
    -------
    float
        At most .01.
    """
    # K²(xe)^{d/2} ≤ _BY_CHANCE for x twice the share.
    return min(_COPIES, float((_BY_CHANCE / n_clients**2) ** (2.0 / freedom) / (2.0 * np.e)))


def representatives(between: FloatArray, freedom: int) -> NDArray[np.int64]:
    """The client that votes for each client, itself where nobody sends nearly the same, (K,).

    Parameters
    ----------
    between : ndarray, shape (K, K)
        Cosines of the clients' whole updates.
    freedom : int
        d, directions in which the directions of honest clients differ; without any nobody shares a vote.

    Returns
    -------
    ndarray of int, shape (K,)
        Of a group of copies the one that is nearest to the others.
    """
    n_clients = len(between)
    itself = np.arange(n_clients)
    if n_clients < 3 or freedom < 1:
        return itself
    distances = np.maximum(1.0 - between, 0.0)
    np.fill_diagonal(distances, 0.0)
    # Of k itself and the others in order, the one that makes a majority.
    reach = np.partition(distances, n_clients // 2, axis=1)[:, n_clients // 2]
    near = np.minimum(reach[:, None], reach)
    alike = (distances <= closest_by_chance(n_clients, freedom) * near) & (near > _ROUNDING)
    np.fill_diagonal(alike, True)
    silent = np.diag(between) == 0.0  # nothing sent is no direction
    alike &= ~(silent[:, None] | silent)
    count, group = connected_components(alike, directed=False)
    owners = itself.copy()
    for number in range(count):
        own = np.flatnonzero(group == number)
        if own.size > 1:
            owners[own] = own[np.argmin(distances[np.ix_(own, own)].sum(axis=1))]
    return owners
