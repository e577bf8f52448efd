"""Local estimators X_k from a client's data, each with the law of its error (theory.md section 7)."""

from clair_stats.local_fits.debiasing import fit_trace_regression
from clair_stats.local_fits.fit import LocalFit
from clair_stats.local_fits.glm import SeparationError, fit_glm
from clair_stats.local_fits.huber import fit_huber
from clair_stats.local_fits.least_squares import fit_least_squares, select_ridge
from clair_stats.local_fits.mnlogit import fit_mnlogit
from clair_stats.local_fits.multinomial import class_contrasts, fit_multinomial, multinomial_coefficients
from clair_stats.local_fits.neural import Training, fit_hidden_layers
from clair_stats.local_fits.trace_regression import minimise_nuclear_norm, trace_penalty
from clair_stats.local_fits.whitening import Whitening, pooled_whitening

__all__ = [
    "LocalFit",
    "SeparationError",
    "Training",
    "Whitening",
    "class_contrasts",
    "fit_glm",
    "fit_hidden_layers",
    "fit_huber",
    "fit_least_squares",
    "fit_mnlogit",
    "fit_multinomial",
    "fit_trace_regression",
    "minimise_nuclear_norm",
    "multinomial_coefficients",
    "pooled_whitening",
    "select_ridge",
    "trace_penalty",
]
