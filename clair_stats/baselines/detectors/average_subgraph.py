"""Influence graph and its maximum average sub-graph (Sun et al., 2021; arXiv 2111.14309).

Nodes are training points or clients, an edge says how much one supports the other, and the group sought is the set of
a given size with the largest mean edge.  The paper seeks the poisoned group, since poisoned points support each other.
Between clients with scattered contamination it is the benign ones that do (``seeks="benign"``).  Told the group's
size; without it the own rule of each direction is stated in :func:`average_subgraph`.

For a fixed size this is the heaviest k-subgraph, NP-hard: exhaustive up to a number of subsets, else greedy peeling
and exchanges of one node for another until none helps, which is a heuristic.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Literal

import numpy as np

from clair_stats.baselines.detectors.suspicion import Suspicion, checked_blocks, cosines, suspect
from clair_stats.records import BoolArray, FloatArray

__all__ = ["average_subgraph", "max_average_subgraph", "mean_edge"]

_EXHAUSTIVE = 3500  # subsets; the 3432 halves of 14 nodes are the most up to n = 14
_EXCHANGES = 1000  # more would mean a cycle of equal values; every exchange raises the sum


def mean_edge(edges: FloatArray, members: BoolArray) -> float:
    """Mean of the edges inside a group of two or more nodes, both directions.

    Parameters
    ----------
    edges : ndarray, shape (n, n)
    members : bool ndarray, shape (n,)

    Returns
    -------
    float
        Scale of the edges.
    """
    inside = edges[np.ix_(members, members)]
    size = inside.shape[0]
    return float((inside.sum() - np.trace(inside)) / (size * (size - 1)))


def max_average_subgraph(edges: FloatArray, size: int, *, exhaustive: bool | None = None) -> BoolArray:
    """The group of a given size with the largest mean edge.

    Parameters
    ----------
    edges : ndarray, shape (n, n)
        Influence of node j on node i; the diagonal is not used, and both directions count.
    size : int
        From 2 to n.
    exhaustive : bool, optional
        Whether all subsets are tried; when not given, where there are at most 3,500 of them.

    Returns
    -------
    bool ndarray, shape (n,)
        True = in the group.

    Raises
    ------
    ValueError
        Edges that are no square matrix of finite numbers, or a size outside 2 … n.
    """
    graph = np.asarray(edges, dtype=np.float64)
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1] or not np.isfinite(graph).all():
        raise ValueError(f"edges: shape {graph.shape}; give a square matrix of finite numbers")
    n = graph.shape[0]
    if not 2 <= size <= n:
        raise ValueError(f"size: {size}; give an integer from 2 to {n}")
    weights = graph + graph.T
    np.fill_diagonal(weights, 0.0)
    if exhaustive if exhaustive is not None else comb(n, size) <= _EXHAUSTIVE:
        best = max(combinations(range(n), size), key=lambda group: weights[np.ix_(group, group)].sum())
        members = np.zeros(n, dtype=np.bool_)
        members[list(best)] = True
        return members
    return _exchanged(weights, _peeled(weights, size))


def _peeled(weights: FloatArray, size: int) -> BoolArray:
    """Take out the node with the smallest sum of edges until ``size`` are left."""
    members = np.ones(len(weights), dtype=np.bool_)
    sums = weights.sum(axis=1)
    for _ in range(len(weights) - size):
        worst = int(np.argmin(np.where(members, sums, np.inf)))
        members[worst] = False
        sums = sums - weights[worst]
    return members


def _exchanged(weights: FloatArray, members: BoolArray) -> BoolArray:
    """Exchange a member for another node as long as the sum of edges grows."""
    members = members.copy()
    for _ in range(_EXCHANGES):
        sums = weights[:, members].sum(axis=1)
        inside, outside = np.flatnonzero(members), np.flatnonzero(~members)
        if outside.size == 0:
            break
        gains = sums[outside][None, :] - sums[inside][:, None] - weights[np.ix_(inside, outside)]
        leaves, enters = np.unravel_index(int(np.argmax(gains)), gains.shape)
        if gains[leaves, enters] <= 1e-12 * max(float(np.abs(sums).max()), np.finfo(float).tiny):
            break
        members[inside[leaves]], members[outside[enters]] = False, True
    return members


def _support(edges: FloatArray, group: BoolArray) -> FloatArray:
    """Mean edge between every node and the group, the node itself left out, shape (n,)."""
    weights = (edges + edges.T) / 2.0
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights[:, group].sum(axis=1) / np.maximum(group.sum() - group, 1), dtype=np.float64)


def average_subgraph(
    blocks: FloatArray, *, seeks: Literal["benign", "poisoned"] = "benign", n_contaminated: int | None = None
) -> Suspicion:
    """Flag clients by the group with the largest mean cosine of updates.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    seeks : {"benign", "poisoned"}
        Which clients are taken to support each other.
    n_contaminated : int, optional
        f, told to an oracle: the group has K − f or f members.  When not given: "benign" takes the best group of
        ⌊K/2⌋ + 1 and flags clients whose mean cosine with it is below its members' smallest by more than their range;
        "poisoned" takes the size from 2 to ⌊(K − 1)/2⌋ with the largest difference between the mean edge inside and
        the mean edge to the others, and so always flags somebody.

    Returns
    -------
    Suspicion
        Scores: the mean cosine with the poisoned group, or minus that with the benign one.

    Raises
    ------
    ValueError
        An unknown ``seeks``, or blocks that
        :func:`~clair_stats.baselines.detectors.suspicion.checked_blocks` refuses.
    """
    if seeks not in ("benign", "poisoned"):
        raise ValueError(f"seeks: {seeks!r} is unknown; give 'benign' or 'poisoned'")
    edges = cosines(checked_blocks(blocks, n_contaminated))
    n_clients = len(edges)
    if seeks == "benign":
        size = n_clients // 2 + 1 if n_contaminated is None else n_clients - n_contaminated
        group = max_average_subgraph(edges, max(size, 2))
        scores = -_support(edges, group)
        largest, smallest = float(scores[group].max()), float(scores[group].min())
        own = ~group & (scores > 2.0 * largest - smallest)
        return Suspicion(scores, own if n_contaminated is None else ~group)
    if n_contaminated is not None and n_contaminated < 2:  # a group of one has no edges: mean cosine with all others
        return suspect(_support(edges, np.ones(n_clients, dtype=np.bool_)), np.zeros(0, np.bool_), n_contaminated)
    if n_contaminated is not None:
        group = max_average_subgraph(edges, n_contaminated)
        return Suspicion(_support(edges, group), group)
    group = max(
        (max_average_subgraph(edges, size, exhaustive=False) for size in range(2, max((n_clients - 1) // 2, 2) + 1)),
        key=lambda found: mean_edge(edges, found) - float(edges[np.ix_(found, ~found)].mean()),
    )
    return Suspicion(_support(edges, group), group)
