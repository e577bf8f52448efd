"""p-values and thresholds for off-subspace residuals, family-wise over clients.

Known noise: T_k/σ_k² is χ² with (p − r)q degrees of freedom, also after the subspace and the common component were
estimated, because T_k is standardised by leverage (docs/derivations/detection.md).  Unknown noise: the ratio to the
residual variance of the *other* members is F.  Covariances of the errors: χ² or a Hotelling–Lawley trace (section 7
there).  A tolerance for benign heterogeneity makes these laws non-central.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import special

from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import (
    ROUNDING,
    Residuals,
    SharedFit,
    centred_blocks,
    hat_blocks,
    mean_leverages,
    residuals_along,
    standardised_residuals,
)
from clair_stats.laws import chi_square, lower_beta_quantile, per_client_level
from clair_stats.linalg import block_norms, orthonormal_basis, project_off
from clair_stats.records import FloatArray

__all__ = [
    "Alone",
    "Calibrated",
    "calibrate",
    "calibrate_alone",
    "calibrate_along",
    "on_scale_of_estimates",
    "residual_variance",
]

# Energies below have lost digits: they are nothing beside any threshold.
_SMALLEST_ENERGY = 1e-290


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Tests of all clients against one fit."""

    scores: FloatArray  # (K,), ρ_k on the scale of the X_k
    statistics: FloatArray  # (K,), T_k
    p_values: FloatArray  # (K,), NaN where no test is possible; 1 where the subspace is the whole space
    thresholds: FloatArray  # (K,), on the scale of the scores; flagged when scores > thresholds
    noise: float  # φ, known or estimated, never below the rounding floor

    def tightened(self, p_values: FloatArray, excess: FloatArray) -> Calibrated:
        """With the test along shared directions: smaller p-values, lower thresholds for clients that only it flags.

        Parameters
        ----------
        p_values : ndarray, shape (K,)
        excess : ndarray, shape (K,)
            Energy along common directions over its critical value.

        Returns
        -------
        Calibrated
        """
        if not (excess > 1.0).any():
            return self
        late = (excess > 1.0) & ~(self.scores > self.thresholds)  # passed the first look, not the second
        lowered = self.scores / np.sqrt(np.maximum(excess, 1.0))
        return replace(
            self,
            p_values=np.fmin(self.p_values, p_values),
            thresholds=np.where(late, lowered, self.thresholds),
        )


# Below this level the digits of 1 − α are lost.
_TINY = 1e-9


class Alone(NamedTuple):
    """The test of one client; score and threshold on the scale of the X_k."""

    p_value: float
    score: float
    threshold: float


def residual_variance(panel: Panel, fit: SharedFit, raw: FloatArray) -> tuple[float, float]:
    """Residual sum of squares of the members and its degrees of freedom (p − r)((|C| − 1)q − r), |C| if M = 0.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    raw : ndarray, shape (K,)
        ‖R_k‖_F² on the scale of the Y_k.

    Returns
    -------
    tuple of float
        RSS on the scale of the Y_k, degrees of freedom.
    """
    _, p, q = panel.shape
    rank = fit.basis.shape[1]
    replications = int(fit.members.sum()) - int(panel.common_component)
    return float(raw[fit.members].sum()), float((p - rank) * max(replications * q - rank, 0))


