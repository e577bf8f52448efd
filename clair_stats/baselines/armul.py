"""Low-rank variant of ARMUL (Duan and Wang, Annals of Statistics 51(5), 2023), for estimates instead of data.

min over low-rank prototypes Γ_k = M + U B_kᵀ and Θ_k of Σ_k ½‖X_k − Θ_k‖_F² + λ_k‖Θ_k − Γ_k‖_F.  Eliminating Θ_k
leaves a Huber loss of ‖(I − P_U)(X_k − M)‖_F, minimised by iteratively reweighted least squares; λ_k = σ_k√(pq).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, flag, on_moderate_scale
from clair_stats.baselines.winsorised_spectral import pull_towards, typical_noise_norm
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, entrywise_median, project_off

__all__ = ["armul_low_rank"]

_ITERATIONS = 50
_TOLERANCE = 1e-6


@on_moderate_scale
def armul_low_rank(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Huber-type low-rank multitask learning with a free common component.

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
    p = blocks.shape[1]
    centre = entrywise_median(blocks)
    basis = np.zeros((p, rank))
    for _ in range(_ITERATIONS):
        norms = block_norms(project_off(basis, blocks - centre))
        # Where most clients are equal the radius is 0, and these clients are the ones that count.
        radius = np.maximum(typical_noise_norm(record, norms), np.finfo(float).tiny)
        weights = radius / np.maximum(norms, radius)
        centre = np.tensordot(weights / weights.sum(), blocks, axes=1)
        centred = blocks - centre
        scatter = np.einsum("k,kiq,kjq->ij", weights, centred, centred, optimize=True)
        following = np.linalg.eigh(scatter)[1][:, p - rank :]
        moved = float(np.linalg.norm(project_off(basis, following)))
        basis = np.ascontiguousarray(following)
        if moved <= _TOLERANCE:
            break
    off = project_off(basis, blocks - centre)
    radius = typical_noise_norm(record, block_norms(off))
    refined = pull_towards(blocks - off, blocks, radius)
    benign = flag(record, basis, centre, n_contaminated=n_contaminated, level=level)
    return BaselineFit(refined, centre, basis, benign)
