"""Multi-response least squares and ridge, with the covariance of the estimate.

The error of OLS is E_k = (ZᵀZ)⁻¹ZᵀW: its covariance is (ZᵀZ)⁻¹ ⊗ Σ_W, not a multiple of the identity.  ``noise_scale``
of the returned fit averages its diagonal; :mod:`clair_stats.local_fits.whitening` removes what clients have in common
of the shape.

"HC2" and "sandwich", which is HC3, are those of MacKinnon and White (Journal of Econometrics 29(3), 1985).  With
errors of one variance the expectation of HC2 is the covariance of the estimate, and that of HC3 is larger by 1/(1 −
leverage).  A test that must not reject too often wants HC3; shrinkage, which gives up an estimate in proportion to its
stated error, wants HC2 (docs/derivations/shrinkage.md, what departures from the setting cost).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from clair_stats.local_fits.fit import LocalFit, checked_data
from clair_stats.records import FloatArray

__all__ = ["fit_least_squares", "select_ridge"]

# Leverages above this are cut: with h_i = 1 the observation is interpolated and its left-out residual is undefined.
_LARGEST_LEVERAGE = 1.0 - 1e-8
# Power of 1 − leverage by which residuals are divided (MacKinnon and White 1985, HC2 and HC3).
_LEVERAGE_POWERS = {"sandwich": 1.0, "HC2": 0.5}


def _checked_penalty(ridge: ArrayLike, p: int, client: str) -> FloatArray:
    penalty = np.asarray(ridge, dtype=np.float64)
    if penalty.ndim > 1 or penalty.size not in (1, p):
        raise ValueError(f"{client}: ridge has shape {penalty.shape}; give one number or one per row of Θ (p = {p})")
    if not np.isfinite(penalty).all() or (penalty < 0.0).any():
        raise ValueError(f"{client}: ridge is {penalty.tolist()}; give finite numbers that are not negative")
    return np.broadcast_to(penalty, (p,)).astype(np.float64)


def fit_least_squares(
    design: ArrayLike,
    responses: ArrayLike,
    *,
    ridge: ArrayLike = 0.0,
    covariance: Literal["classical", "sandwich", "HC2"] = "classical",
    client: str = "client",
) -> LocalFit:
    """Minimise ‖Y − ZΘ‖_F² + Σ_i ridge_i ‖Θ_i·‖².

    Parameters
    ----------
    design : array_like, shape (n, p)
        Z.  No intercept is added; give a column of ones for one.
    responses : array_like, shape (n, q)
        Y.
    ridge : float or array_like, shape (p,)
        Penalty per row of Θ, on the scale of ZᵀZ; 0 (default) is ordinary least squares and needs rank p.
    covariance : {"classical", "sandwich", "HC2"}
        "classical": errors of constant covariance, s²-estimate with n − 2tr(H) + tr(HHᵀ) degrees of freedom.
        "sandwich": HC3, residuals divided by 1 − leverage, for errors whose variance depends on the design (labels
        coded as 0/1 are of that kind).  "HC2": residuals divided by √(1 − leverage), which does not overstate the
        error where leverages are high and is the one to hand to refinement.  None contains the bias that a penalty
        adds.
    client : str
        Name used in messages.

    Returns
    -------
    LocalFit
        ``row_covariance`` R (p, p) and ``column_covariance`` S (q, q), tr(S) = q; under "sandwich" and "HC2" the
        Kronecker form is an approximation that keeps both marginals.

    Raises
    ------
    TypeError, ValueError
        Naming the client, the field and the remedy: rank-deficient design without ridge, or no degrees of freedom.
    """
    z, y = checked_data(design, responses, client)
    n, p = z.shape
    penalty = _checked_penalty(ridge, p, client)
    gram = z.T @ z
    if not penalty.any():
        rank = int(np.linalg.matrix_rank(z))
        if rank < p:
            raise ValueError(
                f"{client}: design has rank {rank} for p = {p} columns (n = {n}); "
                "give a ridge penalty or more observations"
            )
    try:
        factor = scipy.linalg.cho_factor(gram + np.diag(penalty))
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{client}: ridge leaves directions of the design undetermined; penalise every row of Θ that the {n} "
            "observations do not determine"
        ) from None
    bread = scipy.linalg.cho_solve(factor, np.eye(p))
    # One step of iterative refinement on the least-squares residual: the normal equations alone lose half the digits.
    estimate = scipy.linalg.cho_solve(factor, z.T @ y)
    estimate += scipy.linalg.cho_solve(factor, z.T @ (y - z @ estimate) - penalty[:, None] * estimate)
    residuals = y - z @ estimate
    influence = z @ bread
    leverages = np.einsum("ij,ij->i", influence, z)
    shrinkage = bread @ gram  # tr(H²) = tr((bread·gram)²), without the n × n hat matrix
    degrees = n - 2.0 * float(leverages.sum()) + float(np.sum(shrinkage * shrinkage.T))
    if degrees <= 1e-8 * n:
        raise ValueError(f"{client}: n = {n} observations leave no residual degree of freedom; give a ridge penalty")
    if covariance == "classical":
        row = shrinkage @ bread
        column = residuals.T @ residuals / degrees
    elif covariance in _LEVERAGE_POWERS:
        kept = 1.0 - np.minimum(leverages, _LARGEST_LEVERAGE)
        left_out = residuals / (kept ** _LEVERAGE_POWERS[covariance])[:, None]
        sizes = np.sum(left_out**2, axis=1) / y.shape[1]
        row = influence.T @ (sizes[:, None] * influence)
        column = left_out.T @ (np.sum(influence**2, axis=1)[:, None] * left_out)
        # Both marginals carry the total variance once; tr(S) = q leaves it with the rows.
        column = column * (y.shape[1] / float(np.trace(column))) if np.trace(column) > 0.0 else column
    else:
        raise ValueError(f"{client}: covariance {covariance!r}; use 'classical', 'sandwich' or 'HC2'")
    return LocalFit.from_covariances(
        estimate,
        row,
        column,
        effective_sample_size=float(n),
        residual_degrees_of_freedom=degrees,
        converged=True,
        message="closed form",
    )


def select_ridge(
    design: ArrayLike, responses: ArrayLike, *, candidates: Sequence[float], client: str = "client"
) -> float:
    """The candidate penalty with the smallest exact leave-one-out squared error, summed over responses.

    Parameters
    ----------
    design, responses : array_like, shapes (n, p), (n, q)
        As in :func:`fit_least_squares`.
    candidates : sequence of float
        Positive penalties; the first of equals wins.
    client : str
        Name used in messages.

    Returns
    -------
    float
        One of the candidates.

    Raises
    ------
    ValueError
        No candidate, or one that is not positive.
    """
    z, y = checked_data(design, responses, client)
    if not len(candidates) or not all(np.isfinite(c) and c > 0.0 for c in candidates):
        raise ValueError(f"{client}: candidates {list(candidates)} for ridge; give at least one positive number")
    left, singular_values, _ = np.linalg.svd(z, full_matrices=False)
    rotated = left.T @ y
    errors = []
    for penalty in candidates:
        shrinkage = singular_values**2 / (singular_values**2 + penalty)
        leverages = np.minimum((left**2) @ shrinkage, _LARGEST_LEVERAGE)
        residuals = y - left @ (shrinkage[:, None] * rotated)
        errors.append(float(np.sum((residuals / (1.0 - leverages)[:, None]) ** 2)))
    return float(candidates[int(np.argmin(errors))])
