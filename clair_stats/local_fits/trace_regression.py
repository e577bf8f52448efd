"""Trace regression: a matrix from scalar measurements y_i of ⟨Z_i, Θ⟩, with a nuclear-norm penalty.

    minimise  F(Θ) = (1/n) Σ_i ℓ(y_i, ⟨Z_i, Θ⟩) + λ‖Θ‖_*

"gaussian": ℓ = ½(y − η)²; "one_bit": y ∈ {0, 1}, ℓ = log(1 + e^η) − yη (1-bit matrix sensing, logistic link).  The
method is FISTA with adaptive restart (O'Donoghue and Candès, "Adaptive restart for accelerated gradient schemes",
Found. Comput. Math. 15, 2015).  It stops on the duality gap at the point it returns: with c_i = −∂ℓ/∂η_i/n and
s = min(1, λ/‖Σ c_i Z_i‖_op), the point s·c is dual feasible and the dual value is −(1/n) Σ_i ℓ*(y_i, −n s c_i).

The estimate is shrunk, so it is biased; the fit for detection is in :mod:`clair_stats.local_fits.debiasing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.special
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["Measurement", "NuclearNormFit", "minimise_nuclear_norm", "trace_penalty"]

Measurement: TypeAlias = Literal["gaussian", "one_bit"]

_CHECK_EVERY = 10  # iterations between two duality gaps: a gap costs one more p × q SVD


@dataclass(frozen=True, eq=False)
class NuclearNormFit:
    """A penalised trace regression with its certificate."""

    estimate: FloatArray  # (p, q)
    objective: float
    duality_gap: float  # absolute, at ``estimate``
    n_iterations: int
    converged: bool


def trace_penalty(n: int, shape: tuple[int, int], noise_scale: float) -> float:
    """λ = 1.1 σ(√p + √q)/√n, just above the operator norm of the noise term (1/n)Σ ε_i Z_i for Z with N(0, 1) entries.

    For one-bit measurements σ = ½ bounds the standard deviation of y given Z.

    Parameters
    ----------
    n : int
        Number of measurements.
    shape : tuple of int
        (p, q).
    noise_scale : float
        σ, scale of the responses.

    Returns
    -------
    float
        λ.
    """
    p, q = shape
    return 1.1 * noise_scale * (math.sqrt(p) + math.sqrt(q)) / math.sqrt(n)


def checked_measurements(
    measurements: ArrayLike, responses: ArrayLike, link: str, client: str
) -> tuple[FloatArray, FloatArray]:
    """Measurements (n, p, q) and responses (n,), or an error naming client, field and remedy.

    Parameters
    ----------
    measurements : array_like, shape (n, p, q)
    responses : array_like, shape (n,)
    link : {"gaussian", "one_bit"}
    client : str
        Name used in messages.

    Returns
    -------
    tuple of ndarray, shapes (n, p, q) and (n,)
        float64.

    Raises
    ------
    TypeError, ValueError
        Naming client, field and remedy.
    """
    z, y = np.asarray(measurements), np.asarray(responses)
    if link not in ("gaussian", "one_bit"):
        raise ValueError(f"{client}: link {link!r}; use 'gaussian' or 'one_bit'")
    if z.dtype.kind not in "fiub" or y.dtype.kind not in "fiub":
        raise TypeError(f"{client}: measurements and responses have dtypes {z.dtype}, {y.dtype}; give real numbers")
    if z.ndim != 3 or 0 in z.shape or y.shape != z.shape[:1]:
        raise ValueError(
            f"{client}: measurements {z.shape}, responses {y.shape}; give (n, p, q) and one response per measurement"
        )
    z, y = z.astype(np.float64), y.astype(np.float64)
    if not (np.isfinite(z).all() and np.isfinite(y).all()):
        raise ValueError(f"{client}: NaN or infinite measurements or responses; clean or leave out this client's data")
    if link == "one_bit" and not np.isin(y, (0.0, 1.0)).all():
        raise ValueError(f"{client}: responses of one-bit measurements must be 0 or 1; recode signs as (1 + sign)/2")
    return z, y


def mean_response(scores: FloatArray, link: Measurement) -> FloatArray:
    """E[y | η].

    Parameters
    ----------
    scores : ndarray, any shape
        η.
    link : {"gaussian", "one_bit"}

    Returns
    -------
    ndarray
        Of the shape of the scores.
    """
    return scores if link == "gaussian" else np.asarray(scipy.special.expit(scores), dtype=np.float64)


def _loss(scores: FloatArray, y: FloatArray, link: Measurement) -> float:
    if link == "gaussian":
        return 0.5 * float(np.mean((y - scores) ** 2))
    return float(np.mean(np.logaddexp(0.0, scores) - y * scores))


def _dual_value(residuals: FloatArray, y: FloatArray, link: Measurement) -> float:
    """−(1/n) Σ ℓ*(y_i, −u_i) at the scaled residuals u_i, for u_i between the residuals' extremes."""
    if link == "gaussian":
        return float(np.mean(residuals * y - 0.5 * residuals**2))
    probabilities = np.clip(y - residuals, 0.0, 1.0)  # ℓ* is the negative entropy of y − u
    return float(np.mean(scipy.special.entr(probabilities) + scipy.special.entr(1.0 - probabilities)))


