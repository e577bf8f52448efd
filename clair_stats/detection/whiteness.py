"""Is anything but noise left in the residual of the collaborative set?

The largest eigenvalue of an n-column white p-row Wishart matrix lies at φ²(μ + ςT), T Tracy–Widom of order one
(Johnstone, Ann. Statist. 29(2), 2001; the centring used here has second-order accuracy).  A residual above that edge
means that the rank is too small or that the set still holds clients with a common direction.
"""

from __future__ import annotations

import math

import numpy as np

from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit

__all__ = ["noise_edge", "spike_ratio"]

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
    if panel.noise is not None:
        variance = panel.noise**2
    elif p - rank > 1 and columns > 1:
        variance = float(left[1:].sum()) / ((p - rank - 1) * (columns - 1))
    else:
        return 0.0
    variance = max(variance, panel.floor**2)
    allowance = heterogeneity * math.sqrt(float(np.sum(1.0 / panel.scales[fit.members] ** 2)))
    edge = (math.sqrt(variance * noise_edge(p - rank, columns, tracy_widom=tracy_widom)) + allowance) ** 2
    return float(left[0]) / edge
