"""Trace regression: every client sees n scalar measurements of its matrix and fits it with a nuclear-norm penalty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import scipy.special

from clair_stats.local_fits import fit_trace_regression
from simulations.regimes.fitted import fitted_instance
from simulations.regimes.instance import Instance
from simulations.regimes.structure import SharedStructure
from simulations.streams import Streams

__all__ = ["TraceRegressionRegime"]


@dataclass(frozen=True, kw_only=True)
class TraceRegressionRegime(SharedStructure):
    """y_i = ⟨Z_i, Θ*_k⟩ + ε_i, or one bit with P(y_i = 1) = 1/(1 + exp(−⟨Z_i, Θ*_k⟩)) (theory.md section 7).

    Parameters
    ----------
    link : {"gaussian", "one_bit"}
    sample_size : int
        n, measurements per client, Z_i with i.i.d. N(0, 1) entries.
    response_scale : float
        Standard deviation of ε_i; "gaussian" only.
    debias : bool
        True: the cross-fitted debiased estimate, the one meant for detection.  False: the penalised estimate.

    Notes
    -----
    The penalty is :func:`clair_stats.local_fits.trace_penalty`; duality gaps are closed to 1e-5 of the loss at 0, far
    below the statistical error.
    """

    name: ClassVar[str] = "trace regression"

    link: Literal["gaussian", "one_bit"] = "gaussian"
    sample_size: int = 400
    response_scale: float = 1.0
    debias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.link not in ("gaussian", "one_bit"):
            raise ValueError(f"link: {self.link!r}; use 'gaussian' or 'one_bit'")
        if self.sample_size < 4:
            raise ValueError(f"sample_size: {self.sample_size} must be at least 4, two folds of two")
        if not (math.isfinite(self.response_scale) and self.response_scale > 0.0):
            raise ValueError(f"response_scale: {self.response_scale} must be positive and finite")

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), measurements ("data"), errors or bits ("noise"); then the fits."""
        truth = self.draw_truth(streams)
        data, noise = streams.generator("data"), streams.generator("noise")
        fits = []
        for k in range(self.n_clients):
            measurements = data.standard_normal((self.sample_size, self.n_rows, self.n_columns))
            scores = np.einsum("nij,ij->n", measurements, truth.targets[k], optimize=True)
            if self.link == "gaussian":
                responses = scores + self.response_scale * noise.standard_normal(self.sample_size)
            else:
                responses = (noise.random(self.sample_size) < scipy.special.expit(scores)).astype(np.float64)
            fits.append(
                fit_trace_regression(
                    measurements, responses, link=self.link, debias=self.debias, tol=1e-5, client=f"client {k}"
                )
            )
        return fitted_instance(truth, fits)
