"""Who is contaminated: scores against calibrated thresholds (theory.md section 5, Theorem 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.detection.calibration import NullLaw, known_law, p_values, score_thresholds
from clair_stats.linalg import block_norms, project_off
from clair_stats.records import ClientEstimates, Detection, FloatArray, as_client_estimates

__all__ = ["EXACT_TOLERANCE", "client_level", "detect", "detect_under", "scores"]

# Residuals below this fraction of the typical block are rounding, not noise: estimates that fit M + U A_kᵀ exactly.
# 1e-6 is the accuracy to which a certified solution fixes the subspace.
EXACT_TOLERANCE = 1e-6


def scores(blocks: FloatArray, basis: FloatArray, common: FloatArray) -> FloatArray:
    """ρ_k = ‖(I − P_U)(X_k − M)‖_F for every client, shape (K,), scale of the estimates."""
    return block_norms(project_off(basis, blocks - common))


def client_level(level: float, n_clients: int) -> float:
    """Per-client level with family-wise level over K clients (Šidák; exact for independent scores)."""
    return float(-np.expm1(np.log1p(-level) / n_clients))


def detect_under(values: FloatArray, law: NullLaw, *, level: float, heterogeneity: float = 0.0) -> Detection:
    """Flag the clients whose score exceeds its threshold under a null law."""
    thresholds = score_thresholds(client_level(level, values.size), law, heterogeneity)
    return Detection(values <= thresholds, values, p_values(values, law, heterogeneity), thresholds, level)


def detect_exact(values: FloatArray, typical: float, *, level: float, heterogeneity: float = 0.0) -> Detection:
    """Without noise the rule is deterministic: anything above rounding and the tolerated heterogeneity is flagged."""
    thresholds = np.full(values.size, EXACT_TOLERANCE * typical + heterogeneity)
    return Detection(values <= thresholds, values, np.full(values.size, np.nan), thresholds, level)


def check_level(level: float) -> None:
    """Refuse a level outside (0, 1)."""
    if not (np.isfinite(level) and 0 < level < 1):
        raise ValueError(f"level: {level!r}; give a probability strictly between 0 and 1, for instance 0.05")


def detect(
    estimates: ClientEstimates | ArrayLike,
    *,
    basis: ArrayLike,
    common: ArrayLike | None = None,
    noise_scales: ArrayLike | None = None,
    level: float = 0.05,
    heterogeneity: float = 0.0,
) -> Detection:
    """Test every client against a given subspace and common component.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        Local estimators X_k.
    basis : array_like, shape (p, r)
        Orthonormal basis of the shared subspace, taken as known.
    common : array_like, shape (p, q), optional
        Common component, taken as known; 0 when not given.
    noise_scales : array_like, shape (K,), optional
        σ_k; the record's own when not given.  Without either, one scale for all clients is taken from the median score,
        which needs a benign majority.
    level : float
        Probability of any false alarm among the K clients.
    heterogeneity : float
        Tolerated ‖H_k‖_F of a benign client, scale of the estimates.

    Returns
    -------
    Detection

    Raises
    ------
    ValueError
        Wrong shapes, a basis that is not orthonormal, level outside (0, 1), negative heterogeneity.

    Notes
    -----
    The law is χ² with (p − r)q degrees of freedom (theory.md section 5), exact for the true U and M.  For U and M fitted
    on the clients themselves use :class:`clair_stats.CLAIR`, which corrects the law for the fit.
    """
    checked = as_client_estimates(estimates)
    blocks = checked.dense()
    n_clients, p, q = blocks.shape
    check_level(level)
    if not (np.isfinite(heterogeneity) and heterogeneity >= 0):
        raise ValueError(f"heterogeneity: {heterogeneity!r}; give a tolerated norm of at least 0")
    frame = np.asarray(basis, dtype=np.float64)
    if frame.ndim != 2 or frame.shape[0] != p:
        raise ValueError(f"basis: shape {frame.shape}; give p × r with p = {p}")
    if frame.shape[1] and np.abs(frame.T @ frame - np.eye(frame.shape[1])).max() > 1e-8:
        raise ValueError("basis: its columns are not orthonormal; orthonormalise it, for instance by np.linalg.qr")
    center = np.zeros((p, q)) if common is None else np.asarray(common, dtype=np.float64)
    if center.shape != (p, q):
        raise ValueError(f"common: shape {center.shape}; give {p} × {q}")
    values = scores(blocks, frame, center)
    sigma = checked.noise_scales
    if noise_scales is not None:
        sigma = ClientEstimates(values=blocks, client_names=checked.names, noise_scales=noise_scales).noise_scales  # type: ignore[arg-type]
    typical = float(np.median(block_norms(blocks)))
    degrees = (p - frame.shape[1]) * q
    if sigma is None and degrees:
        middle = float(np.median(values))
        sigma = np.full(n_clients, middle / np.sqrt(degrees * (1 - 2 / (9 * degrees)) ** 3))
    if sigma is None or float(np.max(sigma)) * np.sqrt(max(degrees, 1)) <= EXACT_TOLERANCE * typical:
        return detect_exact(values, typical, level=level, heterogeneity=heterogeneity)
    law = known_law(n_clients, p, q, frame.shape[1], sigma)
    return detect_under(values, law, level=level, heterogeneity=heterogeneity)
