"""A direction belongs to all or to nobody: do the flagged clients alone use the directions that explain everyone?

Everyone agrees at rank r₂, and a majority at r < r₂.  Either all use the r₂ directions and the majority happens to have
little of some, or those directions belong to the flagged minority.  No test separates the two without an assumption on
benign coefficients; here they are Gaussian.  Under it data are drawn in the r₂ coordinates, the best set of the same
size at rank r is looked for in each, and the observed one has to fit better than all of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import special

from clair_stats.detection.concentration import Fits, Kernel
from clair_stats.detection.panel import Panel
from clair_stats.detection.reduction import Reduction
from clair_stats.detection.shared_fit import SharedFit, centered_blocks
from clair_stats.detection.starts import random_subsets
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray

__all__ = ["members_share", "used_by_all"]

# Members that do not have the direction are taken to share it with this probability; the draws then decide.
_SHARING_LEVEL = 0.3
_DRAWS = 49  # the observed fit is the best of 50 with probability .02 when all use the directions
_STARTS = 24
_STEPS = 4
_SEED = 20_261_127


def used_by_all(panel: Panel, everyone: SharedFit, members: BoolArray, rank: int, noise: float) -> bool:
    """Whether the rank of the fit on all clients may be everybody's, although ``members`` (K,) agree at ``rank``."""
    n_clients, _, q = panel.shape
    n_members, larger = int(members.sum()), everyone.basis.shape[1]
    inside = everyone.basis.T @ centered_blocks(panel, everyone)
    observed = _trimmed(_fits(panel, inside, rank), members[None], n_members, steps=1)
    precision = 1.0 / panel.scales
    scatter = np.einsum("kiq,kjq->ij", inside, inside) / q
    values, vectors = np.linalg.eigh((scatter - n_clients * noise**2 * np.eye(larger)) / float(precision @ precision))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    generator = np.random.default_rng(_SEED)
    least = int(panel.common_component) + max(-(-rank // q), 1)
    for _ in range(_DRAWS):
        drawn = precision[:, None, None] * (root @ generator.standard_normal((n_clients, larger, q)))
        drawn += noise * generator.standard_normal(drawn.shape)
        starts = random_subsets(n_clients, {min(least + 1, n_clients): _STARTS, n_members: _STARTS // 3}, generator)
        if _trimmed(_fits(panel, drawn, rank), starts, n_members, steps=_STEPS) <= observed:
            return True
    return False


def members_share(panel: Panel, fit: SharedFit, noise: float) -> bool:
    """Whether the members of a fit have more than noise along the leading direction of the clients outside it.

    The direction owes nothing to the members, so their energy along it is φ²χ² when they do
    not have it, with nq degrees of freedom, q less for the common component.
    """
    residual = project_off(fit.basis, centered_blocks(panel, fit))
    outside = residual[~fit.members]
    leading = np.linalg.eigh(np.einsum("kij,klj->il", outside, outside))[1][:, -1]
    along = np.einsum("p,kpq->kq", leading, residual[fit.members])
    energy = float(np.sum(along**2)) / max(noise, panel.floor) ** 2
    degrees = along.size - int(panel.common_component) * panel.shape[2]
    return float(special.chdtrc(degrees, energy)) < _SHARING_LEVEL


def _fits(panel: Panel, blocks: FloatArray, rank: int) -> Fits:
    """Fits of one rank on blocks (K, r₂, q) in the coordinates of the larger fit."""
    energies = np.einsum("kij,kij->k", blocks, blocks)
    small = replace(panel, blocks=np.ascontiguousarray(blocks), energies=energies, covariances=None)
    size = blocks.shape[1]
    return Fits(Kernel(small, Reduction(np.eye(size), small.blocks, np.zeros(len(blocks)))), rank)


def _trimmed(fits: Fits, masks: BoolArray, size: int, *, steps: int) -> float:
    """The smallest total residual of ``size`` clients after concentration steps from the masks (N, K)."""
    best = np.inf
    for _ in range(steps):
        residuals, _ = fits.residuals(masks)
        order = np.argsort(residuals, axis=1, kind="stable")[:, :size]
        kept = np.take_along_axis(residuals, order, axis=1).sum(axis=1)
        best = min(best, float((kept / residuals.sum(axis=1)).min()))
        masks = np.zeros(residuals.shape, dtype=np.bool_)
        np.put_along_axis(masks, order, True, axis=1)
    return best
