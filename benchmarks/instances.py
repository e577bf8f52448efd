"""Instances for the speed of solvers: the exact model, contaminated clients, optional noise."""

from __future__ import annotations

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["LazyModules", "contaminated_factors", "contaminated_stack", "penalty"]


def penalty(n_clients: int, rank: int) -> float:
    """λ = 1.8 √(r/K)."""
    return float(1.8 * np.sqrt(rank / n_clients))


def contaminated_stack(
    p: int, q: int, n_clients: int, rank: int, *, common: bool, share: float = 0.2, noise: float = 0.0, seed: int = 0
) -> FloatArray:
    """Blocks (K, p, q): U A_kᵀ (+ M), the first ``share`` of the clients moved at random by their own size."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    blocks = np.einsum("pr,kqr->kpq", basis, rng.standard_normal((n_clients, q, rank)))
    if common:
        blocks += rng.standard_normal((p, q))
    for k in range(round(share * n_clients)):
        moved = rng.standard_normal((p, q))
        blocks[k] += np.sqrt(q * rank) * moved / np.linalg.norm(moved)
    if noise:
        blocks += noise * rng.standard_normal(blocks.shape)
    return np.asarray(blocks, dtype=np.float64)


def contaminated_factors(
    n_clients: int,
    factor_rank: int,
    size: int,
    *,
    common: bool = False,
    rank: int = 8,
    share: float = 0.2,
    seed: int = 0,
) -> ClientEstimates:
    """LoRA factors at size × size: benign B_k inside a rank-``rank`` span, a shared rank-4 block when ``common``."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((size, rank)))[0]
    shared = (rng.standard_normal((size, 4)) / np.sqrt(size), rng.standard_normal((4, size)))
    own = factor_rank - 4 if common else factor_rank
    pairs = []
    for k in range(n_clients):
        if k < share * n_clients:
            left = np.linalg.qr(rng.standard_normal((size, own)))[0] * np.sqrt(rank)
        else:
            left = basis @ rng.standard_normal((rank, own))
        right = rng.standard_normal((own, size))
        if common:
            left, right = np.hstack([left, shared[0]]), np.vstack([right, shared[1]])
        pairs.append((left, right))
    return ClientEstimates(factors=tuple(pairs))


class LazyModules:
    """A sequence of modules that exist only while they are looked at."""

    def __init__(self, n_modules: int, n_clients: int, factor_rank: int, size: int) -> None:
        self._n_modules = n_modules
        self._shape = (n_clients, factor_rank, size)

    def __len__(self) -> int:
        return self._n_modules

    def __getitem__(self, number: int) -> ClientEstimates:
        if not 0 <= number < self._n_modules:
            raise IndexError(number)
        return contaminated_factors(*self._shape, seed=number)
