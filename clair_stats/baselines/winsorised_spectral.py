"""Spectral method of Tian, Gu and Feng (JMLR 26(187), 2025), for estimates instead of data.

Blocks are winsorised to the (1 − f/K) quantile of their norms, the leading left singular vectors of the stack are the
representation, and every client then solves a step of biased regularisation towards its projection:
Θ̃_k = argmin ½‖X_k − Θ‖_F² + γ_k‖Θ − P_U X_k‖_F, which keeps clients far from the subspace near their own estimate.
Centred at the entrywise median, so that a common component is allowed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, centred_subspace, checked_input, flag, on_moderate_scale
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, orthonormal_basis, project_off, stack
from clair_stats.records import FloatArray

__all__ = ["pull_towards", "typical_noise_norm", "winsorised_spectral"]


def typical_noise_norm(record: ClientEstimates, residual: FloatArray) -> FloatArray:
    """σ_k√((p − r)q)-like radius (K,): from the noise scales, else the median residual norm.

    Parameters
    ----------
    record : ClientEstimates
    residual : ndarray, shape (K,)
        Residual norms, scale of the estimates.

    Returns
    -------
    ndarray, shape (K,)
        Scale of the estimates.
    """
    p, q = record.block_shape
    if record.noise_scales is not None:
        return np.asarray(record.noise_scales * np.sqrt(p * q))
    return np.full(record.n_clients, float(np.median(residual)))


def pull_towards(target: FloatArray, blocks: FloatArray, radius: FloatArray) -> FloatArray:
    """argmin_Θ ½‖X_k − Θ‖_F² + γ_k‖Θ − target_k‖_F: move from X_k towards its target by at most γ_k.

    Parameters
    ----------
    target : ndarray, shape (p, q) or (K, p, q)
    blocks : ndarray, shape (K, p, q)
        X_k.
    radius : ndarray, shape (K,)
        γ_k, scale of the blocks.

    Returns
    -------
    ndarray, shape (K, p, q)
    """
    gap = target - blocks
    norms = block_norms(gap)
    share = np.minimum(radius, norms) / np.maximum(norms, np.finfo(float).tiny)
    return blocks + share[:, None, None] * gap


def _clipped_svd(centred: FloatArray, rank: int, kept: float) -> FloatArray:
    norms = block_norms(centred)
    limit = float(np.quantile(norms, kept))
    clipped = centred * (np.minimum(limit, norms) / np.maximum(norms, np.finfo(float).tiny))[:, None, None]
    return orthonormal_basis(stack(clipped), rank)


@on_moderate_scale
def winsorised_spectral(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Winsorise, singular value decomposition, biased regularisation.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r.
    n_contaminated : int
        f.
    level : float
        Family-wise level of the test of clients whose noise scales are known.

    Returns
    -------
    BaselineFit
        Scale of the estimates.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    record = checked_input(estimates, rank, n_contaminated)
    blocks = record.dense()
    kept = 1.0 - n_contaminated / record.n_clients
    basis, centre = centred_subspace(blocks, lambda centred: _clipped_svd(centred, rank, kept))
    off = project_off(basis, blocks - centre)
    refined = pull_towards(blocks - off, blocks, typical_noise_norm(record, block_norms(off)))
    benign = flag(record, basis, centre, n_contaminated=n_contaminated, level=level)
    return BaselineFit(refined, centre, basis, benign)