def calibrate(
    panel: Panel,
    fit: SharedFit,
    *,
    level: float,
    heterogeneity: float = 0.0,
    noise: float | None = None,
    residuals: Residuals | None = None,
) -> Calibrated:
    """Test every client: benign, that is ‖H_k‖_F ≤ ``heterogeneity``, against contaminated.

    ``noise`` replaces the residual variance of the members when φ is not known (used when the fit was given);
    ``residuals`` are those of the fit, for a caller that has them.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    level : float
        Family-wise level.
    heterogeneity : float
        Tolerated ‖H_k‖_F on the scale of the Y_k.
    noise : float, optional
        φ.
    residuals : Residuals, optional
        Those of the fit.

    Returns
    -------
    Calibrated
    """
    if residuals is None:
        residuals = standardised_residuals(panel, fit)
    raw, statistics, degrees = residuals.raw, residuals.standardised, residuals.degrees
    n_clients = panel.shape[0]
    alpha = per_client_level(level, n_clients)
    known = panel.noise if panel.noise is not None else noise
    shift = _shift(heterogeneity, panel.scales)
    if panel.covariances is not None and known is not None:
        phi, left = known, panel.shape[1] - fit.basis.shape[1]
        p_values, critical = panel.covariances.test(statistics, left, degrees / max(left, 1), shift, alpha)
        # Laws differ between clients; in units of their critical values the statistics can be compared.
        usual = float(np.median(critical))
        if math.isfinite(usual):  # else whatever happens is tolerated
            unit = np.where(np.isfinite(critical), usual / critical, 1.0)
            statistics, critical = statistics * unit, critical * unit
    elif known is not None:
        phi = max(known, panel.floor)
        p_values, critical = chi_square(_over(statistics, phi), degrees, _over(shift, phi), alpha)
        critical = critical * phi**2
    else:
        total, freedom = residual_variance(panel, fit, raw)
        phi = max(np.sqrt(total / freedom) if freedom > 0 else 0.0, panel.floor)
        if heterogeneity > 0 or phi <= panel.floor:
            p_values, critical = chi_square(_over(statistics, phi), degrees, _over(shift, phi), alpha)
            critical = critical * phi**2
        else:
            p_values, critical = _deleted_fisher(fit, statistics, degrees, total, freedom, alpha)
    # Off a subspace that is the whole space T_k is 0 for everybody, and P(T_k ≥ 0) = 1; where a client alone fits its
    # directions there is a residual to speak of, but none is left to test.
    everything = fit.basis.shape[1] == panel.shape[1]
    p_values = np.where(degrees > 0, p_values, 1.0 if everything else np.nan)
    critical = np.where(degrees > 0, critical, np.inf)
    told = np.minimum(statistics, raw) > _SMALLEST_ENERGY
    ratio = np.where(told, raw / np.where(told, statistics, 1.0), 1.0)
    return Calibrated(
        scores=np.sqrt(raw) * panel.scales * panel.units,
        statistics=statistics,
        p_values=p_values,
        thresholds=np.sqrt(critical * ratio) * panel.scales * panel.units,
        noise=float(phi),
    )


def calibrate_alone(panel: Panel, fit: SharedFit, client: int, *, level: float, heterogeneity: float) -> Alone:
    """The numbers of :func:`calibrate` for one client that is not in the fit, from its own matrices alone.

    For a panel with covariances of the errors.  ΣÃᵀÃ of the members is diagonal in the basis of their own fit, with
    their leading eigenvalues.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    client : int
        k, no member.
    level : float
        Family-wise level over all clients.
    heterogeneity : float
        Tolerated ‖H_k‖_F on the scale of the Y_k.

    Returns
    -------
    Alone
    """
    assert panel.covariances is not None
    k, (n_clients, p, q) = slice(client, client + 1), panel.shape
    law, rank = panel.covariances.of(k), fit.basis.shape[1]
    centred = centred_blocks(panel, fit, k)
    inside = fit.basis.T @ centred
    residual = centred - fit.basis @ inside
    sizes = fit.eigenvalues[:rank]
    kept = sizes > ROUNDING * sizes[:1]
    rows = inside[0, kept] / np.sqrt(sizes[kept])[:, None]
    hat = rows.T @ rows
    shares = mean_leverages(panel, fit.members)[k]
    hat += shares * np.eye(q)
    between, precision = law.off_subspace(residual, fit.basis)
    statistics, columns, _ = law.standardised(between, precision, hat[None], np.zeros(1, dtype=np.bool_), shares)
    alpha, shift = per_client_level(level, n_clients), _shift(heterogeneity, panel.scales[k])
    p_values, critical = law.test(statistics, p - rank, columns, shift, alpha)
    statistic, raw = float(statistics[0]), float(np.sum(residual**2))
    unit = float(panel.scales[client] * panel.units[client])
    if p == rank or columns[0] == 0:
        return Alone(1.0 if p == rank else math.nan, math.sqrt(raw) * unit, math.inf)
    ratio = raw / statistic if statistic > 0 else 1.0
    return Alone(float(p_values[0]), math.sqrt(raw) * unit, math.sqrt(float(critical[0]) * ratio) * unit)


def _shift(heterogeneity: float, scales: FloatArray) -> FloatArray:
    """Non-centralities (K,) at φ = 1; infinite where everything is tolerated."""
    with np.errstate(over="ignore"):
        return np.asarray((heterogeneity / scales) ** 2)


