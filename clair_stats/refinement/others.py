"""Mean and leading directions of the other members, client by client: what a client may be drawn towards.

Nothing here depends on the client's own estimate, so given the set it is independent of it, and Stein's argument holds
with a fitted subspace as it does with a known one (docs/derivations/shrinkage.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from clair_stats.linalg import orthonormal_basis, stack, symmetric_eigen
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.leading import LARGE, Base, leading_of_update

__all__ = ["SCATTER_ROUNDING", "Others", "each_without_itself", "leading_directions"]


# Divide and conquer gives all eigenvectors in two thirds of the time in which LAPACK's evr gives a third of them
# (400 × 400, 128 vectors: 14 against 22 ms), and evr a few of them in less than half (9 vectors: 5 ms).
_FEW = 0.1
# Squares lose every direction below 1e-8 of the largest: from there on singular vectors of the stack itself.
_SQUARED_ROUNDING = 1e-12
# Eigenvalues of a scatter below this share of the largest are rounding, and their eigenvectors arbitrary.
SCATTER_ROUNDING = 1e-12
_DOMINANT = 2.0**20  # leaves ten digits of what the others say
_TOGETHER = 1 << 17  # numbers (1 MiB) of the blocks, or of their scatters, that are worked on at a time


@dataclass(frozen=True, eq=False)
class Others:
    """What the members other than one client say, for several clients."""

    clients: NDArray[np.int64]  # (n,)
    mean: FloatArray  # (p, q), weighted, of all members
    frames: FloatArray  # (n, p, m), orthonormal, the direction in which the others differ most first
    shares: FloatArray  # (n,), w_k over the sum of the others' weights
    scatter: FloatArray  # (p, p), weighted, of all members; in fewer coordinates where they have fewer columns

    def distances(self, blocks: FloatArray) -> FloatArray:
        """X_k − X̄₋ₖ = (1 + w_k/(W − w_k))(X_k − X̄), shape (n, p, q).

        Parameters
        ----------
        blocks : ndarray, shape (K, p, q)

        Returns
        -------
        ndarray, shape (n, p, q)
        """
        found: FloatArray = blocks[self.clients] - self.mean
        found *= 1.0 + self.shares[:, None, None]
        return found


def each_without_itself(
    blocks: FloatArray, members: BoolArray, weights: FloatArray, *, count: int, basis: FloatArray | None = None
) -> Iterator[Others]:
    """For every member the others' weighted mean and the leading ``count`` eigenvectors of their scatter about it.

    With X̄, S mean and scatter of all members, W the sum of the weights and D = X_k − X̄, the others have the mean
    X̄ − w_k/(W − w_k) D and the scatter S − w_kW/(W − w_k) DDᵀ.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
    members : array of bool, shape (K,)
        At least two clients.
    weights : array, shape (K,)
        Positive on the members.
    count : int
        How many directions, at most p; fewer where the others, some of which may be copies, have no more.
    basis : array, shape (p, r), optional
        Given: the frame is this basis, turned so that its columns are in order (no eigenvectors off it).

    Yields
    ------
    Others
        Of a few members at a time, in their order.
    """
    chosen = np.flatnonzero(members)
    weights = _without_dominance(weights, members)
    total = float(weights[chosen].sum())
    mean = _weighted_mean(blocks, members, weights)
    coordinates = basis if basis is not None else _joint_space(blocks, chosen, mean)
    scatter = _scatter(blocks, chosen, weights, mean, coordinates)
    side = len(scatter)
    leading = side if basis is not None else min(count, side)
    clear = SCATTER_ROUNDING * float(np.linalg.eigvalsh(scatter)[-1]) if leading and basis is None else -np.inf
    base = Base.of(scatter) if side >= LARGE else None
    width = max(_TOGETHER // max(blocks[0].size, side**2), 1)
    for part in (chosen[first : first + width] for first in range(0, chosen.size, width)):
        shares = weights[part] / (total - weights[part])
        reduced = blocks[part] - mean
        reduced = reduced if coordinates is None else coordinates.T @ reduced
        frames = np.zeros((part.size, side, 0))
        if leading:
            values, frames = _leading_without(scatter, base, reduced, total * shares, leading)
            frames = frames[:, :, : int((values > clear).sum(axis=1).min())]
        yield Others(part, mean, frames if coordinates is None else coordinates @ frames, shares, scatter)


def _without_dominance(weights: FloatArray, members: BoolArray) -> FloatArray:
    """Weights (K,) of which none is more than ``_DOMINANT`` times that of all other members together.

    What the others say is a difference to the whole, and beside such a weight all rounding; as target of the others
    the client counts alone, with or without the cut.
    """
    first = int(np.argmax(np.where(members, weights, 0.0)))
    rest = float(weights[members & (np.arange(weights.size) != first)].sum())
    if weights[first] <= _DOMINANT * rest:
        return weights
    cut = weights.copy()
    cut[first] = _DOMINANT * rest
    return cut


def _leading_without(
    scatter: FloatArray, base: Base | None, blocks: FloatArray, factors: FloatArray, count: int
) -> tuple[FloatArray, FloatArray]:
    """Leading eigenvalues (n, count), descending, and vectors (n, p, count) of S − f_kD_kD_kᵀ; ``base``: a large S."""
    if base is None:
        return _leading(scatter - factors[:, None, None] * (blocks @ blocks.transpose(0, 2, 1)), count)
    found = [
        leading_of_update(base, block, block, -factor / 2.0, count)
        for block, factor in zip(blocks, factors, strict=True)
    ]
    return np.array([values for _, values in found]), np.array([vectors for vectors, _ in found])


def leading_directions(
    blocks: FloatArray, members: BoolArray, weights: FloatArray, count: int, *, scatter: FloatArray | None = None
) -> FloatArray:
    """The leading eigenvectors of the scatter of all members about their weighted mean, (p, count).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    members : bool ndarray, shape (K,)
        True = in the set.
    weights : ndarray, shape (K,)
        Positive on the members.
    count : int
    scatter : ndarray, shape (p, p), optional
        That of :func:`each_without_itself`, for a caller that has it.

    Returns
    -------
    ndarray, shape (p, count)
        Orthonormal columns.
    """
    if count == 0:
        return np.zeros((blocks.shape[1], 0))
    chosen = np.flatnonzero(members)
    own = weights / weights[chosen].sum()
    mean = _weighted_mean(blocks, members, weights)
    _, p, q = blocks.shape
    if p <= q * chosen.size:
        values, vectors = _leading(_scatter(blocks, chosen, own, mean) if scatter is None else scatter, count)
        if values[-1] > _SQUARED_ROUNDING * values[0]:
            return np.ascontiguousarray(vectors)
    return orthonormal_basis(stack(np.sqrt(own[chosen])[:, None, None] * (blocks[chosen] - mean)), count)


def _scatter(
    blocks: FloatArray,
    chosen: NDArray[np.int64],
    weights: FloatArray,
    mean: FloatArray,
    coordinates: FloatArray | None = None,
) -> FloatArray:
    """Of some clients about a centre, in coordinates where they are given; in parts that stay in the cache."""
    side = blocks.shape[1] if coordinates is None else coordinates.shape[1]
    scatter = np.zeros((side, side))
    width = max(_TOGETHER // blocks[0].size, 1)
    for part in (chosen[first : first + width] for first in range(0, chosen.size, width)):
        reduced = blocks[part] - mean
        reduced = reduced if coordinates is None else coordinates.T @ reduced
        tall = stack(np.sqrt(weights[part])[:, None, None] * reduced)
        scatter += tall @ tall.T
    return scatter


def _weighted_mean(blocks: FloatArray, members: BoolArray, weights: FloatArray) -> FloatArray:
    """Of the members, without a copy of their blocks."""
    shares = np.where(members, weights, 0.0)
    n_clients, p, q = blocks.shape
    return np.asarray((shares / shares.sum()) @ blocks.reshape(n_clients, -1)).reshape(p, q)


def _leading(scatters: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The ``count`` largest eigenvalues (…, count), descending, and their eigenvectors (…, p, count)."""
    side = scatters.shape[-1]
    if count <= _FEW * side:
        single = scatters.reshape(-1, side, side)
        pairs = [eigh(each, subset_by_index=(side - count, side - 1), check_finite=False) for each in single]
        values = np.array([pair[0] for pair in pairs]).reshape(*scatters.shape[:-2], count)
        vectors = np.array([pair[1] for pair in pairs]).reshape(*scatters.shape[:-1], count)
    else:
        values, vectors = symmetric_eigen(scatters)
    return values[..., ::-1][..., :count], vectors[..., ::-1][..., :count]


def _joint_space(blocks: FloatArray, chosen: NDArray[np.int64], mean: FloatArray) -> FloatArray | None:
    """Orthonormal basis of all columns together where they are fewer than the rows; None: the rows themselves."""
    _, p, q = blocks.shape
    return orthonormal_basis(stack(blocks[chosen] - mean)) if len(chosen) * q < p else None
