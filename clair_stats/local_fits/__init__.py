"""Local estimators X_k from a client's data, each with the law of its error (theory.md section 7)."""

from clair_stats.local_fits.fit import LocalFit
from clair_stats.local_fits.least_squares import fit_least_squares, select_ridge
from clair_stats.local_fits.multinomial import class_contrasts, fit_multinomial, multinomial_coefficients
from clair_stats.local_fits.whitening import Whitening, pooled_whitening

__all__ = [
    "LocalFit",
    "Whitening",
    "class_contrasts",
    "fit_least_squares",
    "fit_multinomial",
    "multinomial_coefficients",
    "pooled_whitening",
    "select_ridge",
]
