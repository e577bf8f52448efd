"""One module in orthonormal coordinates of its joint column and row spaces: inner products, directions, coordinates.

A rotation shared by all clients changes no residual norm, so factors (B_k, A_k) are replaced by triangular factors of
all B_k side by side and of all A_k below each other; nothing of size p × q is formed for them.

See docs/derivations/joint_verdict.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["DenseModule", "FactoredModule", "Module", "module_of", "triangular"]


class Module(Protocol):
    """What the joint verdict asks of a module."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, p', q'), size of the coordinates."""
        ...

    @property
    def products(self) -> FloatArray:
        """⟨X_k, X_l⟩ of all clients, (K, K)."""
        ...

    def inner(self, vectors: FloatArray) -> FloatArray:
        """X_kᵀV of every client for ``vectors`` V (p', D), (K, q', D).

        Parameters
        ----------
        vectors : ndarray, shape (p', D)

        Returns
        -------
        ndarray, shape (K, q', D)
        """
        ...

    def outer(self, columns: FloatArray) -> FloatArray:
        """Σ_k X_kC_k for ``columns`` C (K, q', D), (p', D).

        Parameters
        ----------
        columns : ndarray, shape (K, q', D)

        Returns
        -------
        ndarray, shape (p', D)
        """
        ...


@dataclass(frozen=True, eq=False)
class DenseModule:
    """Blocks as they are."""

    blocks: FloatArray  # (K, p, q)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, p, q)."""
        n_clients, p, q = self.blocks.shape
        return n_clients, p, q

    @property
    def products(self) -> FloatArray:
        """⟨X_k, X_l⟩, (K, K)."""
        flat = self.blocks.reshape(len(self.blocks), -1)
        return np.asarray(flat @ flat.T)

    def inner(self, vectors: FloatArray) -> FloatArray:
        """X_kᵀV, (K, q, D).

        Parameters
        ----------
        vectors : ndarray, shape (p', D)

        Returns
        -------
        ndarray, shape (K, q, D)
        """
        return np.asarray(self.blocks.transpose(0, 2, 1) @ vectors)

    def outer(self, columns: FloatArray) -> FloatArray:
        """Σ_k X_kC_k, (p, D).

        Parameters
        ----------
        columns : ndarray, shape (K, q, D)

        Returns
        -------
        ndarray, shape (p, D)
        """
        return np.asarray((self.blocks @ columns).sum(axis=0))


@dataclass(frozen=True, eq=False)
class FactoredModule:
    """X_k = L_kR_k with all L_k side by side and all R_k below each other, after the two joint rotations."""

    left: FloatArray  # (p', N), N = Σ s_k
    right: FloatArray  # (N, q')
    ends: NDArray[np.int64]  # (K + 1,); the columns of client k are ends[k] … ends[k + 1] − 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, p', q')."""
        return self.ends.size - 1, self.left.shape[0], self.right.shape[1]

    @property
    def products(self) -> FloatArray:
        """⟨X_k, X_l⟩ = tr(L_kᵀL_l R_lR_kᵀ), (K, K)."""
        both, starts = (self.left.T @ self.left) * (self.right @ self.right.T), self.ends[:-1]
        return np.asarray(np.add.reduceat(np.add.reduceat(both, starts, axis=0), starts, axis=1))

    def inner(self, vectors: FloatArray) -> FloatArray:
        """R_kᵀL_kᵀV, (K, q', D).

        Parameters
        ----------
        vectors : ndarray, shape (p', D)

        Returns
        -------
        ndarray, shape (K, q', D)
        """
        mixed = self.left.T @ vectors  # (N, D)
        found = np.empty((self.shape[0], self.shape[2], vectors.shape[1]))
        for k, (start, end) in enumerate(pairwise(self.ends)):
            np.matmul(self.right[start:end].T, mixed[start:end], out=found[k])
        return found

    def outer(self, columns: FloatArray) -> FloatArray:
        """Σ_k L_kR_kC_k, (p', D).

        Parameters
        ----------
        columns : ndarray, shape (K, q', D)

        Returns
        -------
        ndarray, shape (p', D)
        """
        mixed = np.empty((self.left.shape[1], columns.shape[2]))
        for k, (start, end) in enumerate(pairwise(self.ends)):
            np.matmul(self.right[start:end], columns[k], out=mixed[start:end])
        return self.left @ mixed


def module_of(record: ClientEstimates, shared: Literal["columns", "rows"]) -> Module:
    """Coordinates of a checked record with the shared space on the left.

    Parameters
    ----------
    record : ClientEstimates
    shared : {"columns", "rows"}

    Returns
    -------
    Module
    """
    if record.factors is None:
        dense = record.dense()
        return DenseModule(dense if shared == "columns" else np.ascontiguousarray(dense.transpose(0, 2, 1)))
    factors = record.factors
    if shared == "rows":
        factors = tuple((right.T, left.T) for left, right in factors)
    left = np.concatenate([pair[0] for pair in factors], axis=1)
    right = np.concatenate([pair[1] for pair in factors], axis=0)
    ends = np.cumsum([0, *(pair[0].shape[1] for pair in factors)])
    if left.shape[1] < left.shape[0]:
        left = triangular(left)
    if right.shape[0] < right.shape[1]:
        right = np.ascontiguousarray(triangular(right.T).T)
    return FactoredModule(left, right, ends)


def triangular(matrix: FloatArray) -> FloatArray:
    """The triangular factor of a QR decomposition, without the orthonormal one: half the time.

    Parameters
    ----------
    matrix : ndarray, shape (m, n)

    Returns
    -------
    ndarray, shape (min(m, n), n)
    """
    return np.asarray(np.linalg.qr(matrix, mode="r"), dtype=np.float64)
