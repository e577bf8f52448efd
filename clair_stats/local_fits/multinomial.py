"""Multinomial logistic regression with a ridge penalty, and the sandwich covariance of its estimate.

Class scores are identified up to a common column; the estimate is given in orthonormal contrasts of the classes, so
Θ is p × (q_classes − 1) and its error has full rank.  scikit-learn does the fitting.

The sandwich is that of White (Econometrica 50(1), 1982).
"""

from __future__ import annotations

import warnings
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from clair_stats.local_fits.fit import LocalFit, checked_data
from clair_stats.records import FloatArray

IntArray: TypeAlias = NDArray[np.int64]

__all__ = ["class_contrasts", "fit_multinomial", "multinomial_coefficients"]


def class_contrasts(n_classes: int) -> FloatArray:
    """Orthonormal basis (n_classes, n_classes − 1) of the contrasts between classes; its columns sum to 0 (Helmert).

    Parameters
    ----------
    n_classes : int
        At least 2.

    Returns
    -------
    ndarray, shape (n_classes, n_classes − 1)
        Orthonormal columns.

    Raises
    ------
    ValueError
        Fewer than two classes.
    """
    if n_classes < 2:
        raise ValueError(f"n_classes: {n_classes}; a classifier needs at least 2")
    return np.ascontiguousarray(scipy.linalg.helmert(n_classes).T)


def _checked(design: ArrayLike, labels: ArrayLike, n_classes: int, client: str) -> tuple[FloatArray, IntArray]:
    raw = np.asarray(labels)
    if raw.ndim != 1 or raw.dtype.kind not in "iu":
        raise ValueError(f"{client}: labels have dtype {raw.dtype}, shape {raw.shape}; give one integer per row")
    z, _ = checked_data(design, raw[:, None], client)
    if raw.min() < 0 or raw.max() >= n_classes:
        raise ValueError(f"{client}: labels lie in [{raw.min()}, {raw.max()}]; give 0 … {n_classes - 1}")
    return z, raw.astype(np.int64)


