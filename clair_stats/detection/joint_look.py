"""A direction that flagged clients have in common and most members have as well is shared, and the rank too small.

With few columns, or much noise, more than half of the clients may have so little of a shared direction that it stays
below the noise edge of their joint residual; the others are then flagged for having more of it.  Flagged clients show
the direction, and along a known direction noise is easy to tell from little.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from clair_stats.detection.directions import flagged_directions
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, centered_blocks
from clair_stats.linalg import project_off
from clair_stats.records import BoolArray

__all__ = ["shared_after_all"]

# Its harm is a rank one too large, which lets a coordinated minority in.
_LEVEL = 1e-3
# The order statistic that is looked at: contaminated clients that pass as members would have to be a third of them.
_SHARE = 2.0 / 3.0


def shared_after_all(
    panel: Panel, fit: SharedFit, members: BoolArray, noise: float, *, heterogeneity: float = 0.0
) -> bool:
    """Whether some direction common to the clients outside ``members`` (K,) is one of the members, too.

    The energies of n benign members along a direction v found on others are φ²χ²_q; that the j-th smallest of them
    exceeds x has the binomial probability that more than n − j of n exceed it.
    """
    count = int(members.sum())
    if members.all() or count < 3:
        return False
    residual = project_off(fit.basis, centered_blocks(panel, fit))
    directions = flagged_directions(residual[~members], fit.basis.shape[1], panel.floor)
    if directions.shape[1] == 0:
        return False
    along = np.einsum("ps,kpq->ksq", directions, residual[members])
    sizes = np.sqrt(np.einsum("ksq,ksq->ks", along, along)) - (heterogeneity / panel.scales[members])[:, None]
    place = math.ceil(_SHARE * count)
    energy = np.sort(np.maximum(sizes, 0.0), axis=0)[place - 1] ** 2 / max(noise, panel.floor) ** 2
    single = special.chdtrc(panel.shape[2], energy)
    p_values = special.bdtrc(count - place, count, single)
    return bool((p_values < _LEVEL / directions.shape[1]).any())
