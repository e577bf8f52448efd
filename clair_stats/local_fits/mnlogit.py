"""Multinomial logistic regression by maximum likelihood; statsmodels does the fitting.

The penalised fit is in :mod:`clair_stats.local_fits.multinomial`.  Both give Θ in the orthonormal contrasts of the
classes (:func:`~clair_stats.local_fits.multinomial.class_contrasts`), p × (n_classes − 1).

Separation is decided by the linear program of Konis (thesis, University of Oxford, 2007).
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from clair_stats.local_fits.fit import LocalFit, checked_data
from clair_stats.local_fits.glm import SeparationError
from clair_stats.local_fits.multinomial import class_contrasts
from clair_stats.records import FloatArray

__all__ = ["fit_mnlogit", "is_separated_multinomial"]

_BOUNDARY = 1e-6  # a smallest fitted probability above it cannot come from separated data


def is_separated_multinomial(design: FloatArray, labels: FloatArray, n_classes: int) -> bool:
    """Whether class scores B ≠ const exist with z_iᵀ(b_{y_i} − b_c) ≥ 0 for all i, c and > 0 for some (Konis' program).

    Parameters
    ----------
    design : ndarray, shape (n, p)
    labels : ndarray of int, shape (n,)
    n_classes : int

    Returns
    -------
    bool
        True when the maximum-likelihood estimate does not exist.

    Raises
    ------
    RuntimeError
        The linear program did not end.
    """
    n, p = design.shape
    margins = np.zeros((n, n_classes, n_classes, p))  # (i, c): z_i in column y_i, −z_i in column c
    rows = np.arange(n)
    for other in range(n_classes):
        margins[rows, other, labels] += design
        margins[rows, other, other] -= design
    matrix = margins.reshape(n * n_classes, n_classes * p)
    solved = linprog(-matrix.sum(axis=0), A_ub=-matrix, b_ub=np.zeros(matrix.shape[0]), bounds=(-1.0, 1.0))
    if solved.status != 0:
        raise RuntimeError(f"separation check: linear program ended with status {solved.status} ({solved.message})")
    return bool(-float(solved.fun or 0.0) > 1e-7 * np.abs(matrix).sum())


def fit_mnlogit(
    design: ArrayLike, labels: ArrayLike, *, n_classes: int, max_iterations: int = 100, client: str = "client"
) -> LocalFit:
    """Maximum-likelihood multinomial logistic regression of one client.

    Parameters
    ----------
    design : array_like, shape (n, p)
        Z of rank p; no intercept is added.
    labels : array_like of int, shape (n,)
        0 … n_classes − 1, every class at least once (else the data are separated).
    n_classes : int
    max_iterations : int
        Of Newton's method; when they run out ``converged`` is False and ``message`` says so.
    client : str
        Name used in messages.

    Returns
    -------
    LocalFit
        ``estimate`` (p, n_classes − 1) in orthonormal contrasts; inverse observed information, every entry's own
        variance included.

    Raises
    ------
    SeparationError
        The data are separated; use :func:`~clair_stats.local_fits.multinomial.fit_multinomial` with a penalty.
    TypeError, ValueError
        Naming the client, the field and the remedy.
    """
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import ConvergenceWarning, HessianInversionWarning

    contrasts = class_contrasts(n_classes)
    raw = np.asarray(labels)
    if raw.ndim != 1 or raw.dtype.kind not in "iu" or raw.min() < 0 or raw.max() >= n_classes:
        raise ValueError(f"{client}: labels; give one integer 0 … {n_classes - 1} per row of the design")
    z, _ = checked_data(design, raw[:, None], client)
    p, q = z.shape[1], n_classes - 1
    if np.linalg.matrix_rank(z) < p:
        raise ValueError(f"{client}: design has rank below p = {p}; drop columns or add data")
    missing = sorted(set(range(n_classes)) - set(raw.tolist()))
    if missing:
        raise SeparationError(client, missing)
    with warnings.catch_warnings():
        for kind in (ConvergenceWarning, HessianInversionWarning, RuntimeWarning):
            warnings.simplefilter("ignore", kind)
        try:
            fitted = sm.MNLogit(raw, z).fit(method="newton", maxiter=max_iterations, tol=1e-10, disp=0)
            settled = bool(fitted.mle_retvals["converged"])
            coefficients = np.asarray(fitted.params, dtype=np.float64)
        except np.linalg.LinAlgError:
            if is_separated_multinomial(z, raw, n_classes):
                raise SeparationError(client, list(range(n_classes))) from None
            raise ValueError(f"{client}: the information is singular; drop collinear columns or add data") from None
    scores = np.hstack([np.zeros((z.shape[0], 1)), z @ coefficients])
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    suspicious = not settled or not np.isfinite(probabilities).all() or float(probabilities.min()) < _BOUNDARY
    if suspicious and is_separated_multinomial(z, raw, n_classes):
        raise SeparationError(client, list(range(n_classes)))
    # Class 0 is statsmodels' reference: B = [0, b_1, …], Θ = B × contrasts = coefficients × contrasts[1:].
    turn = contrasts[1:]
    own = np.asarray(fitted.cov_params(), dtype=np.float64).reshape(q, p, q, p)  # equation by equation
    covariance = np.einsum("apbr,aj,bl->pjrl", own, turn, turn)
    return LocalFit.from_full_covariance(
        coefficients @ turn,
        covariance,
        effective_sample_size=float(z.shape[0]),
        residual_degrees_of_freedom=float(z.shape[0] - p),
        converged=settled,
        message="Newton's method converged"
        if settled
        else f"Newton's method stopped after {max_iterations} iterations; raise max_iterations",
    )
