"""Whether a majority uses every direction of a set's subspace, so that a minority alone cannot own one.

Generic use (``generic_use``) tells that members do not all use a direction alike.  Two readings are left: a minority
alone uses it, and the majority lives at a smaller rank; or a minority lacks it.  Clients that lack a direction have a
coefficient of zero there, which the model allows.  So the first reading alone speaks against the set, and it needs half
of the members that live at a smaller rank: it is refuted when even the half that does best without some direction has
more left along it than noise.

See docs/derivations/detection.md, section 4.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from clair_stats.detection.calibration import residual_variance
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, inside_subspace
from clair_stats.detection.step_2_candidates import random_subsets
from clair_stats.detection.trimmed_fits import tie_break
from clair_stats.linalg import symmetric_eigen
from clair_stats.records import FloatArray

__all__ = ["least_left_along_a_direction", "used_by_majority"]

_STARTS = (40, 20)  # smallest subsets, and halves
_STEPS = 6
_SEED = 20_261_201
_ROUNDING = 1e-12  # eigenvalues below this share of the energy of all members


def used_by_majority(panel: Panel, fit: SharedFit, noise: float, *, level: float) -> bool:
    """Whether it is refuted that half of the members do without some direction of the fit.

    If n members have no coefficients along a direction, what they have left there is noise, φ²χ² with nq degrees of
    freedom, and the n members that have least left along the best direction have no more.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    noise : float
        φ.
    level : float
        Probability that it is refuted though it is so, if the search for the half finds the best one.

    Returns
    -------
    bool
    """
    if fit.basis.shape[1] == 0:
        return True
    half = (int(fit.members.sum()) + 1) // 2
    left = least_left_along_a_direction(panel, fit, half) / max(noise, panel.floor) ** 2
    degrees = half * panel.shape[2]
    if panel.noise is not None:
        return bool(special.chdtrc(degrees, left) < level)
    freedom = residual_variance(panel, fit, np.zeros(fit.members.size))[1]
    return bool(freedom > 0 and special.fdtrc(degrees, freedom, left / degrees) < level)


def least_left_along_a_direction(panel: Panel, fit: SharedFit, count: int) -> float:
    """Smallest energy that ``count`` members have along one direction u of the fit, about their own mean.

    min over u and sets H of that size of Σ_H ‖uᵀ(Z_k − c_km_H)‖², Z_k the coordinates in the fit; by concentration
    steps from random subsets, as near as these come.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    count : int
        Members that do without.

    Returns
    -------
    float
        Squared scale of the panel.
    """
    members = panel.in_canonical_order(fit.members)
    inside = inside_subspace(panel, fit)[members]
    design, q, rank = panel.design[members], panel.shape[2], fit.basis.shape[1]
    fewest = min(int(panel.common_component) + max(-(-rank // q), 1), members.size)
    starts = random_subsets(members.size, {fewest: _STARTS[0], count: _STARTS[1]}, np.random.default_rng(_SEED))
    everyone = np.einsum("kiq,kjq->ij", inside, inside)
    ties = tie_break(np.arange(members.size))
    least = np.inf
    for weights in starts.astype(np.float64):
        for _ in range(_STEPS):
            mass = float(weights @ design**2)
            mean = np.einsum("k,kiq->iq", weights * design, inside) / mass if mass > 0 else np.zeros_like(inside[0])
            about = inside - design[:, None, None] * mean
            within = np.einsum("k,kiq,kjq->ij", weights, about, about)
            along = np.einsum("i,kiq->kq", _least_used(within, everyone), about)
            energies = np.einsum("kq,kq->k", along, along)
            nearest = np.argsort(energies * ties, kind="stable")[:count]
            least = min(least, float(energies[nearest].sum()))
            weights = np.zeros(members.size)
            weights[nearest] = 1.0
    return least


def _least_used(within: FloatArray, everyone: FloatArray) -> FloatArray:
    """The direction (r,) that a set uses least; of several that it does not use, the one that all members use least.

    Few updates of low rank leave several unused, and rounding would choose among them.
    """
    values, vectors = symmetric_eigen(within)
    unused = vectors[:, : max(int(np.count_nonzero(values <= _ROUNDING * np.trace(everyone))), 1)]
    return np.asarray(unused @ symmetric_eigen(unused.T @ everyone @ unused)[1][:, 0])
