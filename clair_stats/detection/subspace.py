"""Subspace and common component of a given set of clients, and the spectrum that says how many directions there are.

For a set C with weights w_k = 1/σ_k² the weighted least-squares fit of M + U A_kᵀ is closed form: M is the weighted
mean block (the part of M inside span(U) is not identified and goes where the mean is), U the leading left singular
vectors of the weighted centred stack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.linalg import stack
from clair_stats.records import BoolArray, FloatArray

__all__ = ["SubspaceFit", "fit_subspace", "noise_edge", "residual_degrees"]


@dataclass(frozen=True, eq=False)
class SubspaceFit:
    """Weighted fit on one set of clients."""

    basis: FloatArray  # (p, r)
    common: FloatArray  # (p, q)
    singular_values: FloatArray  # (min(p, qn),) of the weighted centred stack [√w_k (X_k − M)], all of them
    members: BoolArray  # (K,)
    weights: FloatArray  # (K,), relative precisions w_k, for every client
    common_component: bool

    @property
    def rank(self) -> int:
        """Dimension of the fitted subspace."""
        return int(self.basis.shape[1])

    def at_rank(self, rank: int, left: FloatArray) -> SubspaceFit:
        """The same fit cut at another rank; ``left`` holds the left singular vectors."""
        return SubspaceFit(
            np.ascontiguousarray(left[:, :rank]),
            self.common,
            self.singular_values,
            self.members,
            self.weights,
            self.common_component,
        )


def fit_subspace(
    blocks: FloatArray, members: BoolArray, rank: int, *, weights: FloatArray, common_component: bool
) -> SubspaceFit:
    """Fit M and U on the clients in ``members``; ``rank`` is cut at what the stack can carry.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
    members : bool array, shape (K,)
    rank : int
        r ≥ 0.
    weights : array, shape (K,)
        Relative precisions w_k > 0.
    common_component : bool
        M = 0 when False.
    """
    chosen = blocks[members]
    w = weights[members]
    if common_component:
        common = np.tensordot(w / w.sum(), chosen, axes=1)
    else:
        common = np.zeros(blocks.shape[1:])
    tall = stack(np.sqrt(w)[:, None, None] * (chosen - common)).T
    # The triangular factor has the same singular values and right vectors; a Gram matrix would lose half the digits.
    triangular = np.linalg.qr(tall, mode="r") if tall.shape[0] > tall.shape[1] else tall
    _, singular_values, right = np.linalg.svd(triangular, full_matrices=False)
    basis = np.ascontiguousarray(right[: min(rank, right.shape[0])].T)
    return SubspaceFit(basis, common, singular_values, members, weights, common_component)


def residual_degrees(p: int, q: int, n_members: int, rank: int, *, common_component: bool) -> int:
    """(p − r)(q(n − 1) − r), degrees of freedom left for the noise after M and U A_kᵀ (n instead of n − 1 for M = 0)."""
    rows = q * (n_members - 1 if common_component else n_members)
    return max(p - rank, 0) * max(rows - rank, 0)


def noise_edge(p: int, q: int, n_members: int, rank: int, *, common_component: bool) -> float:
    """Largest singular value that noise of unit scale reaches in the residual, at one chance in a thousand.

    Tracy–Widom law for a (p − r) × (q(n − 1) − r) Gaussian matrix (Johnstone, Ann. Statist. 29, 2001); 3.27 is its
    0.999 quantile (β = 1).  The level is not the level of the test of clients: it only stops the rank from following
    noise.
    """
    rows = q * (n_members - 1 if common_component else n_members) - rank
    columns = p - rank
    if rows < 1 or columns < 1:
        return float("inf")
    a, b = np.sqrt(max(rows - 0.5, 0.5)), np.sqrt(max(columns - 0.5, 0.5))
    location = (a + b) ** 2
    spread = (a + b) * (1 / a + 1 / b) ** (1 / 3)
    return float(np.sqrt(location + 3.27 * spread))
