"""How much error a client's block holds along given directions: what Stein's weight needs to know of its law.

For vec E_k ~ (0, Σ) the weight min(1, c/‖Z‖²) with 0 ≤ c ≤ 2(tr Σ − 2 λ_max(Σ)) never raises the risk
(docs/derivations/shrinkage.md), so trace and largest eigenvalue of the error's covariance are all that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray
from clair_stats.refinement.pooled import inverse_root, pooled_covariance, pooled_share

__all__ = [
    "ErrorEnergy",
    "HalvesEnergy",
    "KroneckerEnergy",
    "WhiteEnergy",
    "error_energy",
]

Clients: TypeAlias = NDArray[np.int64]
# Var((X¹ + X²)/2 − Θ) = Var(X¹ − X²)/4 for two independent fits of one law.
_HALVES = 4.0


class ErrorEnergy(Protocol):
    """Trace and largest eigenvalue of the covariance of E_k, whole and along orthonormal directions."""

    def whole(self, clients: Clients) -> tuple[FloatArray, FloatArray]:
        """Trace and largest eigenvalue of Cov(vec E_k), squared scale of the estimates.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.

        Returns
        -------
        tuple of ndarray, shape (n,)
            Squared scale of the estimates.
        """
        ...

    def along(self, clients: Clients, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same of u_iᵀE_k for every column u_i of the client's own frame.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.
        frames : ndarray, shape (n, p, m)
            Orthonormal columns.

        Returns
        -------
        tuple of ndarray, shape (n, m)
            Squared scale of the estimates.
        """
        ...

    def whitening(self) -> tuple[FloatArray, FloatArray] | None:
        """Symmetric W_R (p, p), W_S (q, q) under which W_R E_k W_S is about white in most clients; None: it is.

        Returns
        -------
        tuple of ndarray, shapes (p, p) and (q, q), or None
        """
        ...

    def covariances(self) -> tuple[FloatArray | None, FloatArray]:
        """G_k (K, p, p), None for I, and Σ_k (K, q, q): Cov(vec E_k) = G_k ⊗ Σ_k, as far as it is known.

        Returns
        -------
        tuple of ndarray or None, ndarray
            Their product on the squared scale of the estimates.
        """
        ...

    def turned(self, left: FloatArray, right: FloatArray) -> ErrorEnergy:
        """The law of left E_k right.

        Parameters
        ----------
        left : ndarray, shape (p', p)
        right : ndarray, shape (q, q')

        Returns
        -------
        ErrorEnergy
        """
        ...


