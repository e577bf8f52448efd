"""The look along directions that contaminated clients share.

The χ² test spreads its power over all (p − r)q entries of a residual.  Clients contaminated together share few
directions: once some of them are flagged, or the residual of the others is not white, those directions are known and a
test along them finds clients that are far too close for the test of the whole residual.  Directions come from other
clients (flagged ones), or from all members at once (eigenvalues above the edge), so that for a benign client the energy
along s of them is still χ² with sq degrees of freedom.
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy.linalg import eigh

from clair_stats.detection.calibration import calibrate_along
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit
from clair_stats.laws import noise_edge, per_client_level
from clair_stats.linalg import stack
from clair_stats.records import BoolArray, FloatArray

__all__ = ["flagged_directions", "second_look", "suspicious_directions"]

# More directions than this share of the complement are no common pattern, and a test along them has no extra power.
_FEW = 0.25
# Two directions closer than this sine are one, found twice.
_SAME_DIRECTION = 0.1


def suspicious_directions(
    panel: Panel, fit: SharedFit, residual: FloatArray, passed: BoolArray, noise: float, *, ratio: float
) -> FloatArray:
    """Orthonormal directions (p, s), s ≥ 0: common to clients that failed, or left over in the members' residual.

    ``residual`` holds R_k of all clients against the fit, shape (K, p, q); ``ratio`` is the spike ratio of the fit.
    """
    _, p, q = panel.shape
    rank = fit.basis.shape[1]
    if rank == p:
        return np.zeros((p, 0))
    edge = noise**2 * noise_edge(p - rank, int(fit.members.sum()) * q)
    if ratio > 1.0:  # what makes the residual not white is looked along, also where φ̂² holds a part of it
        edge = min(edge, float(fit.eigenvalues[rank]) / ratio)
    found = [fit.vectors[:, rank:][:, fit.eigenvalues[rank:] > edge]]
    if not passed.all():
        found.append(_shared_by(residual[~passed], rank, panel.floor))
    return _few(found, p - rank)


def flagged_directions(residual: FloatArray, rank: int, floor: float = 0.0) -> FloatArray:
    """Orthonormal directions (p, s), s ≥ 0, common to the flagged clients whose R_k are given, shape (n, p, q)."""
    return _few([_shared_by(residual, rank, floor)], residual.shape[1] - rank)


def _shared_by(flagged: FloatArray, rank: int, floor: float) -> FloatArray:
    _, p, q = flagged.shape
    if rank == p:
        return np.zeros((p, 0))
    norms = np.sqrt(np.einsum("kij,kij->k", flagged, flagged))
    # Norm one each: a single huge client must not decide; pure noise of norm one has variance 1/((p − r)q).
    signs = flagged / np.maximum(norms, max(floor, np.finfo(float).tiny))[:, None, None]
    tall = stack(signs)
    edge = noise_edge(p - rank, len(signs) * q) / ((p - rank) * q)
    # Few or no eigenvalues above the edge, which LAPACK finds in half the time of all.
    return np.asarray(eigh(tall @ tall.T, driver="evr", subset_by_value=(edge, np.inf), check_finite=False)[1])


def _few(found: list[FloatArray], dimension: int) -> FloatArray:
    """An orthonormal basis of what was found off the subspace; nothing when it is too much for a common pattern."""
    several = [frame for frame in found if frame.shape[1]]
    count = sum(frame.shape[1] for frame in several)
    if count == 0 or count > _FEW * dimension:
        return np.zeros((len(found[0]), 0))
    if len(several) == 1:  # eigenvectors already
        return several[0]
    left, sizes, _ = np.linalg.svd(np.concatenate(several, axis=1), full_matrices=False)
    return np.asarray(left[:, sizes > _SAME_DIRECTION])


def second_look(
    panel: Panel,
    fit: SharedFit,
    residual: FloatArray,
    directions: FloatArray,
    noise: float,
    *,
    level: float,
    heterogeneity: float,
) -> tuple[FloatArray, FloatArray]:
    """p-values (K,) along the directions, and the ratio (K,) of energy to its critical value at family-wise level."""
    n_clients, _, q = panel.shape
    alpha = per_client_level(level, n_clients)
    if panel.covariances is not None:
        return calibrate_along(panel, fit, residual, directions, alpha=alpha, heterogeneity=heterogeneity)
    along = directions.T @ residual
    energy = np.einsum("kiq,kiq->k", along, along)
    # Members' residuals are short by the leverage of the mean, other clients' long by it; the part of the subspace is
    # smaller still.  An allowance keeps the first-order level.
    if panel.common_component and fit.members.any():
        share = panel.design**2 / float(np.sum(panel.design[fit.members] ** 2))
        energy = energy / np.where(fit.members, 1.0 - share, 1.0 + share)
    degrees = directions.shape[1] * q
    scaled = np.maximum(np.sqrt(energy) - heterogeneity / panel.scales, 0.0) ** 2 / noise**2
    return np.asarray(special.chdtrc(degrees, scaled)), np.asarray(scaled / special.chdtri(degrees, alpha))
