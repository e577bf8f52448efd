"""Robust and adaptive spectral method (Huang, Feng and Ying, 2025; arXiv 2509.06575), for estimates instead of data.

The single-task estimates side by side, divided by √(number of columns), are cut to the singular values above a
threshold τ at the scale of the noise: no rank and no contaminated share is told, and directions of strong outliers are
kept too, which costs variance and no bias.  Every client is then drawn towards its projection by biased regularisation,
Θ̃_k = argmin ½‖X_k − Θ‖_F² + γ_k‖(I − P_Û)Θ‖_F, so that it stays near its own estimate where the projection is far.

The paper gives τ and γ up to constants.  Here τ is the largest singular value that noise alone has, σ(1 + √(p/n))
with n = qK columns, and γ_k = σ_k√(pq) as for the other baselines.  Without σ it is learnt from the median singular
value (Gavish and Donoho, 2014).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.optimize import brentq

from clair_stats.baselines.fit import BaselineFit, checked_input, flag, on_moderate_scale
from clair_stats.baselines.winsorised_spectral import typical_noise_norm
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, project_off, project_on, stack
from clair_stats.records import FloatArray

__all__ = ["adaptive_subspace", "marchenko_pastur_median", "ras"]

# Above the edge by its fluctuation: a Wishart edge is exceeded by more with probability below 1e-3 at p = 20, n = 200.
_MARGIN = 1.03


def marchenko_pastur_median(ratio: float) -> float:
    """Median eigenvalue of a Wishart matrix of unit variance, p/n = ratio (Marčenko and Pastur, 1967).

    Parameters
    ----------
    ratio : float
        In (0, 1].

    Returns
    -------
    float
    """
    low, high = (1.0 - math.sqrt(ratio)) ** 2, (1.0 + math.sqrt(ratio)) ** 2

    def density(x: float) -> float:
        return math.sqrt(max((high - x) * (x - low), 0.0)) / (2.0 * math.pi * ratio * x)

    return float(brentq(lambda x: quad(density, low, x)[0] - 0.5, low + 1e-12, high))


def adaptive_subspace(columns: FloatArray, noise: float | None) -> FloatArray:
    """Left singular vectors whose singular values noise alone does not reach.

    Parameters
    ----------
    columns : ndarray, shape (p, n)
        Estimates side by side.
    noise : float, optional
        σ, root mean square of the clients' noise scales; learnt from the median singular value when not given.

    Returns
    -------
    ndarray, shape (p, t)
        Orthonormal columns, t chosen by the threshold.
    """
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    p, n = columns.shape
    scaled = values / math.sqrt(max(p, n))
    ratio = min(p, n) / max(p, n)
    sigma = float(np.median(scaled)) / math.sqrt(marchenko_pastur_median(ratio)) if noise is None else noise
    return np.ascontiguousarray(left[:, scaled > _MARGIN * sigma * (1.0 + math.sqrt(ratio))])


@on_moderate_scale
def ras(estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05) -> BaselineFit:
    """Threshold, project, biased regularisation.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        Checked, not used.
    n_contaminated : int
        f; used where no noise scales are known and somebody has to be flagged, else not.
    level : float
        Family-wise level of the test of clients whose noise scales are known.

    Returns
    -------
    BaselineFit
        Scale of the estimates; the basis has as many columns as the threshold leaves.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.

    Notes
    -----
    The paper names no contaminated client; the collaborative set is that of the test that the subspace baselines share,
    against the subspace found.
    """
    record = checked_input(estimates, rank, n_contaminated)
    blocks = record.dense()
    scales = record.noise_scales
    noise = None if scales is None else float(scales.max() * np.sqrt(np.mean((scales / scales.max()) ** 2)))
    basis = adaptive_subspace(stack(blocks), noise)
    off = project_off(basis, blocks)
    radius = typical_noise_norm(record, block_norms(off))
    # The proximal map of γ‖(I − P)Θ‖ leaves the part inside alone and shrinks the norm of the part outside by γ.
    norms = np.maximum(block_norms(off), np.finfo(float).tiny)
    refined = project_on(basis, blocks) + (1.0 - np.minimum(radius, norms) / norms)[:, None, None] * off
    centre = np.zeros(record.block_shape)
    benign = flag(record, basis, centre, n_contaminated=n_contaminated, level=level)
    return BaselineFit(refined, centre, basis, benign)
