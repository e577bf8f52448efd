"""Errors whose covariance is known client by client: the scale on which they look alike, and the law of a residual.

Client k's error has Cov(E_ij, E_lm) = (G_k)_il (Σ_k)_jm; least squares has exactly this form, with G_k = (ZᵀZ)⁻¹ known
and Σ_k estimated.  One pair of maps X → W_R X W_S, common to all clients, carries the model onto itself and makes the
average covariance the identity; what is left of each client's own shape enters its test
(docs/derivations/detection.md, section 7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clair_stats.laws import TRACY_WIDOM, chi_square, fisher, hotelling_lawley, noise_edge
from clair_stats.records import BoolArray, FloatArray

__all__ = ["FULL_LEVERAGE", "ErrorCovariances", "covariance_edge", "pool_covariances"]

Side = Literal["rows", "columns"]

# The pooled covariance is a fixed point, reached at a linear rate in about ten steps.
_POOLING_STEPS = 200
_POOLING_TOLERANCE = 1e-13
# A column direction with more leverage than this is fitted by the client alone: what is left of it is rounding.
FULL_LEVERAGE = 1.0 - 1e-6


@dataclass(frozen=True, eq=False)
class ErrorCovariances:
    """Covariances G_k ⊗ Σ_k of the errors of the blocks Y_k = W_R X_k W_S/s_k; their averages over clients are I."""

    rows: FloatArray  # (K, p, p), G_k, trace p
    row_precisions: FloatArray  # (K, p, p), G_k⁻¹
    columns: FloatArray  # (K, q, q), Σ_k, trace q
    degrees: FloatArray | None  # (K,), ν_k on which the estimated side was estimated; None: both sides are known
    estimated: Side
    left: FloatArray  # (p, p), W_R, symmetric
    left_inverse: FloatArray  # (p, p)
    right: FloatArray  # (q, q), W_S, symmetric
    right_inverse: FloatArray  # (q, q)
    row_squares: FloatArray  # (K, p, p), G_k², without bias where G_k is estimated
    column_squares: FloatArray  # (K,), tr(Σ_k²)/q ≥ 1, likewise
    stiffness: FloatArray  # (K,), largest eigenvalue of (G_k ⊗ Σ_k)⁻¹

    @cached_property
    def precision_traces(self) -> FloatArray:
        """tr G_k⁻¹, shape (K,)."""
        return np.asarray(np.trace(self.row_precisions, axis1=1, axis2=2))

    def of(self, clients: slice | NDArray[np.int64]) -> ErrorCovariances:
        """The law of these clients alone.

        Parameters
        ----------
        clients : slice or ndarray of int, shape (n,)

        Returns
        -------
        ErrorCovariances
        """
        names = ("rows", "row_precisions", "columns", "row_squares", "column_squares", "stiffness")
        own = {name: getattr(self, name)[clients] for name in names}
        return replace(self, degrees=None if self.degrees is None else self.degrees[clients], **own)

    def off_subspace(self, residual: FloatArray, basis: FloatArray) -> tuple[FloatArray, FloatArray]:
        """RᵀV(VᵀG_kV)⁻¹VᵀR (K, q, q) with V spanning the complement of ``basis``, and tr((VᵀG_kV)⁻¹)/(p − r) (K,).

        V(VᵀGV)⁻¹Vᵀ = G⁻¹ − G⁻¹U(UᵀG⁻¹U)⁻¹UᵀG⁻¹ needs r × r systems only.

        Parameters
        ----------
        residual : ndarray, shape (K, p, q)
            R_k on the scale of the Y_k.
        basis : ndarray, shape (p, r)
            Orthonormal columns.

        Returns
        -------
        tuple of ndarray, shapes (K, q, q) and (K,)
        """
        p, rank = basis.shape
        precise = self.row_precisions @ residual
        between = residual.transpose(0, 2, 1) @ precise
        total = self.precision_traces
        if rank:
            half = self.row_precisions @ basis  # G⁻¹U, (K, p, r)
            inner = np.linalg.inv(basis.T @ half)
            inside = basis.T @ precise
            between = between - inside.transpose(0, 2, 1) @ inner @ inside
            total = total - np.einsum("kij,kij->k", inner, half.transpose(0, 2, 1) @ half)
        return between, self._unbiased(np.maximum(total, 0.0) / max(p - rank, 1), p - rank)

    def along(self, inside: FloatArray, directions: FloatArray) -> tuple[FloatArray, FloatArray]:
        """RᵀD(DᵀG_kD)⁻¹DᵀR (K, q, q) for orthonormal directions D (p, s), and tr((DᵀG_kD)⁻¹)/s (K,).

        Parameters
        ----------
        inside : ndarray, shape (K, s, q)
            DᵀR_k on the scale of the Y_k.
        directions : ndarray, shape (p, s)
            Orthonormal columns.

        Returns
        -------
        tuple of ndarray, shapes (K, q, q) and (K,)
        """
        inner = np.linalg.inv(directions.T @ self.rows @ directions)
        size = directions.shape[1]
        precision = np.trace(inner, axis1=1, axis2=2) / size
        return np.asarray(inside.transpose(0, 2, 1) @ inner @ inside), self._unbiased(precision, size)

    def _unbiased(self, precision: FloatArray, size: int) -> FloatArray:
        """Mean precision of an estimated side: the inverse of a Wishart mean is too large by ν/(ν − size − 1)."""
        if self.degrees is None or self.estimated == "columns":
            return precision
        return precision * (self.degrees - size - 1.0) / self.degrees

    def standardised(
        self, between: FloatArray, precision: FloatArray, hat: FloatArray, members: BoolArray, shares: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """T_k corrected for leverage, the number of column directions that client k does not fit alone, its leverage.

        ``hat`` (K, q, q) is H_kk, ``shares`` (K,) the part of it that the common component has.  A member keeps the
        share I − H_kk of its own error and takes over that of others with covariance H_kk(I − H_kk); a client outside
        keeps all of its own and takes over H_kk.  Where Σ_k is estimated the part of others is taken in proportion to
        it: its inverse then has the law that the F needs.

        Parameters
        ----------
        between : ndarray, shape (K, q, q)
        precision : ndarray, shape (K,)
        hat : ndarray, shape (K, q, q)
        members : bool ndarray, shape (K,)
            True = in the set.
        shares : ndarray, shape (K,)

        Returns
        -------
        tuple of ndarray, shape (K,)
            The leverage is the largest eigenvalue of H_kk.
        """
        leverages, axes = np.linalg.eigh(hat)
        kept = np.where(members[:, None], 1.0 - leverages, 1.0)
        foreign = precision[:, None] * leverages
        columns = axes.transpose(0, 2, 1) @ self.columns @ axes
        identity = np.eye(columns.shape[1])
        if self.degrees is not None and self.estimated == "columns":
            roots = np.sqrt(np.maximum(kept * (kept + foreign), 0.0))
            noise = roots[:, :, None] * columns * roots[:, None, :]
        else:
            noise = kept[:, :, None] * columns * kept[:, None, :] + (foreign * kept)[:, :, None] * identity
        # Of what the common component leaves: the estimate of a very precise client is nearly the common component.
        full = members[:, None] & (kept <= (1.0 - shares[:, None]) * (1.0 - FULL_LEVERAGE))
        spent = full[:, :, None] | full[:, None, :]
        noise = np.where(spent, identity, noise)
        between = np.where(spent, 0.0, axes.transpose(0, 2, 1) @ between @ axes)
        statistics = np.trace(np.linalg.solve(noise, between), axis1=1, axis2=2)
        return np.maximum(statistics, 0.0), np.asarray((~full).sum(axis=1), dtype=np.float64), leverages[:, -1]

    def test(
        self, statistics: FloatArray, n_rows: int, n_columns: FloatArray, shift: FloatArray, alpha: float
    ) -> tuple[FloatArray, FloatArray]:
        """p-values (K,) and critical values (K,) of T_k over ``n_rows`` × ``n_columns`` directions.

        ``shift`` is a tolerated ‖H_k‖_F² on the scale of the Y_k: non-centrality is at most that times the stiffness.

        Parameters
        ----------
        statistics : ndarray, shape (K,)
            T_k.
        n_rows : int
        n_columns : ndarray, shape (K,)
        shift : ndarray, shape (K,) or (1,)
        alpha : float
            Level of one test.

        Returns
        -------
        tuple of ndarray, shape (K,)
            P-values, critical values.
        """
        if n_rows == 0:  # the whole space is shared: nothing to test
            return np.ones(statistics.shape), np.ones(statistics.shape)
        shift = shift * self.stiffness
        rows = np.full(n_columns.shape, float(n_rows))
        if self.degrees is None:
            return chi_square(statistics, rows * n_columns, shift, alpha)
        fitted, other = (n_columns, rows) if self.estimated == "columns" else (rows, n_columns)
        first, second, factor = hotelling_lawley(fitted, other, self.degrees)
        p_values, critical = fisher(statistics * factor, first, second, shift, alpha)
        return p_values, critical / factor

    def spread(self, basis: FloatArray, members: BoolArray) -> tuple[FloatArray, float]:
        """Eigenvalues (p − r,) of the members' mean row covariance off ``basis``, and the share of columns that count.

        The scatter of N columns with covariances Λ_c has the mean ΣΛ_c and the variance Σ(Λ_c² + Λ_c tr Λ_c), which is
        N(p + 1)I for i.i.d. entries; share × N columns of one covariance have the same variance, on average over rows.

        Parameters
        ----------
        basis : ndarray, shape (p, r)
            Orthonormal columns.
        members : bool ndarray, shape (K,)
            True = in the set.

        Returns
        -------
        tuple of ndarray, shape (p − r,), and float
        """
        p, rank = basis.shape
        counted = members.astype(np.float64) / members.sum()  # zeros, not a copy of the members' matrices
        weights = self.column_squares * counted
        squares, rows = (m.reshape(len(members), -1) for m in (self.row_squares, self.rows))
        variance = (weights @ squares + (p - rank) * (weights @ rows)).reshape(p, p)
        excess = float(np.trace(variance) - np.sum(basis * (variance @ basis))) / (p - rank)
        mean = (counted @ rows).reshape(p, p)
        mean = mean - basis @ (basis.T @ mean)
        mean = mean - (mean @ basis) @ basis.T
        return np.linalg.eigvalsh(mean)[rank:], (p - rank + 1.0) / excess


def covariance_edge(
    law: ErrorCovariances,
    basis: FloatArray,
    members: BoolArray,
    columns: float,
    *,
    tracy_widom: float = TRACY_WIDOM,
) -> float:
    """The edge off ``basis`` (p, r), r < p, when every member's errors have their own covariance.

    As many columns count as i.i.d. ones with the same variance; the members' mean covariance, which is I only on
    average over all clients, lifts the edge (El Karoui, Ann. Probab. 35(2), 2007; docs/derivations/detection.md).

    Parameters
    ----------
    law : ErrorCovariances
    basis : ndarray, shape (p, r)
        Orthonormal columns.
    members : bool ndarray, shape (K,)
        True = in the set.
    columns : float
        Columns of the residual that are free.
    tracy_widom : float
        Point of the Tracy–Widom law of order one.

    Returns
    -------
    float
    """
    # Imported here: optimisers take a third of a second, and only covariances need one.
    from scipy.optimize import minimize_scalar

    size = basis.shape[0] - basis.shape[1]
    spectrum, share = law.spread(basis, members)
    count, top = max(share * columns, 1.0), float(spectrum[-1])

    def boundary(x: float) -> float:
        return (count + float(np.sum(spectrum * x / (top - spectrum * x)))) * top / x

    found = minimize_scalar(boundary, bounds=(1e-9, 1.0 - 1e-9), method="bounded").fun
    lift = float(found) / (math.sqrt(count) + math.sqrt(size)) ** 2
    if law.degrees is not None and law.estimated == "rows":
        # The common scale itself is estimated: the edge of a Fisher matrix over that of a Wishart matrix.
        pooled = size * float(np.mean(1.0 / law.degrees)) / law.degrees.size
        aspect = size / count
        widened = math.sqrt(aspect + pooled - aspect * pooled)
        lift *= ((1.0 + widened) / ((1.0 - pooled) * (1.0 + math.sqrt(aspect)))) ** 2
    return lift / share * noise_edge(size, count, tracy_widom=tracy_widom)


def _roots(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Symmetric inverse square root and square root."""
    values, vectors = np.linalg.eigh(matrix)
    roots = np.sqrt(values)
    return (vectors / roots) @ vectors.T, (vectors * roots) @ vectors.T


