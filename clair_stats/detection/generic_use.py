"""A direction belongs to all or to nobody: do all members of a set use every direction of its subspace?

A set agrees at rank r₂.  Either all its members use the r₂ directions, or a minority alone uses some, and the majority
lives at a smaller rank.  No test separates the two without an assumption on benign coefficients; here they are
Gaussian.  Under it data are drawn in the r₂ coordinates, the sub-set that fits best at the smaller rank is looked for
in each draw exactly as in the data, and its share of what all members leave at that rank is compared: the data have to
be more extreme than every draw (a Monte Carlo test, Barnard, J. R. Statist. Soc. B 25, 1963).
"""

from __future__ import annotations

import math

import numpy as np

from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, inside_subspace
from clair_stats.detection.step_2_candidates import random_subsets
from clair_stats.linalg import symmetric_eigen, trailing_projectors
from clair_stats.records import BoolArray, FloatArray

__all__ = ["used_by_all"]

_FIRST_DRAWS = 9  # enough to see that the data are nothing special, as in nine of ten clean federations
# At most 4/(9(1 + k²)) of a unimodal law lies k standard deviations below its mean, .003 at 12 (Vysochanskij and
# Petunin, Theory Probab. Math. Statist. 21, 1980): no further draws are needed.
_FAR_OUTSIDE = 12.0
_BATCH = 1 << 24  # numbers (128 MiB) that the coordinates, or the residuals, of one batch of draws take
_STARTS = (20, 4)  # smallest subsets, and as large as the sub-set
_STEPS = 3
_SEED = 20_261_127
_TIE = 1e-9  # residuals that differ by less than this share are equal
_ROUNDING = 1e-12  # eigenvalues of a scatter below this share of the energy that it is a difference of
# A part of the level below one in so many draws (a whole level of .001) is taken for that: tails further out cannot be
# drawn, and without the test a direction that one contaminated client uses alone would be everybody's.
_MOST_DRAWS = 5_000


