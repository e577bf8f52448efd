"""The local estimator of trace regression: nuclear norm, then one Newton step on data it has not seen.

Shrinkage moves the penalised estimate by about λ in every direction of its range, far more than its standard error, so
no test can be built on it.  For measurements with i.i.d. N(0, 1) entries the average Hessian is known in closed form,
H = a I + b vec(Θ)vec(Θ)ᵀ/‖Θ‖_F² (identity for squared error), and the cross-fitted step

    Θ̃ = mean over folds of [ Θ̂₋ + (1/|fold|) Σ_{i in fold} H⁻¹ Z_i (y_i − μ(⟨Z_i, Θ̂₋⟩)) ],  Θ̂₋ fitted off the fold,

is exactly unbiased for squared error, with independent summands whose spread gives the covariance (Xia and Yuan,
"Statistical inferences of linear forms for noisy matrix completion", JRSS-B 83, 2021, debias in the same way).  For
one-bit measurements one step leaves curvature of order ‖Θ̂₋ − Θ‖², as large as the standard error at a thousand
measurements of 12 entries, so a second step is taken from where the first ends.  That point has seen the fold, so its
summands are scaled to what they would be had the observation been left out.

What this means for the regimes: docs/regimes.md, "Debiasing trace regression".
"""

from __future__ import annotations

import numpy as np
import scipy.special
from numpy.typing import ArrayLike

from clair_stats.local_fits.fit import LocalFit
from clair_stats.local_fits.trace_regression import (
    Measurement,
    checked_measurements,
    mean_response,
    minimise_nuclear_norm,
    trace_penalty,
)
from clair_stats.records import FloatArray

__all__ = ["fit_trace_regression"]

# A second step would turn the squared-error estimate towards least squares and undo its unbiasedness.
_STEPS = {"gaussian": 1, "one_bit": 2}
_LARGEST_LEVERAGE = 0.9  # beyond it the first-order formula says nothing


def fit_trace_regression(
    measurements: ArrayLike,
    responses: ArrayLike,
    *,
    link: Measurement = "gaussian",
    penalty: float | None = None,
    debias: bool = True,
    folds: int = 2,
    tol: float = 1e-7,
    max_iterations: int = 2000,
    client: str = "client",
) -> LocalFit:
    """Nuclear-norm trace regression of one client, debiased for detection unless asked otherwise.

    Parameters
    ----------
    measurements, responses : array_like, shapes (n, p, q), (n,)
        Z_i with i.i.d. N(0, 1) entries (the debiasing step uses their law) and y_i.
    link : {"gaussian", "one_bit"}
    penalty : float, optional
        λ of the full sample; folds use λ√(n/n₋).  Default :func:`trace_penalty` with σ = ½ for one-bit measurements and
        else with σ from the residuals, in three rounds starting at the root mean square response.
    debias : bool
        False returns the penalised estimate itself, with the covariance that the debiased one would have: that is what
        somebody would use who overlooks the bias.
    folds : int
        At least 2.
    tol, max_iterations : float, int
        Of :func:`minimise_nuclear_norm`.
    client : str
        Name used in messages.

    Returns
    -------
    LocalFit
        ``entry_variances`` from the spread of the summands; row and column marginals likewise.

    Raises
    ------
    TypeError, ValueError
        Naming the client, the field and the remedy.
    """
    z, y = checked_measurements(measurements, responses, link, client)
    n, p, q = z.shape
    if not 2 <= folds <= n // 2:
        raise ValueError(f"{client}: folds is {folds} for n = {n}; give at least 2, with two observations in each")
    options: dict[str, object] = {"link": link, "tol": tol, "max_iterations": max_iterations, "client": client}
    fold_of = np.arange(n) % folds
    pieces: list[FloatArray] = []
    estimate = np.zeros((p, q))
    converged = True
    for fold in range(folds):
        off, on = fold_of != fold, fold_of == fold
        preliminary, settled = _penalised(z[off], y[off], penalty, n, options)
        converged &= settled
        point = preliminary
        for _ in range(_STEPS[link] - 1):
            point = point + _influences(z[on], y[on], point, link).mean(axis=0)
        influences = _influences(z[on], y[on], point, link)
        estimate += (point + influences.mean(axis=0)) * (float(on.sum()) / n)
        pieces.append(influences if _STEPS[link] == 1 else _left_out(influences, z[on], point))
    if not debias:
        estimate, settled = _penalised(z, y, penalty, n, options)
        converged &= settled
    spread = np.concatenate([piece - piece.mean(axis=0) for piece in pieces])
    freedom = float(n - folds) * n
    row = np.einsum("nij,nkj->ik", spread, spread) / freedom / q
    column = np.einsum("nij,nil->jl", spread, spread)
    return LocalFit.from_covariances(
        estimate,
        row,
        column * (q / float(np.trace(column))) if np.trace(column) > 0.0 else column,
        effective_sample_size=float(n),
        residual_degrees_of_freedom=float(n - folds),
        converged=converged,
        message="every duality gap closed"
        if converged
        else f"a duality gap is open after {max_iterations} iterations; raise max_iterations or tol",
        entry_variances=np.asarray(np.sum(spread**2, axis=0) / freedom),
    )


