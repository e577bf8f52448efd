"""Linear multi-response regression: every client fits its own coefficient matrix to its own data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.local_fits import LocalFit, fit_least_squares, select_ridge
from clair_stats.records import FloatArray
from simulations.regimes.fitted import autoregressive_rows, fitted_instance
from simulations.regimes.instance import Instance
from simulations.regimes.structure import SharedStructure, log_uniform
from simulations.streams import Streams

__all__ = ["LinearRegressionRegime"]

# Candidates for clients with n_k < p, as multiples of n_k; chosen by leave-one-out error on the client's own data.
_RIDGE_CANDIDATES = tuple(10.0**exponent for exponent in (-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0))


@dataclass(frozen=True, kw_only=True)
class LinearRegressionRegime(SharedStructure):
    """Y_k = Z_k Θ*_k + W_k with p covariates and q responses; X_k is the client's own fit (theory.md section 7).

    Parameters
    ----------
    sample_size, sample_size_spread : int, float
        n_k, log-uniform around ``sample_size`` with ``sample_size_spread`` the largest over the smallest.
    design_correlation : float
        Rows of Z_k are N(0, Σ), Σ_ij = c_k^|i−j| with c_k uniform on [0, design_correlation], own per client.
    response_scale, response_spread : float
        Standard deviation of the entries of W_k, log-uniform around ``response_scale``.
    error_degrees : float or None
        Student's t errors with that many degrees of freedom, scaled to the same variance; None is normal.
    heteroscedasticity : float
        Row i of W_k is multiplied by exp(h·z_i1)/√E exp(2h·z_i1); 0 is constant variance.
    covariance : {"classical", "sandwich"}
        Which covariance of the fit gives the noise scale.

    Notes
    -----
    OLS where n_k ≥ 1.2 p, else ridge with the penalty chosen by leave-one-out error.  The methods see σ_k from the
    residuals, the root mean variance of an entry of X_k, and n_k.  The error of OLS has covariance (ZᵀZ)⁻¹ ⊗ Σ_W and
    the error of ridge has a bias on top: how far that moves the level of the test is what the study shows.

    ``extras`` beside those of :func:`simulations.regimes.fitted.fitted_instance`: ``ridge`` (K,) penalties (0 for OLS).
    """

    name: ClassVar[str] = "linear regression"

    sample_size: int = 200
    sample_size_spread: float = 1.0
    design_correlation: float = 0.0
    response_scale: float = 1.0
    response_spread: float = 1.0
    error_degrees: float | None = None
    heteroscedasticity: float = 0.0
    covariance: Literal["classical", "sandwich"] = "classical"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_size < 2:
            raise ValueError(f"sample_size: {self.sample_size} must be at least 2")
        for name in ("sample_size_spread", "response_spread"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 1.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1 (largest over smallest)")
        if not 0.0 <= self.design_correlation < 1.0:
            raise ValueError(f"design_correlation: {self.design_correlation} is outside [0, 1)")
        if not (math.isfinite(self.response_scale) and self.response_scale > 0.0):
            raise ValueError(f"response_scale: {self.response_scale} must be positive; residuals give the noise scale")
        if self.error_degrees is not None and not self.error_degrees > 2.0:
            raise ValueError(f"error_degrees: {self.error_degrees} must exceed 2, or None for normal errors")
        if not math.isfinite(self.heteroscedasticity):
            raise ValueError(f"heteroscedasticity: {self.heteroscedasticity} must be finite")
        if self.covariance not in ("classical", "sandwich"):
            raise ValueError(f"covariance: {self.covariance!r}; use 'classical' or 'sandwich'")

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), designs and sizes ("data"), errors ("noise"); then one fit per client."""
        truth = self.draw_truth(streams)
        data, noise = streams.generator("data"), streams.generator("noise")
        sizes = log_uniform(self.sample_size, self.sample_size_spread, self.n_clients, data).round().clip(min=2.0)
        scales = log_uniform(self.response_scale, self.response_spread, self.n_clients, data)
        correlations = data.uniform(0.0, 1.0, self.n_clients) * self.design_correlation
        fits: list[LocalFit] = []
        penalties = np.zeros(self.n_clients)
        for k, (size, scale) in enumerate(zip(sizes.astype(int), scales, strict=True)):
            design = autoregressive_rows(int(size), self.n_rows, float(correlations[k]), data)
            responses = design @ truth.targets[k] + scale * self._errors(design, noise)
            client = f"client {k}"
            if size < 1.2 * self.n_rows:
                candidates = [size * factor for factor in _RIDGE_CANDIDATES]
                penalties[k] = select_ridge(design, responses, candidates=candidates, client=client)
            fits.append(
                fit_least_squares(
                    design, responses, ridge=float(penalties[k]), covariance=self.covariance, client=client
                )
            )
        return fitted_instance(truth, fits, ridge=penalties)

    def _errors(self, design: FloatArray, generator: np.random.Generator) -> FloatArray:
        shape = (design.shape[0], self.n_columns)
        if self.error_degrees is None:
            errors = generator.standard_normal(shape)
        else:
            errors = generator.standard_t(self.error_degrees, shape)
            errors *= math.sqrt((self.error_degrees - 2.0) / self.error_degrees)
        # E exp(2hz) = exp(2h²) for a standard normal z: the average variance stays response_scale².
        factor = np.exp(self.heteroscedasticity * design[:, :1] - self.heteroscedasticity**2)
        return np.asarray(factor * errors, dtype=np.float64)
