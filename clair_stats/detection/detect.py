"""Test every client against a subspace and a common component that owe nothing to these clients.

The test is that of docs/derivations/detection.md, sections 2 and 7.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from clair_stats.detection.calibration import calibrate, on_scale_of_estimates
from clair_stats.detection.panel import Panel, panel_of
from clair_stats.detection.shared_fit import given_fit, standardised_residuals
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.laws import per_client_level
from clair_stats.linalg import checked_frame, orthonormal_basis
from clair_stats.records import Detection, FloatArray

__all__ = ["detect"]


def detect(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    common: ArrayLike | None = None,
    noise_scales: ArrayLike | None = None,
    level: float = 0.05,
    heterogeneity: float = 0.0,
) -> Detection:
    """Flag the clients whose off-subspace residual is more than noise (theory.md section 5).

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        Local estimators X_k.
    basis : array_like, shape (p, r)
        Orthonormal basis of the shared subspace, taken as known.
    common : array_like, shape (p, q), optional
        Common component, taken as known; 0 when not given.
    noise_scales : array_like, shape (K,), optional
        σ_k; the record's own when not given.  Without either, one scale (relative to 1/√n_k when sample sizes are
        there) is matched to the median score, which needs a benign majority.  Covariances of the record are used.
    level : float
        Probability of any false alarm among the K clients.
    heterogeneity : float
        Tolerated ‖H_k‖_F of a benign client, scale of the estimates.

    Returns
    -------
    Detection

    Raises
    ------
    TypeError, ValueError
        Wrong shapes, a basis that is not finite and orthonormal, a common component that is not finite, level outside
        (0, 1), negative heterogeneity.

    Notes
    -----
    ρ_k²/σ_k² is exactly χ² with (p − r)q degrees of freedom at the true U and M; a basis of the whole space leaves
    nothing to test, and every p-value is 1.  For U and M fitted on the clients themselves use
    :class:`clair_stats.CLAIR`, which corrects the law for the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import detect
    >>> rng = np.random.default_rng(0)
    >>> basis = np.eye(12)[:, :1]
    >>> estimates = basis @ rng.standard_normal((20, 1, 6)) + 0.1 * rng.standard_normal((20, 12, 6))
    >>> estimates[:2] += 1.0
    >>> found = detect(estimates, basis=basis, common=np.zeros((12, 6)), noise_scales=np.full(20, 0.1))
    >>> np.flatnonzero(~found.collaborative_set)
    array([0, 1])
    """
    checked = as_client_estimates(estimates)
    if noise_scales is not None:
        checked = replace(checked, noise_scales=noise_scales)  # type: ignore[arg-type]
    p, q = checked.block_shape
    if not (np.isfinite(level) and 0 < level < 1):
        raise ValueError(f"level: {level!r}; give a probability strictly between 0 and 1, for instance 0.05")
    if not (np.isfinite(heterogeneity) and heterogeneity >= 0):
        raise ValueError(f"heterogeneity: {heterogeneity!r}; give a tolerated norm of at least 0")
    frame = checked_frame(basis, p)
    centre = np.zeros((p, q)) if common is None else np.asarray(common, dtype=np.float64)
    if centre.shape != (p, q):
        raise ValueError(f"common: shape {centre.shape}; give {p} × {q}")
    if not np.isfinite(centre).all():
        raise ValueError("common: some entries are NaN or infinite; give a finite p × q matrix, or leave it out for 0")
    blocks = checked.dense()
    panel = panel_of(checked, blocks)
    fit = given_fit(panel, *_on_scale_of_panel(panel, frame, centre / panel.unit))
    noise: float | None = None
    if panel.noise is None:
        residuals = standardised_residuals(panel, fit)
        freedom = float(residuals.degrees[0])
        noise = (
            float(np.sqrt(np.median(residuals.raw) / (2.0 * special.gammaincinv(freedom / 2.0, 0.5))))
            if freedom > 0
            else 0.0
        )
    tolerance = heterogeneity * panel.stretch
    calibrated = calibrate(panel, fit, level=level, heterogeneity=tolerance, noise=noise)
    _, calibrated = on_scale_of_estimates(panel, blocks, fit, calibrated)
    benign = calibrated.p_values >= per_client_level(level, checked.n_clients)  # without a p-value nobody is benign
    return Detection(benign, calibrated.scores, calibrated.p_values, calibrated.thresholds, level)


def _on_scale_of_panel(panel: Panel, basis: FloatArray, common: FloatArray) -> tuple[FloatArray, FloatArray]:
    law = panel.covariances
    if law is None:
        return basis, common
    return orthonormal_basis(law.left @ basis, basis.shape[1]), law.left @ common @ law.right