def used_by_all(
    panel: Panel, fit: SharedFit, noise: float, *, rank: int, counts: tuple[int, ...], level: float
) -> bool:
    """Whether it is plausible that all members of the fit use all its directions.

    Against it stands that one of ``counts`` members lives at the smaller ``rank``.  ``level`` is the probability that
    members with Gaussian coefficients are found not to use them: the data are the most extreme of 1/level samples.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    noise : float
        φ.
    rank : int
        The smaller rank.
    counts : tuple of int
        Numbers of members.
    level : float
        See above.

    Returns
    -------
    bool
    """
    n_members, larger = int(fit.members.sum()), fit.basis.shape[1]
    counts = tuple(sorted({n for n in counts if n < n_members}))
    if larger <= rank or larger == 0 or not counts:
        return True
    q = panel.shape[2]
    members = panel.in_canonical_order(fit.members)
    inside = inside_subspace(panel, fit)[members]
    design, precision = panel.design[members], 1.0 / panel.scales[members]
    generator = np.random.default_rng(_SEED)
    fewest = min(int(panel.common_component) + max(-(-rank // q), 1), n_members)
    starts = random_subsets(n_members, {fewest: _STARTS[0], counts[0]: _STARTS[1]}, generator)
    scatter = np.einsum("kiq,kjq->ij", inside, inside) / q
    values, _ = symmetric_eigen((scatter - n_members * noise**2 * np.eye(larger)) / float(precision @ precision))
    # In the axes of the scatter: shares are the same in any, but in others the sign that an axis happens to have would
    # give other draws, and with them another answer for the same data turned.
    root = np.sqrt(np.maximum(values, 0.0))[:, None]
    # Many clients are drawn in batches; of few all at once, so that their draws are one stream.
    batch = max(_BATCH // (n_members * max(larger * q, len(starts))), 1)
    # The data are the first of the samples, and the only one in which clients can be of low rank or copies.
    shares = _log_shares(inside[None], design, rank, counts, starts, generic=False)
    for n_draws in (_FIRST_DRAWS, max(math.ceil(min(1.0 / level, _MOST_DRAWS)) - 1 - _FIRST_DRAWS, 1)):
        for first in range(0, n_draws, batch):
            size = (min(batch, n_draws - first), n_members, larger, q)
            drawn, errors = generator.standard_normal(size), generator.standard_normal(size)
            drawn *= precision[:, None, None] * root
            errors *= noise
            drawn += errors
            shares = np.concatenate([shares, _log_shares(drawn, design, rank, counts, starts)], axis=1)
        spread = np.maximum(shares.std(axis=1, keepdims=True), np.finfo(float).tiny)
        extremes = ((shares - shares.mean(axis=1, keepdims=True)) / spread).min(axis=0)
        if extremes[0] >= extremes[1:].min():
            return True
        centre, deviation = shares[:, 1:].mean(axis=1), shares[:, 1:].std(axis=1, ddof=1)
        if (shares[:, 0] < centre - _FAR_OUTSIDE * deviation).any():
            return False
    return False


def _off_what_is_determined(scatters: FloatArray, count: int, sizes: FloatArray) -> FloatArray:
    """Projectors (…, R, R) off the leading R − ``count`` eigenvectors, as far as the scatters determine so many.

    ``sizes`` (…) are the energies of which the scatters are differences.

    Two updates of rank s determine 2s directions at most; a further one would be any vector, by rounding.
    """
    size = scatters.shape[-1]
    values, vectors = symmetric_eigen(scatters)
    told = values > _ROUNDING * sizes[..., None]
    told[..., :count] = False
    return np.asarray(np.eye(size) - (vectors * told[..., None, :]) @ np.swapaxes(vectors, -1, -2))


def _log_shares(
    blocks: FloatArray,
    design: FloatArray,
    rank: int,
    counts: tuple[int, ...],
    starts: BoolArray,
    *,
    generic: bool = True,
) -> FloatArray:
    """log of the smallest share that n clients have in what all leave at ``rank``, shape (number of counts, D).

    For each of D data sets ``blocks`` (D, K, R, q) and each n of ``counts``, ascending, from the ``starts`` (N, K).
    Trimmed least squares by concentration steps on the smallest count, all data sets at once.  In ``generic`` data
    every start determines a subspace of the rank.
    """
    n_draws, n_clients, size, q = blocks.shape
    flat = blocks.reshape(n_draws, n_clients, -1)
    scatter = (blocks @ blocks.transpose(0, 1, 3, 2)).reshape(n_draws, n_clients, -1)
    energies = np.einsum("dki,dki->dk", flat, flat)
    weights = np.broadcast_to(starts.astype(np.float64), (n_draws, *starts.shape))
    smallest = np.full((len(counts), n_draws), np.inf)
    for _ in range(_STEPS):
        mass = weights @ design**2
        centre = (weights @ (design[:, None] * flat)) / np.where(mass > 0, mass, 1.0)[..., None]
        blocks_of_centre = centre.reshape(*centre.shape[:2], size, q)
        about = (blocks_of_centre @ blocks_of_centre.transpose(0, 1, 3, 2)).reshape(*centre.shape[:2], -1)
        within = (weights @ scatter - mass[..., None] * about).reshape(*centre.shape[:2], size, size)
        if generic:
            off = trailing_projectors(within, size - rank)
        else:
            off = _off_what_is_determined(within, size - rank, (weights @ energies[..., None])[..., 0])
        shadow = (off @ blocks_of_centre).reshape(centre.shape)
        residuals = off.reshape(*centre.shape[:2], -1) @ scatter.transpose(0, 2, 1)
        residuals -= 2.0 * design * (shadow @ flat.transpose(0, 2, 1))
        residuals += design**2 * np.sum(shadow * centre, axis=-1)[..., None]
        ordered = np.sort(np.maximum(residuals, 0.0), axis=-1)
        kept = np.cumsum(ordered, axis=-1)
        whole = np.maximum(kept[..., -1], np.finfo(float).tiny)
        for i, count in enumerate(counts):
            smallest[i] = np.minimum(smallest[i], (kept[..., count - 1] / whole).min(axis=-1))
        # Both clients of a pair are equally far from its mean: both are in, or neither, whatever rounding says.
        weights = (residuals <= (1.0 + _TIE) * ordered[..., counts[0] - 1 : counts[0]]).astype(np.float64)
    return np.asarray(np.log(np.maximum(smallest, np.finfo(float).tiny)))
