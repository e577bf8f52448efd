"""All clients first: the smallest rank at which nobody stands out, tested without any selection.

A search selects: among clean clients it can find a majority that a *smaller* rank explains by luck, and then flags the
others for carrying a direction that everybody shares (95 of 130 false alarms on small clean federations).  A set that
was fixed before looking at the data spends nothing on selection.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from clair_stats.detection.calibration import Calibrated, calibrate, per_client_level, residual_variance
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import SharedFit, fit_shared, standardised_residuals
from clair_stats.detection.whiteness import spike_ratio
from clair_stats.records import FloatArray

__all__ = ["everyone_stands", "homogeneity_quantile"]

_HOMOGENEITY_LEVEL = 0.005
_DRAWS = 4000
_SEED = 20_261_126


def everyone_stands(
    panel: Panel, rank: int, *, level: float, heterogeneity: float = 0.0
) -> tuple[SharedFit, Calibrated] | None:
    """The fit on all clients, when every client passes its test and the residual is white; None otherwise.

    With the noise learnt, many outliers inflate the variance that they are judged by (13 of 30 at q = 1 pass), so the
    clients' residual energies have to be homogeneous as well: Bartlett's statistic log mean(T) − mean log(T) below its
    simulated quantile.
    """
    n_clients = panel.shape[0]
    fit = fit_shared(panel, np.ones(n_clients, dtype=np.bool_), rank)
    if panel.noise is None and residual_variance(panel, fit, np.zeros(n_clients))[1] <= 0:
        return None
    if spike_ratio(panel, fit, heterogeneity=heterogeneity) > 1.0:
        return None
    residuals = standardised_residuals(panel, fit)
    calibrated = calibrate(panel, fit, level=level, heterogeneity=heterogeneity, residuals=residuals)
    # A NaN means that no test is possible; it must not count as agreement.
    if not (calibrated.p_values >= per_client_level(level, n_clients)).all():
        return None
    if panel.noise is None and heterogeneity == 0.0 and not _homogeneous(residuals.standardised, residuals.degrees):
        return None
    return fit, calibrated


def _homogeneous(statistics: FloatArray, degrees: FloatArray) -> bool:
    if (statistics <= 0.0).any():
        return True  # clients that agree exactly
    scaled = statistics / degrees
    spread = float(np.log(scaled.mean()) - np.log(scaled).mean())
    return spread <= homogeneity_quantile(statistics.size, int(degrees.min()))


@lru_cache(maxsize=256)
def homogeneity_quantile(n_clients: int, degrees: int) -> float:
    """Quantile at 1 − 0.005 of log mean(T) − mean log(T) over K independent χ², by simulation (error .001 in level)."""
    generator = np.random.default_rng(_SEED)
    draws = generator.chisquare(degrees, (_DRAWS, n_clients))
    spreads = np.log(draws.mean(axis=1)) - np.log(draws).mean(axis=1)
    return float(np.quantile(spreads, 1.0 - _HOMOGENEITY_LEVEL))
