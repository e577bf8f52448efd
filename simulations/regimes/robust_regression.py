"""Linear regression with heavy-tailed errors and outliers: Huber against OLS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.local_fits import fit_huber, fit_least_squares
from clair_stats.records import FloatArray
from simulations.regimes.fitted import autoregressive_rows, fitted_instance
from simulations.regimes.instance import Instance
from simulations.regimes.structure import SharedStructure
from simulations.streams import Streams

__all__ = ["RobustRegressionRegime"]


@dataclass(frozen=True, kw_only=True)
class RobustRegressionRegime(SharedStructure):
    """Y_k = Z_k Θ*_k + W_k; X_k by Huber's estimator, OLS or ridge (theory.md section 7).

    Parameters
    ----------
    estimator : {"huber", "ols", "ridge"}
        Ridge has penalty ``ridge`` on the scale of ZᵀZ.
    error_law : {"normal", "student", "outliers"}
        "student": t with ``error_degrees`` degrees of freedom, not rescaled (2 or fewer have no variance).  "outliers":
        normal, but a share ``outlier_share`` of the entries has ten times the standard deviation.
    sample_size, design_correlation, response_scale : int, float, float
        As in :class:`simulations.regimes.linear_regression.LinearRegressionRegime`, equal for all clients.
    """

    name: ClassVar[str] = "robust regression"

    estimator: Literal["huber", "ols", "ridge"] = "huber"
    error_law: Literal["normal", "student", "outliers"] = "normal"
    error_degrees: float = 2.5
    outlier_share: float = 0.1
    sample_size: int = 200
    design_correlation: float = 0.0
    response_scale: float = 1.0
    ridge: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.estimator not in ("huber", "ols", "ridge") or self.error_law not in ("normal", "student", "outliers"):
            raise ValueError(
                f"estimator: {self.estimator!r}, error_law: {self.error_law!r}; use 'huber', 'ols' or 'ridge' and "
                "'normal', 'student' or 'outliers'"
            )
        if self.sample_size <= self.n_rows:
            raise ValueError(f"sample_size: {self.sample_size} must exceed n_rows = {self.n_rows}")
        if not (0.0 <= self.design_correlation < 1.0 and 0.0 <= self.outlier_share < 1.0):
            raise ValueError("design_correlation, outlier_share: give numbers in [0, 1)")
        for name in ("response_scale", "error_degrees", "ridge"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be positive and finite")

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), designs ("data"), errors ("noise"); then one fit per client."""
        truth = self.draw_truth(streams)
        data, noise = streams.generator("data"), streams.generator("noise")
        fits = []
        for k in range(self.n_clients):
            correlation = float(data.uniform(0.0, 1.0)) * self.design_correlation
            design = autoregressive_rows(self.sample_size, self.n_rows, correlation, data)
            responses = design @ truth.targets[k] + self.response_scale * self._errors(noise)
            client = f"client {k}"
            if self.estimator == "huber":
                fits.append(fit_huber(design, responses, client=client))
            else:
                penalty = self.ridge if self.estimator == "ridge" else 0.0
                fits.append(fit_least_squares(design, responses, ridge=penalty, client=client))
        return fitted_instance(truth, fits)

    def _errors(self, generator: np.random.Generator) -> FloatArray:
        shape = (self.sample_size, self.n_columns)
        if self.error_law == "student":
            return generator.standard_t(self.error_degrees, shape)
        errors = generator.standard_normal(shape)
        if self.error_law == "outliers":
            errors = np.where(generator.random(shape) < self.outlier_share, 10.0 * errors, errors)
        return errors
