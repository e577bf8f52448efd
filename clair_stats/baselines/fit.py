"""What a baseline returns, and the steps that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import block_norms, entrywise_median, project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["Baseline", "BaselineFit", "centred_subspace", "checked_input", "everyone_gets", "flag", "subspace_result"]

_RECENTRINGS = 2


@dataclass(frozen=True, eq=False)
class BaselineFit:
    """Estimates for every client and, where the method has one, its subspace and its collaborative set."""

    estimates: FloatArray  # (K, p, q), what each client is handed
    common: FloatArray  # (p, q), the centre
    basis: FloatArray | None = None  # (p, r)
    collaborative_set: BoolArray | None = None  # (K,), True = benign; None: the method does not single out clients


class Baseline(Protocol):
    """The one signature."""

    def __call__(
        self, estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
    ) -> BaselineFit:
        """Fit; ``rank`` and ``n_contaminated`` are the truth, which most of these methods must be told."""
        ...


def checked_input(estimates: ClientEstimates | ArrayLike, rank: int, n_contaminated: int) -> ClientEstimates:
    """Check the arguments that every baseline has.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    record = as_client_estimates(estimates)
    p = record.block_shape[0]
    if not 0 <= rank <= p:
        raise ValueError(f"rank: {rank}; give an integer from 0 to p = {p}")
    if not 0 <= n_contaminated < record.n_clients:
        raise ValueError(f"n_contaminated: {n_contaminated}; give an integer from 0 to {record.n_clients - 1}")
    return record


def everyone_gets(center: FloatArray, n_clients: int) -> BaselineFit:
    """The same block for every client."""
    return BaselineFit(np.repeat(center[None], n_clients, axis=0), center)


def centred_subspace(blocks: FloatArray, subspace: Callable[[FloatArray], FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Basis and centre: median-centred subspace, with the centre recomputed off the subspace found.

    The entrywise median of all of X_k is off by the spread of the benign clients inside the subspace; that of its
    off-subspace part only by noise.  Without this every χ² flag at small noise would be a false alarm.
    """
    center = entrywise_median(blocks)
    basis = subspace(blocks - center)
    for _ in range(_RECENTRINGS):
        off = project_off(basis, blocks)
        center = entrywise_median(off) + entrywise_median(blocks - off)
        basis = subspace(blocks - center)
    off = project_off(basis, blocks)
    return basis, entrywise_median(off) + entrywise_median(blocks - off)


def flag(
    record: ClientEstimates, basis: FloatArray, common: FloatArray, *, n_contaminated: int, level: float
) -> BoolArray:
    """Collaborative set (K,): the χ² test of theory.md section 5 when σ_k are known, else the smallest residuals."""
    blocks = record.dense()
    n_clients, p, q = blocks.shape
    residual = block_norms(project_off(basis, blocks - common))
    if record.noise_scales is None:
        benign = np.zeros(n_clients, dtype=np.bool_)
        benign[np.argsort(residual, kind="stable")[: n_clients - n_contaminated]] = True
        return benign
    alpha = -np.expm1(np.log1p(-level) / n_clients)
    limit = np.sqrt(stats.chi2.isf(alpha, (p - basis.shape[1]) * q)) if p > basis.shape[1] else np.inf
    return np.asarray(residual <= limit * record.noise_scales)


def subspace_result(
    record: ClientEstimates, basis: FloatArray, common: FloatArray, *, n_contaminated: int, level: float
) -> BaselineFit:
    """Flag against the subspace, average the rest off it; flagged clients keep their own estimate."""
    blocks = record.dense()
    benign = flag(record, basis, common, n_contaminated=n_contaminated, level=level)
    if not benign.any():
        return BaselineFit(blocks, common, basis, benign)
    center = blocks[benign].mean(axis=0)
    refined = blocks - project_off(basis, blocks - center)
    return BaselineFit(np.where(benign[:, None, None], refined, blocks), center, basis, benign)
