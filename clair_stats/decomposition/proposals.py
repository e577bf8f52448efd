"""Which sets of clients the convex program proposes, and at which rank: (E) along λ, under two weightings.

With equal weights, and with near copies of one another sharing one vote: a group of identical clients otherwise pulls
as one client of many times the weight, and its direction enters first.  At every point of a path clients are ordered
by their distance from its subspace and centre; proposed are those within noise of the median distance, and the nearest
half.  Nothing here decides: the detection takes these sets where a search would draw random ones, and its law accepts
or refuses what grows from them (docs/derivations/programs.md, section 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from clair_stats.decomposition.problem import Problem, tall_norms, to_tall
from clair_stats.decomposition.program_path import PathPoint, program_path
from clair_stats.decomposition.solvers.grams import Grams
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Proposal", "copy_weights", "propose", "proposed"]

# Copies differ by noise alone, other pairs by their coefficients as well.  Of the way from the smallest squared
# distance to the median one, pairs up to the first share are copies, beyond the second they are not.
_COPIES, _STRANGERS = 0.15, 0.3
_ROUNDING = 1e-13  # of squared distances, relative to the largest
_FEWEST_COPIES = 2.5  # alike, the client itself included: a pair pulls no harder than two other clients
_MOST_COMPARED = 2000  # clients; beyond it all pairs are too many, and equal weights alone are used
# Scatters of the clients are kept where they take at most this many times the numbers of the stack, and the stack at
# most 64 MiB.
_WIDEST, _LARGEST = 4, 1 << 23
_TAIL = 0.01  # of the law of a distance, over all clients, beyond which a client is not proposed


@dataclass(frozen=True, eq=False)
class Proposal:
    """A set of clients that might agree, and the point of the path that says so."""

    members: BoolArray  # (K,)
    rank: int  # of L at that point
    block_penalty: float  # λ
    client_weights: FloatArray  # (K,), ω


def propose(
    blocks: FloatArray,
    *,
    noise_scales: FloatArray | None = None,
    common_component: bool = True,
) -> tuple[Proposal, ...]:
    """The distinct sets of both paths.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
        The local estimators.
    noise_scales : ndarray, shape (K,), optional
        Relative σ_k; equal when not given.  A client's weight is then 1/σ_k.
    common_component : bool
        Whether M is free.

    Returns
    -------
    tuple of Proposal
        In the order of the paths, that with equal votes first.
    """
    tall = to_tall(blocks)
    if common_component:
        # Any shift moves M only.  The mean of the smaller half keeps one huge client out of everybody's digits.
        smaller = np.argsort(tall_norms(tall), kind="stable")[: len(tall) // 2 + 1]
        tall -= tall[smaller].mean(axis=0)
    grams = Grams(Problem(tall, np.ones(len(tall)), common_component=common_component))
    if tall.shape[2] <= _WIDEST * tall.shape[1] and tall.size <= _LARGEST:
        _ = grams.scatters  # formed once for the spectra of all points of both paths
    return proposed(grams, None if noise_scales is None else noise_scales / noise_scales.min())


def proposed(grams: Grams, scales: FloatArray | None = None) -> tuple[Proposal, ...]:
    """The distinct sets of both paths, from the products of a stack that is about a central block where M is free.

    Parameters
    ----------
    grams : Grams
    scales : ndarray, shape (K,), optional
        Relative σ_k, the smallest 1; equal when not given.

    Returns
    -------
    tuple of Proposal
        In the order of the paths, that with equal votes first.
    """
    scales = np.ones(len(grams.problem.tall)) if scales is None else scales
    _ = grams.gram  # formed once for all points of both paths
    votes = [1.0 / scales]
    shared = copy_weights(grams, scales)
    if shared is not None:
        votes.append(shared / scales)
    found: dict[bytes, Proposal] = {}
    for weights in votes:
        for point in program_path(grams, weights):
            for members in _sets(point, scales):
                found.setdefault(
                    members.tobytes(), Proposal(members, point.rank, point.block_penalty, point.client_weights)
                )
    return tuple(found.values())


def copy_weights(grams: Grams, scales: FloatArray) -> FloatArray | None:
    """One vote shared by near copies: 1/(number of clients alike client k, itself included).

    Parameters
    ----------
    grams : Grams
        Of the stack, centred when M is free.
    scales : ndarray, shape (K,)
        Relative σ_k.

    Returns
    -------
    ndarray, shape (K,), or None
        None where nobody has two copies, and for more than 2000 clients.
    """
    n_clients = len(scales)
    if not 2 < n_clients <= _MOST_COMPARED:
        return None
    gram = grams.flat @ grams.flat.T if grams.gram is None else grams.gram
    gram = gram / np.outer(scales, scales)
    squared = gram.diagonal()
    distances = squared[:, None] + squared - 2.0 * gram
    pairs = distances[np.triu_indices(n_clients, 1)]
    smallest = float(pairs.min())
    way = float(np.median(pairs)) - smallest
    if way <= _ROUNDING * float(pairs.max()):
        return None  # most pairs are as far apart as the closest one, or lost beside a client of another size
    alike = np.clip((_STRANGERS - (distances - smallest) / way) / (_STRANGERS - _COPIES), 0.0, 1.0)
    np.fill_diagonal(alike, 1.0)
    count = alike.sum(axis=1)
    return np.asarray(1.0 / count) if count.max() > _FEWEST_COPIES else None


def _sets(point: PathPoint, scales: FloatArray) -> list[BoolArray]:
    """The clients within noise of the median distance, where they are more than half, and the nearest half."""
    _, q, p = point.problem.tall.shape
    relative = point.distances / scales**2
    degrees = (p - point.rank) * q
    half = len(scales) // 2 + 1
    order = np.argsort(relative, kind="stable")
    nearest = np.zeros(len(scales), dtype=np.bool_)
    nearest[order[:half]] = True
    median = float(np.median(relative))
    cut = median * float(special.chdtri(degrees, _TAIL / len(scales)) / special.chdtri(degrees, 0.5))
    within = np.asarray(relative <= cut)
    return [within, nearest] if within.sum() > half else [nearest]
