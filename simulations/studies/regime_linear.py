"""Linear regression beyond the textbook: the claims of Theorems 3 to 5 with heavy tails, outliers, ridge and Huber,
error variances that depend on the design, unequal clients, and fewer observations than covariates.

Settings were fixed before their first run: 10 to 80 observations per coefficient.  The plain study of OLS with unequal
clients is :mod:`simulations.studies.linear_regression`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulations.regimes.linear_regression import LinearRegressionRegime
from simulations.regimes.robust_regression import RobustRegressionRegime
from simulations.studies._regime_design import RegimeDesign

__all__ = ["DESIGN", "STUDY"]

_FIELDS: dict[str, Any] = {
    "n_clients": 12,
    "n_rows": 10,
    "n_columns": 3,
    "rank": 2,
    "share": 0.25,
    "coefficient_scale": 0.5,
    "common_scale": 0.1,
    "sample_size": 200,
}
_BASE = RobustRegressionRegime(**_FIELDS)
_UNEVEN = LinearRegressionRegime(**_FIELDS, heteroscedasticity=0.5, covariance="sandwich")
_EVEN = {"heteroscedasticity": 0.0, "covariance": "classical"}

DESIGN = RegimeDesign(
    name="regime_linear",
    title="Linear regression with OLS, ridge and Huber: error law, collaborative set, gain and level",
    variants={
        "ols, normal": replace(_BASE, estimator="ols"),
        "huber, student 2.5": replace(_BASE, estimator="huber", error_law="student"),
        "ols, heteroscedastic, HC3": _UNEVEN,
    },
    sizes=(100, 200, 400, 800),
    separations=(0.25, 0.5, 1.0, 2.0),
    clients=(8, 16, 32),
    departures={
        "H 0.05": ("ols, normal", {"heterogeneity_scale": 0.05}),
        "H 0.2": ("ols, normal", {"heterogeneity_scale": 0.2}),
        "n = 15": ("ols, normal", {"sample_size": 15}),
        "n = 25, no contamination": ("ols, normal", {"sample_size": 25, "share": 0.0}),
        "ridge 60": ("ols, normal", {"estimator": "ridge", "ridge": 60.0}),
        "correlated": ("ols, normal", {"design_correlation": 0.8}),
        "student 2.5": ("ols, normal", {"error_law": "student"}),
        "outliers": ("ols, normal", {"error_law": "outliers"}),
        "outliers, huber": ("huber, student 2.5", {"error_law": "outliers"}),
        "huber, student 1.5": ("huber, student 2.5", {"error_degrees": 1.5}),
        "inner-product manipulation": ("ols, normal", {"contamination": "inner_product"}),
        "a little is enough": ("ols, normal", {"contamination": "little_is_enough"}),
        "heteroscedastic, classical": ("ols, heteroscedastic, HC3", {"covariance": "classical"}),
        "n = 8, ridge by left-out error": ("ols, heteroscedastic, HC3", {"sample_size": 8, **_EVEN}),
        "n spread by 20": ("ols, heteroscedastic, HC3", {"sample_size_spread": 20.0, **_EVEN}),
    },
    controls={"coverage": "ridge 60", "exact-set": "H 0.2"},
    root_seed=20260714,
)

STUDY = DESIGN.study()