def _penalised(
    z: FloatArray, y: FloatArray, penalty: float | None, n_full: int, options: dict[str, object]
) -> tuple[FloatArray, bool]:
    n, p, q = z.shape
    if penalty is not None or options["link"] == "one_bit":
        lam = penalty * (n_full / n) ** 0.5 if penalty is not None else trace_penalty(n, (p, q), 0.5)
        fit = minimise_nuclear_norm(z, y, penalty=lam, **options)  # type: ignore[arg-type]
        return fit.estimate, fit.converged
    noise, start = float(np.sqrt(np.mean(y**2))), np.zeros((p, q))
    if noise == 0.0:
        return start, True
    for _ in range(3):
        fit = minimise_nuclear_norm(z, y, penalty=trace_penalty(n, (p, q), noise), start=start, **options)  # type: ignore[arg-type]
        start = fit.estimate
        residual = float(np.sqrt(np.mean((y - np.einsum("nij,ij->n", z, start)) ** 2)))
        noise = max(residual, 1e-12 * noise)
    return fit.estimate, fit.converged


def _influences(z: FloatArray, y: FloatArray, point: FloatArray, link: Measurement) -> FloatArray:
    """Steps that the single observations ask for at ``point``, (n, p, q)."""
    residuals = y - mean_response(np.einsum("nij,ij->n", z, point), link)
    return _newton(z * residuals[:, None, None], point, link)


def _newton(scores: FloatArray, preliminary: FloatArray, link: Measurement) -> FloatArray:
    """H⁻¹ applied to every score Z_i(y_i − μ_i), (n, p, q)."""
    if link == "gaussian":
        return scores
    across, along, direction = _average_hessian(preliminary)
    inside = np.einsum("nij,ij->n", scores, direction)
    return np.asarray(
        scores / across + (1.0 / along - 1.0 / across) * inside[:, None, None] * direction, dtype=np.float64
    )


def _average_hessian(point: FloatArray) -> tuple[float, float, FloatArray]:
    """Eigenvalues of H off and along vec(Θ), and the direction of Θ (0 at 0); one-bit measurements."""
    norm = float(np.linalg.norm(point))
    # η is N(0, ‖Θ‖²); Gauss–Hermite quadrature of E μ′(η) and E μ′(η)η²/‖Θ‖².
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    slopes = scipy.special.expit(norm * nodes) * scipy.special.expit(-norm * nodes)
    weights = weights / weights.sum()
    across, along = float(weights @ slopes), float(weights @ (slopes * nodes**2))
    return (across, along, point / norm) if norm > 0.0 else (across, across, point)


def _left_out(influences: FloatArray, z: FloatArray, point: FloatArray) -> FloatArray:
    """Influences at a point fitted without the observation itself, to first order: divided by 1 − h_i, as in HC3.

    h_i = μ′(η_i) z_iᵀH⁻¹z_i/n, the share of its own score that observation i took away when ``point`` was fitted on it.
    """
    scores = np.einsum("nij,ij->n", z, point)
    slopes = scipy.special.expit(scores) * scipy.special.expit(-scores)
    leverages = slopes * np.einsum("nij,nij->n", _newton(z, point, "one_bit"), z) / z.shape[0]
    return np.asarray(influences / (1.0 - np.minimum(leverages, _LARGEST_LEVERAGE))[:, None, None], dtype=np.float64)
