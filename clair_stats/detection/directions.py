"""The look along directions that contaminated clients share.

The χ² test spreads its power over all (p − r)q entries of a residual.  Clients contaminated together share few
directions: once some of them are flagged these directions are known, and a test along them finds clients that are far
too close for the test of the whole residual.  Directions come from other clients, so that for a benign client the
energy along s of them is still χ² with sq degrees of freedom.  What members leave over themselves is not looked along:
it is the shared direction of a rank that is too small (alarms with few columns .049 instead of .101, nothing lost).

See docs/derivations/detection.md, section 3.
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy.linalg import eigh

from clair_stats.detection.calibration import calibrate_along
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, mean_leverages, residuals_along
from clair_stats.laws import noise_edge, per_client_level
from clair_stats.linalg import stack
from clair_stats.records import FloatArray

__all__ = ["flagged_directions", "second_look"]

# More directions than this share of the complement are no common pattern, and a test along them has no extra power.
_FEW = 0.25


def flagged_directions(residual: FloatArray, rank: int, floor: float = 0.0) -> FloatArray:
    """Orthonormal directions (p, s), s ≥ 0, common to the flagged clients whose R_k are given, shape (n, p, q).

    Every residual counts with norm one: a single huge client must not decide; pure noise of norm one has variance
    1/((p − r)q).

    Parameters
    ----------
    residual : ndarray, shape (n, p, q)
        R_k of the flagged clients.
    rank : int
        r.
    floor : float
        Energies up to this size are rounding.

    Returns
    -------
    ndarray, shape (p, s)
    """
    _, p, q = residual.shape
    if rank == p:
        return np.zeros((p, 0))
    norms = np.sqrt(np.einsum("kij,kij->k", residual, residual))
    signs = residual / np.maximum(norms, max(floor, np.finfo(float).tiny))[:, None, None]
    tall = stack(signs)
    edge = noise_edge(p - rank, len(signs) * q) / ((p - rank) * q)
    # Few or no eigenvalues above the edge, which LAPACK finds in half the time of all.
    found = np.asarray(eigh(tall @ tall.T, driver="evr", subset_by_value=(edge, np.inf), check_finite=False)[1])
    return found if found.shape[1] <= _FEW * (p - rank) else found[:, :0]


def second_look(
    panel: Panel,
    fit: SharedFit,
    directions: FloatArray,
    noise: float,
    *,
    level: float,
    heterogeneity: float,
) -> tuple[FloatArray, FloatArray]:
    """p-values (K,) along the directions, and the ratio (K,) of energy to its critical value at family-wise level.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    directions : ndarray, shape (p, s)
        Orthonormal columns.
    noise : float
        φ.
    level : float
        Family-wise level.
    heterogeneity : float
        Tolerated ‖H_k‖_F on the scale of the Y_k.

    Returns
    -------
    tuple of ndarray, shape (K,)
    """
    n_clients, _, q = panel.shape
    alpha = per_client_level(level, n_clients)
    if panel.covariances is not None:
        return calibrate_along(panel, fit, directions, alpha=alpha, heterogeneity=heterogeneity)
    along = residuals_along(panel, fit, directions)
    energy = np.einsum("kiq,kiq->k", along, along)
    # Members' residuals are short by the leverage of the mean, other clients' long by it; the part of the subspace is
    # smaller still.  An allowance keeps the first-order level.
    share = mean_leverages(panel, fit.members)
    energy = energy / np.where(fit.members, 1.0 - share, 1.0 + share)
    degrees = directions.shape[1] * q
    scaled = np.maximum(np.sqrt(energy) - heterogeneity / panel.scales, 0.0) ** 2 / noise**2
    return np.asarray(special.chdtrc(degrees, scaled)), np.asarray(scaled / special.chdtri(degrees, alpha))
