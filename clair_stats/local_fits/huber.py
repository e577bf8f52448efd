"""Huber's M-estimator of multi-response linear regression, for heavy-tailed errors; statsmodels does the fitting.

With ψ Huber's function, s_j the MAD scale of response j and ε_ij its scaled residuals, the errors of two responses have
covariance (ZᵀZ)⁻¹ · k_j k_l s_j s_l · Σ_i ψ(ε_ij)ψ(ε_il)/(n − p) / (m_j m_l), m_j the mean of ψ′ and k_j Huber's
small-sample factor 1 + (p/n)(1 − m_j)/m_j: the Kronecker form of a local fit is exact here.

The covariance is "H1" of Huber (Robust Statistics, 1981), chapter 7.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.local_fits.fit import LocalFit, checked_data
from clair_stats.records import FloatArray

__all__ = ["fit_huber"]


def fit_huber(
    design: ArrayLike,
    responses: ArrayLike,
    *,
    threshold: float = 1.345,
    max_iterations: int = 200,
    client: str = "client",
) -> LocalFit:
    """Huber regression of every response on the design, scale by the median absolute deviation of the residuals.

    Parameters
    ----------
    design, responses : array_like, shapes (n, p), (n, q)
        Z of rank p and Y; no intercept is added.
    threshold : float
        Where ψ turns constant, in units of the scale; 1.345 has efficiency 0.95 for normal errors.
    max_iterations : int
        Of iterated reweighting; when they run out ``converged`` is False and ``message`` names the responses.
    client : str
        Name used in messages.

    Returns
    -------
    LocalFit
        ``estimate`` (p, q); covariance as at the head of this file (statsmodels' "H1" on the diagonal).

    Raises
    ------
    TypeError, ValueError
        Naming the client, the field and the remedy.
    """
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    z, y = checked_data(design, responses, client)
    n, p = z.shape
    q = y.shape[1]
    if not (np.isfinite(threshold) and threshold > 0.0):
        raise ValueError(f"{client}: threshold is {threshold}; give a positive number, 1.345 for efficiency 0.95")
    rank = int(np.linalg.matrix_rank(z))
    if rank < p or n <= p:
        raise ValueError(
            f"{client}: design has rank {rank} for p = {p} columns and n = {n}; this fit needs rank p, n > p"
        )
    norm = sm.robust.norms.HuberT(t=threshold)
    estimate = np.empty((p, q))
    influence = np.empty((n, q))
    late: list[int] = []
    for j in range(q):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = sm.RLM(y[:, j], z, M=norm).fit(maxiter=max_iterations, tol=1e-10)
        if not _settled(fitted, max_iterations):
            late.append(j)
        estimate[:, j] = fitted.params
        influence[:, j] = _influence(fitted, norm, p)
    column = influence.T @ influence / (n - p)
    return LocalFit.from_covariances(
        estimate,
        np.asarray(np.linalg.inv(z.T @ z), dtype=np.float64),
        column,
        effective_sample_size=float(n),
        residual_degrees_of_freedom=float(n - p),
        converged=not late,
        message=f"responses {late} stopped after {max_iterations} iterations; raise max_iterations"
        if late
        else "iterated reweighting converged",
    )


def _settled(fitted: object, max_iterations: int) -> bool:
    return bool(fitted.fit_history["iteration"] < max_iterations)  # type: ignore[attr-defined]


def _influence(fitted: object, norm: object, p: int) -> FloatArray:
    """k s ψ(ε_i)/m for every observation, (n,)."""
    scale = float(fitted.scale)  # type: ignore[attr-defined]
    if scale <= 0.0:  # more than half of the residuals are zero: the fit is exact
        return np.zeros_like(np.asarray(fitted.resid))  # type: ignore[attr-defined]
    scaled = np.asarray(fitted.resid, dtype=np.float64) / scale  # type: ignore[attr-defined]
    slopes = np.asarray(norm.psi_deriv(scaled), dtype=np.float64)  # type: ignore[attr-defined]
    mean = float(slopes.mean())
    factor = 1.0 + p / scaled.size * float(slopes.var()) / mean**2
    return np.asarray(factor * scale * norm.psi(scaled) / mean, dtype=np.float64)  # type: ignore[attr-defined]
