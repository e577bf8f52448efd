"""Multi-response generalised linear models, one response per column: logistic or Poisson; statsmodels does the fitting.

Given the design the responses are independent, so the error of column j has its own covariance V_j and Cov(vec E) is
block diagonal; the Kronecker form of :class:`LocalFit` keeps both marginals, ``entry_variances`` the exact diagonal.

A response that a hyperplane separates has no maximum-likelihood estimate.  Iterations then end at arbitrary large
numbers, so separation is *proved* by a linear program (Konis, "Linear programming algorithms for detecting separated
data in binary logistic regression models", 2007) and reported by an error, never returned as an estimate.
"""

from __future__ import annotations

import warnings
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from clair_stats.local_fits.fit import LocalFit, checked_data
from clair_stats.records import FloatArray

__all__ = ["Family", "SeparationError", "fit_glm", "is_separated"]

Family: TypeAlias = Literal["logistic", "poisson"]

# Only where a fitted mean has come this close to the boundary can the data be separated, so only there is it checked.
_BOUNDARY = 1e-5


class SeparationError(ValueError):
    """Responses of one client have no maximum-likelihood estimate; ``responses`` lists them."""

    def __init__(self, client: str, responses: list[int]) -> None:
        self.responses = responses
        super().__init__(
            f"{client}: responses {responses} are separated by the design, so no finite maximum-likelihood estimate "
            "exists; give a ridge penalty or more observations"
        )


def is_separated(design: FloatArray, response: FloatArray, family: Family) -> bool:
    """Whether some direction of recession exists, so that the likelihood has no maximum.

    Logistic: β with s_i z_iᵀβ ≥ 0 for all i and > 0 for some, s_i = ±1 by response.  Poisson: β with z_iᵀβ = 0 where
    y_i > 0, z_iᵀβ ≤ 0 where y_i = 0 and < 0 for some.

    Parameters
    ----------
    design : ndarray, shape (n, p)
    response : ndarray, shape (n,)
    family : {"logistic", "poisson"}

    Returns
    -------
    bool
        True when the maximum-likelihood estimate does not exist (Albert and Anderson, Biometrika 71(1), 1984).

    Raises
    ------
    RuntimeError
        The linear program did not end.
    """
    if family == "logistic":
        signed, equal = np.where(response > 0.5, 1.0, -1.0)[:, None] * design, None
    else:
        signed, equal = -design[response == 0], design[response > 0]
        if not signed.size:
            return False
    # Inside a box the sum of the margins is bounded; it is positive exactly when such a direction exists.
    solved = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(signed.shape[0]),
        A_eq=None if equal is None or not equal.size else equal,
        b_eq=None if equal is None or not equal.size else np.zeros(equal.shape[0]),
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if solved.status != 0:
        raise RuntimeError(f"separation check: linear program ended with status {solved.status} ({solved.message})")
    return bool(-float(solved.fun or 0.0) > 1e-7 * np.abs(signed).sum())


def _checked(design: ArrayLike, responses: ArrayLike, family: str, client: str) -> tuple[FloatArray, FloatArray]:
    z, y = checked_data(design, responses, client)
    if family == "logistic":
        if not np.isin(y, (0.0, 1.0)).all():
            raise ValueError(f"{client}: responses of a logistic model must be 0 or 1; recode them")
    elif family == "poisson":
        if (y < 0.0).any() or (y != np.round(y)).any():
            raise ValueError(f"{client}: responses of a Poisson model must be counts 0, 1, 2, …; recode them")
    else:
        raise ValueError(f"{client}: family {family!r}; use 'logistic' or 'poisson'")
    rank = int(np.linalg.matrix_rank(z))
    if rank < z.shape[1]:
        raise ValueError(f"{client}: design has rank {rank} for p = {z.shape[1]} columns; drop columns or add data")
    return z, y