def _over(energies: FloatArray, phi: float) -> FloatArray:
    """Energies in units of φ²; infinite beside the rounding floor of estimates that are zero."""
    with np.errstate(over="ignore"):
        return np.asarray(energies / phi**2)


def calibrate_along(
    panel: Panel, fit: SharedFit, directions: FloatArray, *, alpha: float, heterogeneity: float
) -> tuple[FloatArray, FloatArray]:
    """p-values (K,) of R_k along orthonormal directions (p, s), and statistics over critical values at ``alpha``.

    For a panel with covariances of the errors.

    Parameters
    ----------
    panel : Panel
    fit : SharedFit
    directions : ndarray, shape (p, s)
        Orthonormal columns.
    alpha : float
        Level of one test.
    heterogeneity : float
        Tolerated ‖H_k‖_F on the scale of the Y_k.

    Returns
    -------
    tuple of ndarray, shape (K,)
    """
    law = panel.covariances
    assert law is not None
    between, precision = law.along(residuals_along(panel, fit, directions), directions)
    statistics, columns, _ = law.standardised(
        between, precision, hat_blocks(panel, fit), fit.members, mean_leverages(panel, fit.members)
    )
    shift = _shift(heterogeneity, panel.scales)
    p_values, critical = law.test(statistics, directions.shape[1], columns, shift, alpha)
    return p_values, statistics / critical


def _deleted_fisher(
    fit: SharedFit, statistics: FloatArray, degrees: FloatArray, total: float, freedom: float, alpha: float
) -> tuple[FloatArray, FloatArray]:
    """Members are tested against the residual variance without them (deletion formula RSS₍₋ₖ₎ = RSS − T_k)."""
    members = fit.members
    others = np.where(members, freedom - degrees, freedom)
    possible = others > 0
    others = np.where(possible, others, 1.0)
    rest = np.where(members, np.maximum(total - statistics, 0.0), total)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (statistics / degrees) / (rest / others)
    ratio = np.where(statistics == 0, 0.0, ratio)
    if alpha < _TINY:  # 1 − α is 1: the share of the residuals that is a client's own, from its lower tail
        rest_share = lower_beta_quantile(others / 2.0, degrees / 2.0, alpha)
        fraction = (1.0 - rest_share) / np.maximum(rest_share, np.finfo(float).tiny)
    elif np.ptp(degrees) == 0.0:  # then there are two cases, members and others, of what is the slow part
        cases, which = np.unique(others, return_inverse=True)
        fraction = special.fdtri(degrees[0], cases, 1.0 - alpha)[which] * degrees / others
    else:
        fraction = special.fdtri(degrees, others, 1.0 - alpha) * degrees / others
    critical = total * np.where(members, fraction / (1.0 + fraction), fraction)
    p_values = np.where(possible, special.fdtrc(degrees, others, ratio), np.nan)
    return p_values, np.where(possible, critical, np.inf)


def on_scale_of_estimates(
    panel: Panel, blocks: FloatArray, fit: SharedFit, calibrated: Calibrated
) -> tuple[SharedFit, Calibrated]:
    """Subspace, common component and scores of the X_k in ``blocks`` (K, p, q), where the panel turned the scale.

    The test does not depend on the scale; the thresholds move with the scores.

    Parameters
    ----------
    panel : Panel
    blocks : ndarray, shape (K, p, q)
        X_k.
    fit : SharedFit
    calibrated : Calibrated

    Returns
    -------
    tuple of SharedFit and Calibrated
        On the scale of the X_k.
    """
    law = panel.covariances
    if law is None:
        return replace(fit, common=fit.common * panel.unit), calibrated
    basis = orthonormal_basis(law.left_inverse @ fit.basis, fit.basis.shape[1])
    common = law.left_inverse @ (fit.common * panel.unit) @ law.right_inverse
    scores = block_norms(project_off(basis, blocks - common))
    known = calibrated.scores > math.sqrt(_SMALLEST_ENERGY) * panel.unit
    moved = np.where(known, scores / np.where(known, calibrated.scores, 1.0), 1.0)
    endless = np.isinf(calibrated.thresholds)  # which no scale moves
    thresholds = np.where(endless, np.inf, np.where(endless, 1.0, calibrated.thresholds) * moved)
    return replace(fit, basis=basis, common=common), replace(calibrated, scores=scores, thresholds=thresholds)
