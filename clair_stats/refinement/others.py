"""Mean and leading directions of the other members, client by client: what a client may be drawn towards.

Nothing here depends on the client's own estimate, so given the set it is independent of it, and Stein's argument holds
with a fitted subspace as it does with a known one (docs/derivations/shrinkage.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from clair_stats.linalg import orthonormal_basis, stack, symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Others", "each_without_itself", "leading_directions"]


# Divide and conquer gives all eigenvectors in two thirds of the time in which LAPACK's evr gives a third of them
# (400 × 400, 128 vectors: 14 against 22 ms), and evr a few of them in less than half (9 vectors: 5 ms).
_FEW = 0.1
# Squares lose every direction below 1e-8 of the largest: from there on singular vectors of the stack itself.
_SQUARED_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Others:
    """What the members other than one client say."""

    client: int
    mean: FloatArray  # (p, q), weighted
    frame: FloatArray  # (p, m), orthonormal, the direction in which they differ most first
    share: float  # w_k over the sum of the others' weights


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
        How many directions, at most p.
    basis : array, shape (p, r), optional
        Given: the frame is this basis, turned so that its columns are in order (no eigenvectors off it).

    Yields
    ------
    Others
        In the order of the members.
    """
    chosen = np.flatnonzero(members)
    total = float(weights[chosen].sum())
    mean = np.tensordot(weights[chosen] / total, blocks[chosen], axes=1)
    deviations = blocks[chosen] - mean
    coordinates = basis if basis is not None else _joint_space(deviations)
    reduced = deviations if coordinates is None else coordinates.T @ deviations
    scatter = np.einsum("k,kij,klj->il", weights[chosen], reduced, reduced, optimize=True)
    side = reduced.shape[1]
    leading = side if basis is not None else min(count, side)
    for place, k in enumerate(chosen):
        rest = total - weights[k]
        without = scatter - weights[k] * total / rest * (reduced[place] @ reduced[place].T)
        frame = np.zeros((side, 0))
        if leading:
            frame = _leading(without, leading)[1]
        yield Others(
            client=int(k),
            mean=mean - weights[k] / rest * deviations[place],
            frame=np.ascontiguousarray(frame if coordinates is None else coordinates @ frame),
            share=float(weights[k] / rest),
        )


def leading_directions(blocks: FloatArray, members: BoolArray, weights: FloatArray, count: int) -> FloatArray:
    """The leading eigenvectors of the scatter of all members about their weighted mean, (p, count).

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    members : bool ndarray, shape (K,)
        True = in the set.
    weights : ndarray, shape (K,)
        Positive on the members.
    count : int

    Returns
    -------
    ndarray, shape (p, count)
        Orthonormal columns.
    """
    if count == 0:
        return np.zeros((blocks.shape[1], 0))
    own = weights[members] / weights[members].sum()
    deviations = blocks[members] - np.tensordot(own, blocks[members], axes=1)
    tall = stack(np.sqrt(own)[:, None, None] * deviations)
    if tall.shape[0] <= tall.shape[1]:
        values, vectors = _leading(tall @ tall.T, count)
        if values[-1] > _SQUARED_ROUNDING * values[0]:
            return np.ascontiguousarray(vectors)
    return orthonormal_basis(tall, count)


def _leading(scatter: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The ``count`` largest eigenvalues, descending, and their eigenvectors (p, count)."""
    side = scatter.shape[0]
    if count <= _FEW * side:
        values, vectors = eigh(scatter, subset_by_index=(side - count, side - 1), check_finite=False)
    else:
        values, vectors = symmetric_eigen(scatter)
    return values[::-1][:count], vectors[:, ::-1][:, :count]


def _joint_space(deviations: FloatArray) -> FloatArray | None:
    """Orthonormal basis of all columns together where they are fewer than the rows; None: the rows themselves."""
    n_members, p, q = deviations.shape
    return orthonormal_basis(stack(deviations)) if n_members * q < p else None