def multinomial_coefficients(
    design: ArrayLike,
    labels: ArrayLike,
    *,
    n_classes: int,
    ridge: float,
    weights: ArrayLike | None = None,
    max_iterations: int = 1000,
    client: str = "client",
) -> tuple[FloatArray, bool]:
    """Minimise −Σ_i w_i log P(y_i | z_i) + ½ ridge ‖B‖_F² over class coefficients B (p, n_classes).

    Parameters
    ----------
    design : array_like, shape (n, p)
    labels : array_like of int, shape (n,)
        From 0 to n_classes − 1.
    n_classes : int
    ridge : float
        Positive, on the scale of the log-likelihood summed over observations.
    weights : array_like, shape (n,), optional
        w_i, not negative; 1 when not given.
    max_iterations : int
        When they run out ``converged`` is False.
    client : str
        Name used in messages.

    Returns
    -------
    estimate : array, shape (p, n_classes − 1)
        B × :func:`class_contrasts`.
    converged : bool

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    ValueError
        Naming the client, the field and the remedy.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ImportError(
            "multinomial fits need scikit-learn; install it with: pip install 'clair-stats[studies]'"
        ) from error
    z, y = _checked(design, labels, n_classes, client)
    if not (np.isfinite(ridge) and ridge > 0.0):
        raise ValueError(f"{client}: ridge is {ridge}; give a positive number, separable classes need it")
    n, p = z.shape
    own = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if own.shape != (n,) or not (np.isfinite(own).all() and (own >= 0.0).all() and own.any()):
        raise ValueError(f"{client}: weights; give {n} finite numbers that are not negative, not all 0")
    # A class that this client never saw still has coefficients: one row of weight 0 makes scikit-learn keep it.
    rows = np.vstack([z, np.zeros((n_classes, p))])
    classes, own = np.concatenate([y, np.arange(n_classes)]), np.concatenate([own, np.zeros(n_classes)])
    # For two classes scikit-learn penalises b = b_1 − b_0 alone; at b_1 = −b_0 = b/2 the penalty on B is half of that.
    strength = 1.0 / ridge if n_classes > 2 else 2.0 / ridge
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        # Newton-CG: as fast as L-BFGS here and exact to 1e-8 where that stops at 1e-5.
        model = LogisticRegression(
            C=strength, fit_intercept=False, max_iter=max_iterations, tol=1e-8, solver="newton-cg"
        )
        model.fit(rows, classes, sample_weight=own)
    converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    coefficients = np.asarray(model.coef_, dtype=np.float64)
    if n_classes == 2:
        coefficients = np.vstack([-coefficients / 2.0, coefficients / 2.0])
    return coefficients.T @ class_contrasts(n_classes), converged


def fit_multinomial(
    design: ArrayLike,
    labels: ArrayLike,
    *,
    n_classes: int,
    ridge: float,
    max_iterations: int = 1000,
    covariance: Literal["sandwich", "HC2"] = "sandwich",
    client: str = "client",
) -> LocalFit:
    """Penalised multinomial logistic regression of one client.

    Parameters
    ----------
    design : array_like, shape (n, p)
        Z; a column of ones serves as a (penalised) intercept.
    labels : array_like of int, shape (n,)
        0 … n_classes − 1; classes that a client never saw are allowed, the penalty keeps them finite.
    n_classes : int
        Number of classes of the whole federation.
    ridge : float
        Positive; separable data have no finite estimate without it.
    max_iterations : int
        Of Newton's method with conjugate gradients; when they run out ``converged`` is False and ``message`` says so.
    covariance : {"sandwich", "HC2"}
        "sandwich": left-out scores, the multinomial form of HC3.  "HC2": scores brought to the variance that they have
        at the truth, the form to hand to refinement (as in :func:`clair_stats.local_fits.fit_least_squares`).
    client : str
        Name used in messages.

    Returns
    -------
    LocalFit
        ``estimate`` (p, n_classes − 1) as in :func:`multinomial_coefficients`; marginals of the sandwich covariance.
        The penalty's bias is not in it.

    Raises
    ------
    ImportError, ValueError
        As :func:`multinomial_coefficients`; an unknown covariance.
    """
    if covariance not in ("sandwich", "HC2"):
        raise ValueError(f"{client}: covariance {covariance!r}; use 'sandwich' or 'HC2'")
    estimate, converged = multinomial_coefficients(
        design, labels, n_classes=n_classes, ridge=ridge, max_iterations=max_iterations, client=client
    )
    z, y = _checked(design, labels, n_classes, client)
    contrasts = class_contrasts(n_classes)
    influences, spent = _influences(z, y, estimate, contrasts, ridge, left_out=covariance == "sandwich")
    return LocalFit.from_covariances(
        estimate,
        np.einsum("nij,nkj->ik", influences, influences) / (n_classes - 1),
        _unit_average(np.einsum("nij,nik->jk", influences, influences)),
        effective_sample_size=float(z.shape[0]),
        residual_degrees_of_freedom=z.shape[0] - spent / (n_classes - 1),
        converged=converged,
        message="L-BFGS converged"
        if converged
        else f"L-BFGS stopped after {max_iterations} iterations; raise max_iterations or ridge",
    )


def _unit_average(covariance: FloatArray) -> FloatArray:
    average = float(np.trace(covariance)) / covariance.shape[0]
    return covariance / average if average > 0.0 else covariance


def _influences(
    z: FloatArray, y: IntArray, estimate: FloatArray, contrasts: FloatArray, ridge: float, *, left_out: bool
) -> tuple[FloatArray, float]:
    """One-step effect of each observation, (n, p, q), and the parameters spent tr(H⁻¹(H − ridge I)).

    With Hessian H = Σ_i z_i z_iᵀ ⊗ W_i + ridge I the step of leaving out observation i is H⁻¹(z_i ⊗ (I − W_i M_i)⁻¹
    s_i), M_i = (z_i ⊗ I)ᵀ H⁻¹ (z_i ⊗ I): the multinomial form of dividing a residual by 1 − leverage (HC3).  Not
    ``left_out``, the inverse root (I − W_i M_i)^(−1/2) in its place (HC2): s_i has about the covariance
    (I − W_i M_i)W_i.
    """
    n, p = z.shape
    q = contrasts.shape[1]
    scores = z @ estimate @ contrasts.T
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    means = probabilities @ contrasts
    curvatures = np.einsum("nc,cj,ck->njk", probabilities, contrasts, contrasts) - means[:, :, None] * means[:, None, :]
    # One p²×n by n×q² product instead of an n-fold sum of Kronecker products.
    products = (z[:, :, None] * z[:, None, :]).reshape(n, p * p)
    hessian = (
        (products.T @ curvatures.reshape(n, q * q)).reshape(p, p, q, q).transpose(0, 2, 1, 3).reshape(p * q, p * q)
    )
    inverse = scipy.linalg.inv(hessian + ridge * np.eye(p * q), check_finite=False).reshape(p, q, p, q)
    half = np.tensordot(z, inverse, axes=([1], [2]))  # (n, p, q, q): H⁻¹ (z_i ⊗ I)
    own = np.einsum("ni,nijk->njk", z, half)
    residuals = contrasts[y] - means
    if left_out:
        corrected = np.linalg.solve(np.eye(q) - curvatures @ own, residuals[:, :, None])[:, :, 0]
    else:
        corrected = _half_left_out(curvatures, own, residuals)
    spent = p * q - ridge * float(np.einsum("ijij->", inverse))
    return np.einsum("nijk,nk->nij", half, corrected), spent


def _half_left_out(curvatures: FloatArray, own: FloatArray, residuals: FloatArray) -> FloatArray:
    """(I − WM)^(−1/2) s for every observation, (n, q): with M = LLᵀ it is L⁻ᵀ(I − LᵀWL)^(−1/2)Lᵀ, and I − LᵀWL > 0."""
    factor = np.linalg.cholesky(own + np.finfo(float).tiny * np.eye(own.shape[1]))  # an observation of zeros has M = 0
    turned = np.swapaxes(factor, 1, 2)
    values, vectors = np.linalg.eigh(np.eye(own.shape[1]) - turned @ curvatures @ factor)
    inside = np.swapaxes(vectors, 1, 2) @ (turned @ residuals[:, :, None]) / np.sqrt(values)[:, :, None]
    return np.asarray(np.linalg.solve(turned, vectors @ inside)[:, :, 0])