@dataclass(frozen=True, eq=False)
class WhiteEnergy:
    """Independent entries of variance σ_k²; ``share``, where given, is λ_max over the trace of one client's errors.

    ``size_only``: the scales were given from outside and say how large errors are, not that they are white; shrinkage
    then asks the members whether they are (clair_stats/refinement/total_only.py).
    """

    scales: FloatArray  # (K,), σ_k
    shape: tuple[int, int]  # (p, q)
    share: float | None = None
    size_only: bool = False

    def whole(self, clients: Clients) -> tuple[FloatArray, FloatArray]:
        """σ²pq and σ², or the given share of the trace.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.

        Returns
        -------
        tuple of ndarray, shape (n,)
            Squared scale of the estimates.
        """
        variances, (p, q) = self.scales[clients] ** 2, self.shape
        traces = variances * p * q
        return traces, variances if self.share is None else np.maximum(variances, self.share * traces)

    def along(self, clients: Clients, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        """σ²q and σ² in every direction.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.
        frames : ndarray, shape (n, p, m)
            Orthonormal columns.

        Returns
        -------
        tuple of ndarray, shape (n, m)
            Squared scale of the estimates.
        """
        traces = self.scales[clients] ** 2 * self.shape[1]
        largest = np.minimum(self.whole(clients)[1], traces)
        traces, largest = (np.repeat(each[:, None], frames.shape[2], axis=1) for each in (traces, largest))
        return traces, largest

    def whitening(self) -> None:
        """White as it is, or not known to be otherwise."""
        return

    def covariances(self) -> tuple[None, FloatArray]:
        """I and σ_k²I.

        Returns
        -------
        tuple of None, ndarray
        """
        return None, self.scales[:, None, None] ** 2 * np.eye(self.shape[1])

    def turned(self, left: FloatArray, right: FloatArray) -> ErrorEnergy:
        """White errors in other coordinates.

        Parameters
        ----------
        left : ndarray, shape (p', p)
        right : ndarray, shape (q, q')

        Returns
        -------
        WhiteEnergy
        """
        n_clients = self.scales.size
        rows = self.scales[:, None, None] ** 2 * np.broadcast_to(left @ left.T, (n_clients, *left.shape))
        return KroneckerEnergy(rows, np.broadcast_to(right.T @ right, (n_clients, *right.shape)))


@dataclass(frozen=True, eq=False)
class KroneckerEnergy:
    """Cov(vec E_k) = G_k ⊗ Σ_k, known or estimated apart from X_k, as for least squares."""

    rows: FloatArray  # (K, p, p), G_k
    columns: FloatArray  # (K, q, q), Σ_k

    def whole(self, clients: Clients) -> tuple[FloatArray, FloatArray]:
        """tr G tr Σ and λ_max(G) λ_max(Σ).

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.

        Returns
        -------
        tuple of ndarray, shape (n,)
            Squared scale of the estimates.
        """
        rows, columns = self.rows[clients], self.columns[clients]
        largest = np.linalg.eigvalsh(rows)[:, -1] * np.linalg.eigvalsh(columns)[:, -1]
        return np.trace(rows, axis1=1, axis2=2) * np.trace(columns, axis1=1, axis2=2), largest

    def along(self, clients: Clients, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        """uᵀGu times trace and largest eigenvalue of Σ.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.
        frames : ndarray, shape (n, p, m)
            Orthonormal columns.

        Returns
        -------
        tuple of ndarray, shape (n, m)
            Squared scale of the estimates.
        """
        columns = self.columns[clients]
        within = np.einsum("kpi,kpi->ki", frames, self.rows[clients] @ frames)
        traces = within * np.trace(columns, axis1=1, axis2=2)[:, None]
        return traces, within * np.linalg.eigvalsh(columns)[:, -1:]

    def whitening(self) -> tuple[FloatArray, FloatArray]:
        """Of the mean covariances, each client with the same weight.

        Returns
        -------
        tuple of ndarray, shapes (p, p) and (q, q), or None
        """
        rows, columns = (
            np.mean(side / np.trace(side, axis1=1, axis2=2)[:, None, None], axis=0)
            for side in (self.rows, self.columns)
        )
        return inverse_root(rows), inverse_root(columns)

    def covariances(self) -> tuple[FloatArray, FloatArray]:
        """As they are.

        Returns
        -------
        tuple of ndarray
        """
        return self.rows, self.columns

    def turned(self, left: FloatArray, right: FloatArray) -> KroneckerEnergy:
        """Both sides turned.

        Parameters
        ----------
        left : ndarray, shape (p', p)
        right : ndarray, shape (q, q')

        Returns
        -------
        KroneckerEnergy
        """
        return KroneckerEnergy(left @ self.rows @ left.T, right.T @ self.columns @ right)


@dataclass(frozen=True, eq=False)
class HalvesEnergy:
    """Two fits on half the data each: their difference is independent of their mean and has four times its covariance.

    One difference gives a client's trace.  The largest eigenvalue is taken from the clients' pooled differences, as the
    product of the shares of their row and column covariances (errors of Kronecker form, up to a scale of the client).
    """

    differences: FloatArray  # (K, p, q), X¹_k − X²_k

    @cached_property
    def share(self) -> float:
        """λ_max over the trace, pooled over clients."""
        return pooled_share(self.differences)

    def whole(self, clients: Clients) -> tuple[FloatArray, FloatArray]:
        """‖X¹ − X²‖²/4 and its pooled share.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.

        Returns
        -------
        tuple of ndarray, shape (n,)
            Squared scale of the estimates.
        """
        traces = np.sum(self.differences[clients] ** 2, axis=(1, 2)) / _HALVES
        return traces, traces * self.share

    def along(self, clients: Clients, frames: FloatArray) -> tuple[FloatArray, FloatArray]:
        """‖uᵀ(X¹ − X²)‖²/4; within a direction the largest share of a column covariance.

        Parameters
        ----------
        clients : ndarray of int, shape (n,)
            From 0.
        frames : ndarray, shape (n, p, m)
            Orthonormal columns.

        Returns
        -------
        tuple of ndarray, shape (n, m)
            Squared scale of the estimates.
        """
        along = frames.transpose(0, 2, 1) @ self.differences[clients]
        traces = np.sum(along**2, axis=2) / _HALVES
        return traces, np.minimum(traces, self.whole(clients)[1][:, None])

    def whitening(self) -> tuple[FloatArray, FloatArray] | None:
        """Of the differences' pooled covariances, drawn towards multiples of the identity.

        Returns
        -------
        tuple of ndarray, shapes (p, p) and (q, q), or None
        """
        if not self.differences.any():
            return None
        flipped = np.swapaxes(self.differences, 1, 2)
        return inverse_root(pooled_covariance(self.differences)), inverse_root(pooled_covariance(flipped))

    def covariances(self) -> tuple[FloatArray, FloatArray]:
        """Those pooled over clients, times the size of each client's own difference in the coordinates they whiten.

        Returns
        -------
        tuple of ndarray
        """
        n_clients, p, q = self.differences.shape
        maps = self.whitening()
        if maps is None:
            return np.zeros((n_clients, p, p)), np.broadcast_to(np.eye(q), (n_clients, q, q))
        white = self.turned(*maps)
        variances = white.whole(np.arange(n_clients))[0] / (p * q)
        left, right = (np.linalg.inv(side) for side in maps)
        columns = np.broadcast_to(right @ right, (n_clients, q, q))
        return variances[:, None, None] * (left @ left), columns

    def turned(self, left: FloatArray, right: FloatArray) -> HalvesEnergy:
        """The differences turned.

        Parameters
        ----------
        left : ndarray, shape (p', p)
        right : ndarray, shape (q, q')

        Returns
        -------
        HalvesEnergy
        """
        return HalvesEnergy(left @ self.differences @ right)


def error_energy(record: ClientEstimates) -> ErrorEnergy:
    """What the record knows of the errors: halves before covariances before noise scales.

    Parameters
    ----------
    record : ClientEstimates

    Returns
    -------
    ErrorEnergy

    Raises
    ------
    ValueError
        None of them is there.
    """
    if record.halves is not None:
        return HalvesEnergy(record.halves[:, 0] - record.halves[:, 1])
    if record.row_covariances is not None:
        columns = record.column_covariances
        if columns is None:
            columns = np.broadcast_to(np.eye(record.block_shape[1]), (record.n_clients, *2 * record.block_shape[1:]))
        return KroneckerEnergy(record.row_covariances, columns)
    if record.noise_scales is None:
        raise ValueError(
            "noise_scales: missing; shrinkage rests on the size of the error, give noise_scales, covariances or halves "
            "(two fits of every client on half its data)"
        )
    return WhiteEnergy(record.noise_scales, record.block_shape, size_only=True)