def minimise_nuclear_norm(
    measurements: ArrayLike,
    responses: ArrayLike,
    *,
    penalty: float,
    link: Measurement = "gaussian",
    start: FloatArray | None = None,
    tol: float = 1e-9,
    max_iterations: int = 5000,
    client: str = "client",
) -> NuclearNormFit:
    """Minimise F at the head of this file.

    Parameters
    ----------
    measurements, responses : array_like, shapes (n, p, q), (n,)
    penalty : float
        λ > 0, see :func:`trace_penalty`.
    link : {"gaussian", "one_bit"}
    start : ndarray, shape (p, q), optional
        Where to begin; 0 when not given.
    tol : float
        Duality gap relative to the loss at Θ = 0.
    max_iterations : int
        When they run out ``converged`` is False.
    client : str
        Name used in messages.

    Returns
    -------
    NuclearNormFit
        Estimate with the duality gap at it.

    Raises
    ------
    TypeError, ValueError
        Naming the client, the field and the remedy.
    """
    z, y = checked_measurements(measurements, responses, link, client)
    if not (math.isfinite(penalty) and penalty > 0.0):
        raise ValueError(f"{client}: penalty is {penalty}; give a positive number, for instance trace_penalty(...)")
    n, p, q = z.shape
    flat = z.reshape(n, p * q)
    bound = float(np.linalg.norm(flat, 2)) ** 2 / n  # Lipschitz constant; a quarter of it for the logistic loss
    step = (1.0 if link == "gaussian" else 4.0) / bound if bound > 0.0 else 1.0
    scale = max(_loss(np.zeros(n), y, link), np.finfo(float).tiny)
    point = np.zeros((p, q)) if start is None else np.array(start, dtype=np.float64)
    extrapolated, momentum = point, 1.0
    objective = gap = math.inf
    for iteration in range(max_iterations + 1):
        if iteration % _CHECK_EVERY == 0 or iteration == max_iterations:
            objective, gap = _certificate(flat, y, point, penalty, link)
            if gap <= tol * scale:
                return NuclearNormFit(point, objective, gap, iteration, True)
            if iteration == max_iterations:
                break
        scores = flat @ extrapolated.ravel()
        gradient = (flat.T @ (mean_response(scores, link) - y) / n).reshape(p, q)
        moved = _shrink(extrapolated - step * gradient, step * penalty)
        if np.sum((extrapolated - moved) * (moved - point)) > 0.0:
            momentum = 1.0  # the momentum points uphill: restart
        following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        extrapolated = moved + (momentum - 1.0) / following * (moved - point)
        point, momentum = moved, following
    return NuclearNormFit(point, objective, gap, max_iterations, False)


def _shrink(matrix: FloatArray, amount: float) -> FloatArray:
    left, singular_values, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray((left * np.maximum(singular_values - amount, 0.0)) @ right, dtype=np.float64)


def _certificate(
    flat: FloatArray, y: FloatArray, point: FloatArray, penalty: float, link: Measurement
) -> tuple[float, float]:
    scores = flat @ point.ravel()
    objective = _loss(scores, y, link) + penalty * float(np.linalg.svd(point, compute_uv=False).sum())
    residuals = y - mean_response(scores, link)
    pull = float(np.linalg.norm((flat.T @ residuals / y.size).reshape(point.shape), 2))
    feasible = min(1.0, penalty / pull) if pull > 0.0 else 1.0
    return objective, objective - _dual_value(feasible * residuals, y, link)
