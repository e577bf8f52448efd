"""The result of a local fit: the estimate and the covariance of its error.

How noise scales and covariances are used: docs/studies.md and docs/derivations/detection.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import FloatArray

__all__ = ["LocalFit", "checked_data"]


@dataclass(frozen=True, eq=False)
class LocalFit:
    """One client's local estimator X_k with the covariance of its error E_k (theory.md section 1).

    The covariance of vec(E_k) is approximated by a Kronecker product, Cov(E_ij, E_kl) ≈ R_ik S_jl with tr(S) = q.  For
    least squares with errors of constant variance it is exactly of this form.
    """

    estimate: FloatArray  # (p, q)
    row_covariance: FloatArray  # (p, p), R, carries the scale
    column_covariance: FloatArray  # (q, q), S, trace q
    effective_sample_size: float  # n, observations behind the fit
    residual_degrees_of_freedom: float  # per response, after the parameters spent
    converged: bool
    message: str  # how the fit ended, in prose
    entry_variances: FloatArray | None = None  # (p, q), where they are known better than through R and S

    @property
    def standard_errors(self) -> FloatArray:
        """Standard error of every entry, (p, q): from ``entry_variances``, else √(R_ii S_jj)."""
        if self.entry_variances is not None:
            return np.sqrt(self.entry_variances)
        variances = np.outer(np.diag(self.row_covariance), np.diag(self.column_covariance))
        return np.asarray(np.sqrt(np.maximum(variances, 0.0)), dtype=np.float64)

    @property
    def noise_scale(self) -> float:
        """σ_k, root of the average variance of one entry of E_k.

        The i.i.d. model of section 5 needs all entries to share this value; off that model it is an average only, and
        the level of a χ² test built on it is not guaranteed.
        """
        p, q = self.estimate.shape
        return math.sqrt(float(np.trace(self.row_covariance) * np.trace(self.column_covariance)) / (p * q))

    @classmethod
    def from_full_covariance(
        cls, estimate: FloatArray, covariance: FloatArray, **fields: float | bool | str
    ) -> LocalFit:
        """Build a fit from Cov(vec E), shape (p, q, p, q): both marginals and every entry's own variance are kept.

        Parameters
        ----------
        estimate : ndarray, shape (p, q)
        covariance : ndarray, shape (p, q, p, q)
            Cov(E_ij, E_kl), squared scale of the estimate.
        **fields : float, bool or str
            The remaining fields of the record.

        Returns
        -------
        LocalFit
        """
        p, q = estimate.shape
        row = np.einsum("ijkj->ik", covariance) / q
        column = np.einsum("ijil->jl", covariance)
        average = float(np.trace(column)) / q
        return cls.from_covariances(
            estimate,
            row,
            column / average if average > 0.0 else column,
            entry_variances=np.einsum("ijij->ij", covariance).reshape(p, q).copy(),
            **fields,
        )

    @classmethod
    def from_covariances(
        cls, estimate: FloatArray, row: FloatArray, column: FloatArray, **fields: float | bool | str | FloatArray
    ) -> LocalFit:
        """Build a fit, moving the scale of ``column`` into ``row`` so that tr(S) = q.

        Parameters
        ----------
        estimate : ndarray, shape (p, q)
        row, column : ndarray, shapes (p, p) and (q, q)
            R and S up to a common factor that may stand in either; their product has the squared scale of the estimate.
        **fields : float, bool, str or ndarray
            The remaining fields of the record.

        Returns
        -------
        LocalFit
        """
        average = float(np.trace(column)) / column.shape[0]
        if average > 0.0:
            row, column = row * average, column / average
        return cls(estimate=estimate, row_covariance=row, column_covariance=column, **fields)  # type: ignore[arg-type]


def checked_data(design: ArrayLike, responses: ArrayLike, client: str) -> tuple[FloatArray, FloatArray]:
    """Design (n, p) and responses (n, q) as finite float64, or an error that names client, field and remedy.

    Parameters
    ----------
    design : array_like, shape (n, p)
    responses : array_like, shape (n, q)
    client : str
        Name used in messages.

    Returns
    -------
    tuple of ndarray, shapes (n, p) and (n, q)
        float64.

    Raises
    ------
    TypeError, ValueError
        Naming client, field and remedy.
    """
    checked: list[FloatArray] = []
    for field, raw in (("design", np.asarray(design)), ("responses", np.asarray(responses))):
        if raw.dtype.kind not in "fiub":
            raise TypeError(f"{client}: {field} has dtype {raw.dtype}; give real numbers")
        if raw.ndim != 2 or 0 in raw.shape:
            raise ValueError(f"{client}: {field} has shape {raw.shape}; give a non-empty two-dimensional array")
        values = np.asarray(raw, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{client}: {field} has NaN or infinite entries; clean or leave out this client's data")
        checked.append(values)
    if checked[0].shape[0] != checked[1].shape[0]:
        raise ValueError(
            f"{client}: design has {checked[0].shape[0]} rows, responses {checked[1].shape[0]}; "
            "give one row of each per observation"
        )
    return checked[0], checked[1]
