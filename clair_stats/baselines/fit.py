"""The result of a baseline, and the steps that several baselines share.

The test of the flagged is that of docs/theory.md, section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.laws import per_client_level
from clair_stats.linalg import block_norms, entrywise_median, project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = [
    "Baseline",
    "BaselineFit",
    "centred_subspace",
    "checked_input",
    "everyone_gets",
    "flag",
    "on_moderate_scale",
    "subspace_result",
]

_RECENTRINGS = 2
# Largest entries outside this range are brought near 1 first: sums of fourth powers would overflow or underflow.
_SAFE = (1e-60, 1e60)


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
        """Fit; ``rank`` and ``n_contaminated`` are the truth, which most of these methods need."""
        ...


def on_moderate_scale(method: Baseline) -> Baseline:
    """The method on estimates divided by a power of two where their largest entry is extreme, and its answer back.

    Every baseline is equivariant under scaling, so that nothing else changes.

    Parameters
    ----------
    method : Baseline

    Returns
    -------
    Baseline
    """

    @wraps(method)
    def scaled(
        estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
    ) -> BaselineFit:
        record = as_client_estimates(estimates)
        blocks = record.dense()
        largest = max(float(blocks.max()), -float(blocks.min()))
        if largest == 0.0 or _SAFE[0] <= largest <= _SAFE[1]:
            return method(record, rank=rank, n_contaminated=n_contaminated, level=level)
        exponent = int(np.frexp(largest)[1])
        scales = None if record.noise_scales is None else np.ldexp(record.noise_scales, -exponent)
        if scales is not None:  # errors beyond the range of the numbers: as small as a positive number can be
            scales = np.clip(scales, np.finfo(float).tiny, np.finfo(float).max)
        moderate = ClientEstimates(
            values=np.ldexp(blocks, -exponent),
            noise_scales=scales,
            sample_sizes=record.sample_sizes,
            client_names=record.client_names,
        )
        fit = method(moderate, rank=rank, n_contaminated=n_contaminated, level=level)
        return replace(fit, estimates=np.ldexp(fit.estimates, exponent), common=np.ldexp(fit.common, exponent))

    return scaled


def checked_input(estimates: ClientEstimates | ArrayLike, rank: int, n_contaminated: int) -> ClientEstimates:
    """Check the arguments that every baseline has.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        f.

    Returns
    -------
    ClientEstimates

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


def everyone_gets(centre: FloatArray, n_clients: int) -> BaselineFit:
    """The same block for every client.

    Parameters
    ----------
    centre : ndarray, shape (p, q)
    n_clients : int
        K.

    Returns
    -------
    BaselineFit
        Without basis and set.
    """
    return BaselineFit(np.repeat(centre[None], n_clients, axis=0), centre)


def centred_subspace(blocks: FloatArray, subspace: Callable[[FloatArray], FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Basis and centre: median-centred subspace, with the centre recomputed off the subspace found.

    The entrywise median of all of X_k is off by the spread of the benign clients inside the subspace; that of its
    off-subspace part only by noise.  Without this every χ² flag at small noise would be a false alarm.

    Parameters
    ----------
    blocks : ndarray, shape (K, p, q)
    subspace : callable
        Centred blocks, shape (K, p, q), to an orthonormal basis, shape (p, r).

    Returns
    -------
    tuple of ndarray, shapes (p, r) and (p, q)
        Basis and centre.
    """
    centre = entrywise_median(blocks)
    basis = subspace(blocks - centre)
    for _ in range(_RECENTRINGS):
        off = project_off(basis, blocks)
        centre = entrywise_median(off) + entrywise_median(blocks - off)
        basis = subspace(blocks - centre)
    off = project_off(basis, blocks)
    return basis, entrywise_median(off) + entrywise_median(blocks - off)


def flag(
    record: ClientEstimates, basis: FloatArray, common: FloatArray, *, n_contaminated: int, level: float
) -> BoolArray:
    """Collaborative set (K,): the χ² test of theory.md section 5 when σ_k are known, else the smallest residuals.

    Parameters
    ----------
    record : ClientEstimates
    basis : ndarray, shape (p, r)
    common : ndarray, shape (p, q)
    n_contaminated : int
        f; used where no noise scales are known.
    level : float
        Family-wise level of the test; used where noise scales are known.

    Returns
    -------
    bool ndarray, shape (K,)
        True = benign.
    """
    blocks = record.dense()
    n_clients, p, q = blocks.shape
    residual = block_norms(project_off(basis, blocks - common))
    if record.noise_scales is None:
        benign = np.zeros(n_clients, dtype=np.bool_)
        benign[np.argsort(residual, kind="stable")[: n_clients - n_contaminated]] = True
        return benign
    alpha = per_client_level(level, n_clients)
    limit = np.sqrt(stats.chi2.isf(alpha, (p - basis.shape[1]) * q)) if p > basis.shape[1] else np.inf
    return np.asarray(residual <= limit * record.noise_scales)


def subspace_result(
    record: ClientEstimates, basis: FloatArray, common: FloatArray, *, n_contaminated: int, level: float
) -> BaselineFit:
    """Flag against the subspace, average the rest off it; flagged clients keep their own estimate.

    Parameters
    ----------
    record : ClientEstimates
    basis : ndarray, shape (p, r)
    common : ndarray, shape (p, q)
    n_contaminated : int
        f; used where no noise scales are known.
    level : float
        Family-wise level of the test; used where noise scales are known.

    Returns
    -------
    BaselineFit
    """
    blocks = record.dense()
    benign = flag(record, basis, common, n_contaminated=n_contaminated, level=level)
    if not benign.any():
        return BaselineFit(blocks, common, basis, benign)
    centre = blocks[benign].mean(axis=0)
    refined = blocks - project_off(basis, blocks - centre)
    return BaselineFit(np.where(benign[:, None, None], refined, blocks), centre, basis, benign)
