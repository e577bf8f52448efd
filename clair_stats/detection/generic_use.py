"""A direction belongs to all or to nobody: do all members of a set use every direction of its subspace?

A set agrees at rank r₂.  Either all its members use the r₂ directions, or a minority alone uses some, and the majority
lives at a smaller rank.  No test separates the two without an assumption on benign coefficients; here they are
Gaussian.  Under it data are drawn in the r₂ coordinates, the sub-set that fits best at the smaller rank is looked for
in each draw exactly as in the data, and the logarithm of its share of the energy is compared: a parametric bootstrap
whose tail is taken from the t law of a normal prediction.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, centred_blocks
from clair_stats.detection.step_2_candidates import random_subsets
from clair_stats.linalg import symmetric_eigen
from clair_stats.records import BoolArray, FloatArray

__all__ = ["used_by_all"]

_DRAWS = 32
_FIRST_DRAWS = 8  # enough to see that the data are nothing special, as in nearly every clean federation
_UNREMARKABLE = -1.0  # standard deviations
_STARTS = (20, 4)  # smallest subsets, and as large as the sub-set
_STEPS = 3
_SEED = 20_261_127


def used_by_all(
    panel: Panel, fit: SharedFit, noise: float, *, rank: int, counts: tuple[int, ...], level: float
) -> bool:
    """Whether it is plausible that all members of the fit use all its directions.

    Against it stands that one of ``counts`` members lives at the smaller ``rank``.  ``level`` is the probability that
    members with Gaussian coefficients are found not to use them (Bonferroni over the counts).
    """
    n_members, larger = int(fit.members.sum()), fit.basis.shape[1]
    counts = tuple(sorted({n for n in counts if n < n_members}))
    if larger <= rank or not counts:
        return True
    q = panel.shape[2]
    inside = fit.basis.T @ centred_blocks(panel, fit)[fit.members]
    design, precision = panel.design[fit.members], 1.0 / panel.scales[fit.members]
    generator = np.random.default_rng(_SEED)
    fewest = min(int(panel.common_component) + max(-(-rank // q), 1), n_members)
    starts = random_subsets(n_members, {fewest: _STARTS[0], counts[0]: _STARTS[1]}, generator)
    scatter = np.einsum("kiq,kjq->ij", inside, inside) / q
    values, vectors = symmetric_eigen((scatter - n_members * noise**2 * np.eye(larger)) / float(precision @ precision))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = precision[:, None, None] * (root @ generator.standard_normal((_DRAWS, n_members, larger, q)))
    drawn += noise * generator.standard_normal(drawn.shape)
    for count in counts:
        observed = float(_log_shares(inside[None], design, rank, count, starts)[0])
        first = _log_shares(drawn[:_FIRST_DRAWS], design, rank, count, starts)
        if observed > first.mean() + _UNREMARKABLE * first.std(ddof=1):
            continue
        shares = np.concatenate([first, _log_shares(drawn[_FIRST_DRAWS:], design, rank, count, starts)])
        spread = float(shares.std(ddof=1)) * math.sqrt(1.0 + 1.0 / _DRAWS)
        distance = observed - float(shares.mean())
        if distance < 0.0 and (spread == 0.0 or special.stdtr(_DRAWS - 1, distance / spread) < level / len(counts)):
            return False
    return True


def _log_shares(blocks: FloatArray, design: FloatArray, rank: int, count: int, starts: BoolArray) -> FloatArray:
    """log of the smallest share of the energy that ``count`` clients leave at ``rank``, for each of D data sets.

    ``blocks`` (D, K, R, q), ``starts`` (N, K).  Trimmed least squares by concentration steps, all at once.
    """
    n_draws, n_clients, size, q = blocks.shape
    flat = blocks.reshape(n_draws, n_clients, -1)
    scatter = (blocks @ blocks.transpose(0, 1, 3, 2)).reshape(n_draws, n_clients, -1)
    weights = np.broadcast_to(starts.astype(np.float64), (n_draws, *starts.shape))
    smallest = np.full(n_draws, np.inf)
    for _ in range(_STEPS):
        mass = weights @ design**2
        centre = (weights @ (design[:, None] * flat)) / np.where(mass > 0, mass, 1.0)[..., None]
        blocks_of_centre = centre.reshape(*centre.shape[:2], size, q)
        about = (blocks_of_centre @ blocks_of_centre.transpose(0, 1, 3, 2)).reshape(*centre.shape[:2], -1)
        within = (weights @ scatter - mass[..., None] * about).reshape(*centre.shape[:2], size, size)
        left = symmetric_eigen(within)[1][..., : size - rank]
        projectors = left @ left.transpose(0, 1, 3, 2)
        shadow = (projectors @ blocks_of_centre).reshape(centre.shape)
        residuals = projectors.reshape(*centre.shape[:2], -1) @ scatter.transpose(0, 2, 1)
        residuals -= 2.0 * design * (shadow @ flat.transpose(0, 2, 1))
        residuals += design**2 * np.sum(shadow * centre, axis=-1)[..., None]
        kept = np.partition(residuals, count - 1, axis=-1)[..., :count]
        smallest = np.minimum(smallest, np.maximum(kept.sum(axis=-1), 0.0).min(axis=-1))
        weights = (residuals <= kept.max(axis=-1, keepdims=True)).astype(np.float64)
    total = np.einsum("dki,dki->d", flat, flat)
    return np.asarray(np.log(np.maximum(smallest / np.maximum(total, np.finfo(float).tiny), np.finfo(float).tiny)))
