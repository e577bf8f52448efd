"""What the members' residuals hold of everybody's errors and true differences, to first order in the errors.

The fit is that of refinement: weighted mean and leading directions of the members (docs/derivations/intervals.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clair_stats.linalg import project_off
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.differences import DifferenceLaw

__all__ = ["Errors", "MembersFit", "ResidualLaw"]

_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Errors:
    """Cov(vec E_k) = G_k ⊗ Σ_k."""

    rows: FloatArray | None  # (K, p, p), G_k; None: I
    columns: FloatArray  # (K, q, q), Σ_k

    def turned(self, left: FloatArray, right: FloatArray) -> Errors:
        """The law of left E_k right.

        Parameters
        ----------
        left : ndarray, shape (p', p)
        right : ndarray, shape (q, q')

        Returns
        -------
        Errors
        """
        square = left @ left.T
        shape = (len(self.columns), *square.shape)
        rows = np.broadcast_to(square, shape) if self.rows is None else left @ self.rows @ left.T
        return Errors(rows, right.T @ self.columns @ right)

    def of_entries(self, clients: slice = slice(None)) -> FloatArray:
        """Variance of every entry, (K, p, q) or, where G_k = I, (K, 1, q).

        Parameters
        ----------
        clients : slice
            Of these clients only.

        Returns
        -------
        ndarray
        """
        right = np.diagonal(self.columns[clients], axis1=1, axis2=2)
        if self.rows is None:
            return np.asarray(right[:, None, :])
        left = np.diagonal(self.rows[clients], axis1=1, axis2=2)
        return np.asarray(left[:, :, None] * right[:, None, :])

    def of_functionals(self, functionals: FloatArray, client: int) -> FloatArray:
        """Variance of ⟨L_i, E_k⟩, (m,), for functionals (m, p, q).

        Parameters
        ----------
        functionals : ndarray, shape (m, p, q)
        client : int
            k, from 0.

        Returns
        -------
        ndarray, shape (m,)
        """
        turned = functionals @ self.columns[client]
        beside = functionals if self.rows is None else self.rows[client] @ functionals
        return np.asarray(np.sum(turned * beside, axis=(1, 2)))


class _Sums(NamedTuple):
    """Σ_j of π_j²S_j (q, q), π_jw_jB_jS_j (r, q) and w_j²B_jS_jB_jᵀ (r, r), or its summands along a first axis."""

    plain: FloatArray
    mixed: FloatArray
    square: FloatArray

    def of(self, loads: FloatArray) -> FloatArray:
        """Σ_jC_jᵀS_jC_j for C_j = π_jI + w_jB_jᵀ·loads, (q, q)."""
        cross = self.mixed.T @ loads
        return np.asarray(self.plain + cross + cross.T + loads.T @ self.square @ loads)

    def at(self, place: int) -> _Sums:
        return _Sums(*(part[place] for part in self))

    def total(self) -> _Sums:
        return _Sums(*(part.sum(axis=0) for part in self))


class ResidualLaw(NamedTuple):
    """Law of one member's residual row along a row direction of error variance g: gA + N + τ²S, all (q, q)."""

    own: FloatArray  # A = A_kkᵀΣ_kA_kk
    others: FloatArray  # N = Σ_{j≠k} g_jA_jkᵀΣ_jA_jk
    differences: FloatArray  # S = Σ_jA_jkᵀA_jk
    passed: FloatArray  # Σ_kA_kk, covariance with the client's own error


@dataclass(frozen=True, eq=False)
class MembersFit:
    """Mean and subspace of the members in coordinates in which errors are about white, to first order in the errors.

    P_{U⊥}R_k = P_{U⊥}Σ_j(E_j + H_j)A_jk, A_jk = δ_jkI − π_jI − w_jB_jᵀG⁻¹B_k, B_j = Uᵀ(X_j − X̄), G = Σw_jB_jB_jᵀ.
    """

    members: NDArray[np.int64]  # (n,), their places among the clients
    weights: FloatArray  # (n,), w_j
    basis: FloatArray  # (p, r), orthonormal
    coefficients: FloatArray  # (n, r, q), B_j
    loads: FloatArray  # (n, r, q), G⁻¹B_j
    residuals: FloatArray  # (n, p, q), P_{U⊥}R_j
    errors: Errors  # of all clients

    @classmethod
    def of(
        cls, blocks: FloatArray, members: BoolArray, weights: FloatArray, basis: FloatArray, errors: Errors
    ) -> MembersFit:
        """The fit of the members among all clients.

        Parameters
        ----------
        blocks : ndarray, shape (K, p, q)
        members : bool ndarray, shape (K,)
            At least one client.
        weights : ndarray, shape (K,)
            w_k, positive on the members.
        basis : ndarray, shape (p, r)
            Orthonormal.
        errors : Errors

        Returns
        -------
        MembersFit
        """
        chosen = np.flatnonzero(members)
        own = weights[chosen]
        deviations = blocks[chosen] - np.tensordot(own / own.sum(), blocks[chosen], axes=1)
        inside = basis.T @ deviations
        gram = np.einsum("j,jrc,jsc->rs", own, inside, inside, optimize=True)
        loads = np.linalg.pinv(gram, hermitian=True) @ inside
        return cls(chosen, own, basis, inside, loads, project_off(basis, deviations), errors)

    @property
    def shares(self) -> FloatArray:
        """π_j, (n,)."""
        return np.asarray(self.weights / self.weights.sum())

    @cached_property
    def axes(self) -> tuple[FloatArray, FloatArray] | None:
        """Of every member the row directions off U in which its errors are uncorrelated, a_i, (n, p, p − r).

        Their variances g_i (n, p − r) beside them; None where G_k = I and every direction off U serves.
        """
        if self.errors.rows is None:
            return None
        r = self.basis.shape[1]
        complement = np.linalg.qr(self.basis, mode="complete")[0][:, r:]
        rows = self.errors.rows[self.members]
        values, vectors = np.linalg.eigh(complement.T @ rows @ complement)
        return complement @ vectors, np.maximum(values, 0.0)

    def row_covariance(self, place: int) -> FloatArray:
        """G_k of a member, (p, p).

        Parameters
        ----------
        place : int
            Of the member in the fit.

        Returns
        -------
        ndarray, shape (p, p)
        """
        rows = self.errors.rows
        return np.eye(self.basis.shape[0]) if rows is None else np.asarray(rows[self.members[place]])

    @cached_property
    def row_sizes(self) -> FloatArray:
        """g_j, mean error variance of a row direction off U, (n,)."""
        if self.axes is None:
            return np.ones(self.members.size)
        return np.asarray(self.axes[1].mean(axis=1)) if self.axes[1].shape[1] else np.zeros(self.members.size)

    @cached_property
    def _sums(self) -> tuple[_Sums, _Sums]:
        """The summands of errors (with g_j) and of differences."""
        columns = self.row_sizes[:, None, None] * self.errors.columns[self.members]
        q = columns.shape[1]
        found = []
        for matrices in (columns, np.broadcast_to(np.eye(q), columns.shape)):
            weighted = self.weights[:, None, None] * self.coefficients
            shares = self.shares[:, None, None]
            turned = weighted @ matrices
            found.append(_Sums(shares**2 * matrices, shares * turned, turned @ weighted.transpose(0, 2, 1)))
        return found[0], found[1]

    @cached_property
    def residual_laws(self) -> list[ResidualLaw]:
        """One law for every member."""
        errors, differences = self._sums
        totals = errors.total(), differences.total()
        q, found = self.coefficients.shape[2], []
        for place, client in enumerate(self.members):
            loads, columns = self.loads[place], self.errors.columns[client]
            leverage = self.weights[place] * self.coefficients[place].T @ loads
            stays = (1.0 - self.shares[place]) * np.eye(q) - leverage  # A_kk
            beside = [
                total.of(loads) - part.at(place).of(loads) for total, part in zip(totals, self._sums, strict=True)
            ]
            own, passed = stays.T @ columns @ stays, columns @ stays
            found.append(ResidualLaw(own, beside[0], beside[1] + stays.T @ stays, passed))
        return found

    def differences(self) -> DifferenceLaw:
        """What the residuals tell of the variance of true differences off the subspace.

        Returns
        -------
        DifferenceLaw
        """
        n, p, q = self.residuals.shape
        off = p - self.basis.shape[1]
        columns = self.errors.columns[self.members]
        sizes = np.trace(columns, axis1=1, axis2=2) / q  # mean error variance, with g_j
        mean = sizes * self.row_sizes
        with np.errstate(divide="ignore"):
            precisions = 1.0 / mean
        known = bool(np.isfinite(precisions).all())
        without = slope = 0.0
        for place, law in enumerate(self.residual_laws if known else []):
            own = self.row_sizes[place] * np.trace(law.own) + np.trace(law.others)
            without += off * precisions[place] * own
            slope += off * precisions[place] * np.trace(law.differences)
        energy = float(precisions @ np.sum(self.residuals**2, axis=(1, 2))) if known else 0.0
        row_square = np.ones(n) if self.axes is None else np.mean(self.axes[1] ** 2, axis=1)
        evenness = mean**2 / np.maximum(row_square * np.sum(columns**2, axis=(1, 2)) / q, _TINY)
        freedom = float(off * ((n - 1) * q - self.basis.shape[1]))
        return DifferenceLaw(energy, float(without), float(slope), freedom, precisions, evenness)
