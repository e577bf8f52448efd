"""How well few benign clients identify the shared subspace: margin and leverages over all subsets of a given size.

docs/derivations/guarantee.md, section 2.  With weights w_k (1/σ_k² when noise scales differ) a subset B has the scatter
S_B = Σ_B w_k(A_k − Ā_B)ᵀ(A_k − Ā_B) about its weighted mean, or Σ_B w_kA_kᵀA_k without common component.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["SubsetMargin", "subset_indicators", "subset_margin"]

# Subsets are looked at one by one up to this number (batched r × r eigenvalues, below a second), bounded beyond it.
ENUMERATION_LIMIT = 50_000
_CHUNK = 4096  # subsets in memory at once


@dataclass(frozen=True, eq=False)
class SubsetMargin:
    """Margin and leverages of the worst subset."""

    value: float  # min_B √λ_min(S_B), or a lower bound; 0 when some subset does not identify the subspace
    leverages: FloatArray  # (m,) max_B h_jB of the other clients, or an upper bound; inf when the margin is 0
    exact: bool  # True: every subset was looked at; False: bounds from pairs of clients
    n_subsets: int  # binomial coefficient (n over size)


def subset_indicators(n_items: int, size: int) -> Iterator[FloatArray]:
    """All subsets of ``size`` of ``n_items`` as rows of 0/1 matrices, at most 4096 rows at a time.

    Parameters
    ----------
    n_items, size : int
        0 ≤ size ≤ n_items.

    Yields
    ------
    ndarray, shape (at most 4096, n_items)
    """
    subsets = combinations(range(n_items), size)
    while chunk := list(islice(subsets, _CHUNK)):
        indicators = np.zeros((len(chunk), n_items))
        np.put_along_axis(indicators, np.asarray(chunk, dtype=np.int64).reshape(len(chunk), size), 1.0, axis=1)
        yield indicators


def _checked(coefficients: ArrayLike, weights: ArrayLike | None, name: str) -> tuple[FloatArray, FloatArray]:
    blocks = np.asarray(coefficients, dtype=np.float64)
    if blocks.ndim != 3 or 0 in blocks.shape[1:] or not np.isfinite(blocks).all():
        raise ValueError(f"{name}: shape {blocks.shape}; give finite A_k as one array (n, q, r) with q, r ≥ 1")
    w = np.ones(blocks.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != blocks.shape[:1] or not (np.isfinite(w) & (w > 0)).all():
        raise ValueError(f"weights of {name}: give {blocks.shape[0]} positive numbers, 1/σ_k²")
    return blocks, w


def subset_margin(
    coefficients: ArrayLike,
    size: int,
    *,
    others: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    other_weights: ArrayLike | None = None,
    common_component: bool = True,
    enumeration_limit: int = ENUMERATION_LIMIT,
) -> SubsetMargin:
    """Smallest singular value of the (centred) coefficients over all subsets of ``size`` clients, and leverages there.

    Parameters
    ----------
    coefficients : array_like, shape (n, q, r)
        A_k of the benign clients.
    size : int
        Number of clients in a subset, 1 ≤ size ≤ n.
    others : array_like, shape (m, q, r), optional
        G_j of other clients, whose leverages h_jB = w_j‖1/Σ_Bw · I + (G_j − Ā_B)S_B⁻¹(G_j − Ā_B)ᵀ‖_op are asked for
        (without common component: w_j‖G_jS_B⁻¹G_jᵀ‖_op).
    weights, other_weights : array_like, shape (n,) and (m,), optional
        w_k > 0; 1 when not given.
    common_component : bool
        Whether the mean of the subset is free.
    enumeration_limit : int
        Up to so many subsets are looked at one by one; beyond, bounds from pairs of clients are returned.  The bound of
        the margin is 0 when q < r.

    Returns
    -------
    SubsetMargin
        The margin is on the scale of the coefficients times √w, the leverages have no unit.

    Raises
    ------
    ValueError
        Wrong shapes, a size outside 1 … n, weights that are not positive.

    Notes
    -----
    docs/derivations/guarantee.md, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([0.0, 1.0, 3.0, 7.0]).reshape(4, 1, 1)
    >>> round(subset_margin(values, 2).value, 4)  # the closest pair, 0 and 1
    0.7071
    """
    blocks, w = _checked(coefficients, weights, "coefficients")
    n_clients, q, rank = blocks.shape
    if not 1 <= size <= n_clients:
        raise ValueError(f"size: {size}; give a number of clients between 1 and {n_clients}")
    outside = np.zeros((0, q, rank)) if others is None else others
    rest, v = _checked(outside, other_weights, "others")
    if rest.shape[1:] != blocks.shape[1:]:
        raise ValueError(f"others: blocks of shape {rest.shape[1:]}; give {blocks.shape[1:]} like the coefficients")
    if common_component:
        centre = blocks.mean(axis=0)
        blocks, rest = blocks - centre, rest - centre
    n_subsets = comb(n_clients, size)
    if n_subsets > enumeration_limit:
        return _pairwise_bounds(blocks, w, size, rest, v, common_component)
    second = np.einsum("k,kqi,kqj->kij", w, blocks, blocks).reshape(n_clients, -1)
    first = (w[:, None, None] * blocks).reshape(n_clients, -1)
    smallest, leverages = np.inf, np.zeros(v.size)
    for indicators in subset_indicators(n_clients, size):
        total_weight = indicators @ w
        scatter = (indicators @ second).reshape(-1, rank, rank)
        means = (indicators @ first).reshape(-1, q, rank) / total_weight[:, None, None]
        if common_component:
            scatter = scatter - total_weight[:, None, None] * np.einsum("nqi,nqj->nij", means, means)
        values, vectors = np.linalg.eigh(scatter)
        smallest = min(smallest, float(values[:, 0].min()))
        if smallest <= 0:
            return SubsetMargin(0.0, np.full(v.size, np.inf), True, n_subsets)
        roots = vectors / np.sqrt(values)[:, None, :]
        for j in range(v.size):
            distance = rest[j] - means if common_component else np.broadcast_to(rest[j], means.shape)
            along = np.linalg.norm(distance @ roots, ord=2, axis=(1, 2)) ** 2
            leverages[j] = max(leverages[j], v[j] * float((along + common_component / total_weight).max()))
    return SubsetMargin(float(np.sqrt(smallest)), leverages, True, n_subsets)


def _pairwise_bounds(
    blocks: FloatArray, w: FloatArray, size: int, rest: FloatArray, v: FloatArray, common_component: bool
) -> SubsetMargin:
    """Bounds by superadditivity of the smallest eigenvalue, in O(n²) small eigenvalue problems.

    Without centring λ_min(S_B) ≥ Σ_B w_kλ_min(A_kᵀA_k).  With centring S_B = (1/Σ_Bw)Σ_{i<j}w_iw_jD_ijᵀD_ij with
    D_ij = A_i − A_j is a weighted mean over i of ½Σ_jw_jD_ijᵀD_ij.  The mean of a subset is no further from G_j than
    its furthest member.
    """
    n_clients = blocks.shape[0]

    def smallest_eigenvalues(stack: FloatArray) -> FloatArray:
        return np.linalg.eigvalsh(np.einsum("kqi,kqj->kij", stack, stack))[:, 0].clip(min=0.0)

    if common_component:
        sums = []
        for k in range(n_clients):
            own = np.delete(w * smallest_eigenvalues(blocks - blocks[k]), k)
            sums.append(float(np.sort(own)[: size - 1].sum()))
        squared = 0.5 * min(sums)
        reach = np.array([np.linalg.norm(block - blocks, ord=2, axis=(1, 2)).max() for block in rest])
        constant = 1 / float(np.sort(w)[:size].sum())
    else:
        squared = float(np.sort(w * smallest_eigenvalues(blocks))[:size].sum())
        reach, constant = np.linalg.norm(rest, ord=2, axis=(1, 2)), 0.0
    with np.errstate(divide="ignore"):
        leverages = v * (constant + reach.reshape(v.size) ** 2 / squared) if squared > 0 else np.full(v.size, np.inf)
    return SubsetMargin(float(np.sqrt(squared)), np.asarray(leverages), False, comb(n_clients, size))
