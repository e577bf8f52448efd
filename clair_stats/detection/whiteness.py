"""Is anything but noise left in the residual of the collaborative set?

The largest eigenvalue of an n-column white p-row Wishart matrix lies at φ²(μ + ςT), T Tracy–Widom of order one
(Johnstone, Ann. Statist. 29(2), 2001; the centring used here has second-order accuracy).  A residual above that edge
means that the rank is too small or that the set still holds clients with a common direction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar

from clair_stats.detection.covariance import ErrorCovariances
from clair_stats.records import BoolArray, FloatArray

if TYPE_CHECKING:  # the panel itself needs the edge
    from clair_stats.detection.panel import Panel
    from clair_stats.detection.shared_fit import SharedFit

__all__ = ["covariance_edge", "noise_edge", "spike_ratio"]

# Tracy–Widom of order one exceeds 4 with probability of about 1e-4 (tail exp(−2/3 s^1.5)/(4√π s^1.5)).  So far out
# because the two errors cost differently: a rank taken one too large lets a whole coordinated minority in, while a
# direction that stays below this edge carries less than the noise of one client.
_TRACY_WIDOM = 4.0


def noise_edge(p: float, n: float, *, tracy_widom: float = _TRACY_WIDOM) -> float:
    """The largest eigenvalue of E Eᵀ, E a p × n standard normal matrix, at a point of the Tracy–Widom law.

    By default the point that it exceeds with probability of about 1e-4.
    """
    root_p, root_n = math.sqrt(max(p, 1.0) - 0.5), math.sqrt(max(n, 1.0) - 0.5)
    spread = (root_p + root_n) * (1.0 / root_p + 1.0 / root_n) ** (1.0 / 3.0)
    return float((root_p + root_n) ** 2 + tracy_widom * spread)


def covariance_edge(
    law: ErrorCovariances, basis: FloatArray, members: BoolArray, columns: float, *, tracy_widom: float = _TRACY_WIDOM
) -> float:
    """The edge off ``basis`` (p, r), r < p, when every member's errors have their own covariance.

    As many columns count as i.i.d. ones with the same variance; the members' mean covariance, which is I only on
    average over all clients, lifts the edge (El Karoui, Ann. Probab. 35(2), 2007; docs/derivations/detection.md).
    """
    size = basis.shape[0] - basis.shape[1]
    spectrum, share = law.spread(basis, members)
    count, top = max(share * columns, 1.0), float(spectrum[-1])

    def boundary(x: float) -> float:
        return (count + float(np.sum(spectrum * x / (top - spectrum * x)))) * top / x

    found = minimize_scalar(boundary, bounds=(1e-9, 1.0 - 1e-9), method="bounded").fun
    lift = float(found) / (math.sqrt(count) + math.sqrt(size)) ** 2
    if law.degrees is not None and law.estimated == "rows":
        # The common scale itself is estimated: the edge of a Fisher matrix over that of a Wishart matrix.
        pooled = size * float(np.mean(1.0 / law.degrees)) / law.degrees.size
        aspect = size / count
        widened = math.sqrt(aspect + pooled - aspect * pooled)
        lift *= ((1.0 + widened) / ((1.0 - pooled) * (1.0 + math.sqrt(aspect)))) ** 2
    return lift / share * noise_edge(size, count, tracy_widom=tracy_widom)


def spike_ratio(
    panel: Panel, fit: SharedFit, *, heterogeneity: float = 0.0, tracy_widom: float = _TRACY_WIDOM
) -> float:
    """Largest residual eigenvalue over its noise edge; above 1 the residual is not noise.

    Without a known φ the noise variance comes from the eigenvalues behind the one under test, so that a spike does not
    hide itself.  Benign heterogeneity of at most ``heterogeneity`` per client may add to a common direction.
    """
    _, p, q = panel.shape
    rank = fit.basis.shape[1]
    n_members = int(fit.members.sum())
    columns = (n_members - int(panel.common_component)) * q - rank
    if rank >= p or columns <= 0:
        return 0.0
    left = fit.eigenvalues[rank:]
    edge = noise_edge(p - rank, columns, tracy_widom=tracy_widom)
    if panel.covariances is not None:
        variance = 1.0
        edge = covariance_edge(panel.covariances, fit.basis, fit.members, columns, tracy_widom=tracy_widom)
    elif panel.noise is not None:
        variance = panel.noise**2
    elif p - rank > 1 and columns > 1:
        variance = float(left[1:].sum()) / ((p - rank - 1) * (columns - 1))
    else:
        return 0.0
    variance = max(variance, panel.floor**2)
    allowance = heterogeneity * math.sqrt(float(np.sum(1.0 / panel.scales[fit.members] ** 2)))
    edge = (math.sqrt(variance * edge) + allowance) ** 2
    return float(left[0]) / edge