def _unit_average(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Symmetric W with the average over clients of W A_k W/tr(W A_k W) a multiple of I, and its inverse.

    Each client counts once, whatever its scale (the fixed point is Tyler's, for matrices instead of points).
    """
    size = matrices.shape[1]
    pooled = np.eye(size)
    for _ in range(_POOLING_STEPS):
        traces = np.einsum("ij,kji->k", np.linalg.inv(pooled), matrices)
        following = np.mean(matrices / traces[:, None, None], axis=0)
        following *= size / np.trace(following)
        moved = float(np.abs(following - pooled).max())
        pooled = following
        if moved <= _POOLING_TOLERANCE * float(np.abs(pooled).max()):
            break
    return _roots(pooled)


def _unbiased_square(matrices: FloatArray, degrees: FloatArray | None) -> FloatArray:
    """A_k²; of the true matrices where A_k is a Wishart mean on ν_k degrees of freedom (moments of the Wishart law)."""
    squares = matrices @ matrices
    if degrees is None:
        return squares
    nu = degrees[:, None, None]
    own = matrices * np.trace(matrices, axis1=1, axis2=2)[:, None, None]
    return np.asarray(nu**2 / ((nu + 2.0) * (nu - 1.0)) * (squares - own / nu))


def pool_covariances(
    rows: FloatArray, columns: FloatArray, degrees: FloatArray | None, estimated: Side
) -> tuple[ErrorCovariances, FloatArray]:
    """Covariances (K, p, p) and (K, q, q) on the common scale, and s_k (K,), root mean variance of an entry there.

    Parameters
    ----------
    rows : ndarray, shape (K, p, p)
        G_k.
    columns : ndarray, shape (K, q, q)
        Σ_k.
    degrees : ndarray, shape (K,), or None
        ν_k.
    estimated : {"columns", "rows"}

    Returns
    -------
    tuple of ErrorCovariances and ndarray, shape (K,)
        s_k on the scale of the estimates.
    """
    left, left_inverse = _unit_average(rows)
    right, right_inverse = _unit_average(columns)
    rows, columns = left @ rows @ left, right @ columns @ right
    row_scales, column_scales = (np.trace(m, axis1=1, axis2=2) / m.shape[1] for m in (rows, columns))
    rows, columns = rows / row_scales[:, None, None], columns / column_scales[:, None, None]
    own: Sequence[FloatArray | None] = (degrees, None) if estimated == "rows" else (None, degrees)
    squares = np.trace(_unbiased_square(columns, own[1]), axis1=1, axis2=2) / columns.shape[1]
    law = ErrorCovariances(
        rows=rows,
        row_precisions=np.asarray(np.linalg.inv(rows)),
        columns=columns,
        degrees=degrees,
        estimated=estimated,
        left=left,
        left_inverse=left_inverse,
        right=right,
        right_inverse=right_inverse,
        row_squares=_unbiased_square(rows, own[0]),
        column_squares=np.maximum(squares, 1.0),  # Cauchy–Schwarz; the unbiased value may fall below
        stiffness=1.0 / (np.linalg.eigvalsh(rows)[:, 0] * np.linalg.eigvalsh(columns)[:, 0]),
    )
    return law, np.sqrt(row_scales * column_scales)
