"""Client estimates from fitted models of statsmodels and scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clair_stats.estimates import ClientEstimates

__all__ = ["from_sklearn", "from_statsmodels"]


def _named(fits: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    items = dict(fits) if isinstance(fits, Mapping) else {f"client {k}": fit for k, fit in enumerate(fits)}
    if not items:
        raise ValueError("fits: none given; give one fitted model per client")
    return items


def from_statsmodels(fits: Mapping[str, Any] | Sequence[Any]) -> ClientEstimates:
    """Coefficients and their covariances from statsmodels results, one per client.

    Parameters
    ----------
    fits : mapping client name → results, or sequence of results
        Results with one coefficient vector (OLS, WLS, GLM, Logit, Poisson …), all of one kind.  Parameters are aligned
        by name when the models have names.

    Returns
    -------
    ClientEstimates
        Blocks p × 1.  Where the scale was estimated from residuals (linear models) ``row_covariances`` is the
        covariance over the scale, ``column_covariances`` the scale, with its residual degrees of freedom; elsewhere
        ``row_covariances`` is the covariance.

    Raises
    ------
    TypeError
        Something without ``params`` and ``cov_params``.
    ValueError
        Several equations (MNLogit), whose covariance has no row and column part: use
        :func:`clair_stats.local_fits.fit_multinomial`, or give the coefficients as values.

    Examples
    --------
    >>> import numpy as np, statsmodels.api as sm
    >>> rng = np.random.default_rng(0)
    >>> designs = [sm.add_constant(rng.normal(size=(40, 3))) for _ in range(5)]
    >>> fits = {f"site {k}": sm.OLS(x @ np.ones(4) + rng.normal(size=40), x).fit() for k, x in enumerate(designs)}
    >>> from_statsmodels(fits).row_covariances.shape
    (5, 4, 4)
    """
    values, rows, scales, degrees = {}, [], [], []
    order: list[str] | None = None
    for name, fit in _named(fits).items():
        if not (hasattr(fit, "params") and hasattr(fit, "cov_params")):
            raise TypeError(
                f"{name}: {type(fit).__name__} has no params and cov_params; give a fitted statsmodels result"
            )
        params = np.asarray(fit.params, dtype=np.float64)
        if params.ndim != 1:
            raise ValueError(
                f"{name}: its coefficients have shape {params.shape}; give results with one coefficient vector, or the "
                "coefficients as values"
            )
        labels = [str(label) for label in getattr(fit.params, "index", fit.model.exog_names)]
        order = order or labels
        if sorted(labels) != sorted(order):
            raise ValueError(f"{name}: coefficients {', '.join(labels)}, but the first client has {', '.join(order)}")
        at = [labels.index(label) for label in order]
        covariance = np.asarray(fit.cov_params(), dtype=np.float64)[np.ix_(at, at)]
        linear = _has_estimated_scale(fit)
        scale = float(fit.scale) if linear else 1.0
        values[name] = params[at, None]
        rows.append(covariance / scale)
        scales.append([[scale]])
        degrees.append(float(fit.df_resid) if linear else np.inf)
    known = not np.isfinite(degrees).all()
    return ClientEstimates(
        values=values,  # type: ignore[arg-type]
        row_covariances=np.stack(rows) * (np.array(scales) if known else 1.0),
        column_covariances=None if known else np.array(scales),
        residual_degrees_of_freedom=None if known else np.array(degrees),
    )


def _has_estimated_scale(fit: Any) -> bool:  # noqa: ANN401 - any results class
    """Linear models estimate σ² from residuals; likelihood models have scale 1 or no scale."""
    return type(getattr(fit, "model", None)).__name__ in ("OLS", "WLS", "GLS", "GLSAR")


def from_sklearn(fits: Mapping[str, Any] | Sequence[Any]) -> ClientEstimates:
    """Coefficients of fitted scikit-learn estimators, one per client, as features × responses.

    Parameters
    ----------
    fits : mapping client name → estimator, or sequence of estimators
        With ``coef_`` of shape (responses, features) or (features,).  Features are aligned by ``feature_names_in_``
        when the estimators have it.

    Returns
    -------
    ClientEstimates
        Blocks p × q, p features and q responses: scikit-learn's matrix transposed, so that a subspace shared by the
        responses' coefficient vectors is a column space.  scikit-learn keeps no covariances; give ``noise_scales`` or
        covariances with :class:`~clair_stats.estimates.ClientEstimates` when they are known.

    Raises
    ------
    TypeError
        An estimator without ``coef_``: not linear, or not fitted.
    ValueError
        Clients whose features differ.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> rng = np.random.default_rng(0)
    >>> fits = {f"site {k}": Ridge().fit(rng.normal(size=(30, 4)), rng.normal(size=(30, 2))) for k in range(5)}
    >>> from_sklearn(fits).block_shape
    (4, 2)
    """
    values: dict[str, np.ndarray] = {}
    order: list[str] | None = None
    for name, fit in _named(fits).items():
        if not hasattr(fit, "coef_"):
            raise TypeError(f"{name}: {type(fit).__name__} has no coef_; give a fitted linear estimator")
        block = np.atleast_2d(np.asarray(fit.coef_, dtype=np.float64)).T
        if hasattr(fit, "feature_names_in_"):
            labels = [str(label) for label in fit.feature_names_in_]
            order = order or labels
            if sorted(labels) != sorted(order):
                raise ValueError(f"{name}: features {', '.join(labels)}, but the first client has {', '.join(order)}")
            block = block[[labels.index(label) for label in order]]
        values[name] = block
    return ClientEstimates(values=values)  # type: ignore[arg-type]
