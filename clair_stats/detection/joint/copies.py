"""Clients that send one update several times share one vote.

One client that answers under many names, or attackers who send one update to the last digits, are no majority of
clients that agree.  Two clients are copies where, in every module and over all of them, their sizes are the same and
their directions closer than honest clients come, however little these differ by; how close that is depends on the
number of directions in which they do (docs/derivations/joint_verdict.md, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from clair_stats.linalg import cosines_of
from clair_stats.records import BoolArray, FloatArray

__all__ = ["closest_by_chance", "representatives"]

# Of the squared distance to the nearest half: a tenth of the distance.  A heuristic for attackers, who can keep away
# from it.
_COPIES = 0.01
# Between the sizes of two copies.  A multiple of somebody's update is an update of its own: with directions alone one a
# hundred times as large had shared an honest client's verdict.
_SAME_SIZE = 1.05
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
    return min(_COPIES, float((_BY_CHANCE / n_clients**2) ** (2.0 / freedom) / (2.0 * math.e)))


def representatives(products: Sequence[FloatArray], freedom: int) -> NDArray[np.int64]:
    """The client that votes for each client, itself where nobody sends nearly the same, (K,).

    Parameters
    ----------
    products : sequence of ndarray, shape (K, K)
        Inner products of the clients' updates, one per module.
    freedom : int
        d, directions in which the directions of honest clients differ; without any nobody shares a vote.

    Returns
    -------
    ndarray of int, shape (K,)
        Of a group of copies the one that is nearest to the others.
    """
    total = np.sum(products, axis=0)
    n_clients = len(total)
    itself = np.arange(n_clients)
    if n_clients < 3 or freedom < 1:
        return itself
    share = closest_by_chance(n_clients, freedom)
    distances, near = compared = _compared(total)
    silent = np.diag(total) == 0.0  # nothing sent is no direction
    alike = (near > _ROUNDING) & ~(silent[:, None] | silent) & _alike(total, share, *compared)
    # Whoever copies all but a small module, and poisons that, is a client of its own.
    for module in products if len(products) > 1 else ():
        alike &= _alike(module, share, *_compared(module))
    np.fill_diagonal(alike, False)
    if not alike.any():
        return itself
    count, group = connected_components(alike, directed=False)
    owners = itself.copy()
    for number in range(count):
        own = np.flatnonzero(group == number)
        if own.size > 1:
            owners[own] = own[np.argmin(distances[np.ix_(own, own)].sum(axis=1))]
    return owners


def _compared(products: FloatArray) -> tuple[FloatArray, FloatArray]:
    """1 − cosine of all pairs, and of each pair's two distances to the nearest half the smaller, (K, K) both."""
    distances = np.maximum(1.0 - cosines_of(products), 0.0)
    np.fill_diagonal(distances, 0.0)
    half = len(products) // 2  # of k itself and the others in order, the one that makes a majority
    reach = np.partition(distances, half, axis=1)[:, half]
    return distances, np.minimum(reach[:, None], reach)


def _alike(products: FloatArray, share: float, distances: FloatArray, near: FloatArray) -> BoolArray:
    """Who sends the same size in nearly the same direction, or nothing both, (K, K)."""
    sizes = np.sqrt(np.diag(products))
    same = np.maximum(sizes[:, None], sizes) <= _SAME_SIZE * np.minimum(sizes[:, None], sizes)
    nothing = (sizes[:, None] == 0.0) & (sizes == 0.0)
    return np.asarray(same & (distances <= np.maximum(share * near, _ROUNDING)) | nothing)