def fit_glm(
    design: ArrayLike,
    responses: ArrayLike,
    *,
    family: Family,
    ridge: float = 0.0,
    max_iterations: int = 100,
    client: str = "client",
) -> LocalFit:
    """Maximum likelihood (or ridge-penalised) fit of E[y_ij | z_i] = g⁻¹(z_iᵀΘ_j), canonical link.

    Parameters
    ----------
    design : array_like, shape (n, p)
        Z of rank p; no intercept is added.
    responses : array_like, shape (n, q)
        0/1 for "logistic", counts for "poisson".
    family : {"logistic", "poisson"}
    ridge : float
        0: maximum likelihood by statsmodels.  Positive: adds ½ ridge ‖Θ‖_F² to the negative log-likelihood
        (scikit-learn), which has a finite minimiser for separated data too.
    max_iterations : int
        Per response; when they run out ``converged`` is False and ``message`` names the responses.
    client : str
        Name used in messages.

    Returns
    -------
    LocalFit
        ``estimate`` (p, q); inverse Fisher information as covariance, (F + ridge)⁻¹F(F + ridge)⁻¹ with a penalty
        (whose bias is not in it).

    Raises
    ------
    SeparationError
        Without penalty, when some response is separated (a proof, not a suspicion).
    ImportError, TypeError, ValueError
        Naming the client, the field and the remedy.
    """
    z, y = _checked(design, responses, family, client)
    if not (np.isfinite(ridge) and ridge >= 0.0):
        raise ValueError(f"{client}: ridge is {ridge}; give a finite number that is not negative")
    n, p = z.shape
    q = y.shape[1]
    estimate = np.empty((p, q))
    covariance = np.zeros((p, q, p, q))
    late: list[int] = []
    separated: list[int] = []
    for j in range(q):
        fit = _maximum_likelihood if ridge == 0.0 else _penalised
        coefficients, settled = fit(z, y[:, j], family, ridge, max_iterations)
        means = _means(z @ coefficients, family)
        variances = means * (1.0 - means) if family == "logistic" else means
        # Rounding can hide a response on its way to infinity behind "converged"; the boundary cannot.
        near = not settled or not np.isfinite(variances).all() or float(variances.min()) < _BOUNDARY
        if ridge == 0.0 and near and is_separated(z, y[:, j], family):
            separated.append(j)
            continue
        if not settled:
            late.append(j)
        estimate[:, j] = coefficients
        information = z.T @ (variances[:, None] * z)
        bread = scipy.linalg.inv(information + ridge * np.eye(p))
        covariance[:, j, :, j] = bread if ridge == 0.0 else bread @ information @ bread
    if separated:
        raise SeparationError(client, separated)
    return LocalFit.from_full_covariance(
        estimate,
        covariance,
        effective_sample_size=float(n),
        residual_degrees_of_freedom=float(n - p),
        converged=not late,
        message=f"responses {late} stopped after {max_iterations} iterations; raise max_iterations"
        if late
        else "every response converged",
    )


def _means(scores: FloatArray, family: Family) -> FloatArray:
    if family == "logistic":
        return np.asarray(scipy.special.expit(scores), dtype=np.float64)
    return np.asarray(np.exp(np.minimum(scores, 700.0)), dtype=np.float64)


def _maximum_likelihood(
    z: FloatArray, y: FloatArray, family: Family, ridge: float, max_iterations: int
) -> tuple[FloatArray, bool]:
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import PerfectSeparationError, PerfectSeparationWarning

    law = sm.families.Binomial() if family == "logistic" else sm.families.Poisson()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow on the way to infinity; what remains is checked
        try:
            fitted = sm.GLM(y, z, family=law).fit(maxiter=max_iterations, tol=1e-12)
        except (PerfectSeparationError, np.linalg.LinAlgError, ValueError):
            return np.full(z.shape[1], np.nan), False
    return np.asarray(fitted.params, dtype=np.float64), bool(fitted.converged)


def _penalised(
    z: FloatArray, y: FloatArray, family: Family, ridge: float, max_iterations: int
) -> tuple[FloatArray, bool]:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression, PoissonRegressor
    except ImportError as error:
        raise ImportError(
            "penalised fits need scikit-learn; install it with: pip install 'clair-stats[studies]'"
        ) from error
    options = {"fit_intercept": False, "solver": "newton-cholesky", "max_iter": max_iterations, "tol": 1e-10}
    if family == "logistic":
        if np.ptp(y) == 0.0:  # scikit-learn wants both classes: one row at the origin says nothing about coefficients
            z, y = np.vstack([z, np.zeros((1, z.shape[1]))]), np.append(y, 1.0 - y[0])
        model = LogisticRegression(C=1.0 / ridge, **options)
    else:
        model = PoissonRegressor(alpha=ridge / z.shape[0], **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(z, y)
    late = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return np.asarray(model.coef_, dtype=np.float64).ravel(), not late
