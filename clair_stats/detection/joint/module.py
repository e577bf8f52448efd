"""One module in orthonormal coordinates of its joint column and row spaces: inner products, directions, coordinates.

A rotation shared by all clients changes no residual norm, so factors (B_k, A_k) are replaced by triangular factors of
all B_k side by side and of all A_k below each other; nothing of size p × q is formed for them.

See docs/derivations/joint_verdict.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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

    def scattered(
        self, scales: FloatArray, design: FloatArray, weights: FloatArray, shares: FloatArray, bases: FloatArray
    ) -> FloatArray:
        """The scatter of every set s, Σ_k w_sk (Y_k − c_km_s)(Y_k − c_km_s)ᵀ, times its own basis, (N, p', r).

        Parameters
        ----------
        scales : ndarray, shape (K,)
            s_k, Y_k = s_kX_k.
        design : ndarray, shape (K,)
            c_k.
        weights : ndarray, shape (N, K)
            w_sk.
        shares : ndarray, shape (N, K)
            m_s = Σ_k shares_sk Y_k, which makes Σ_k w_skc_k(Y_k − c_km_s) = 0.
        bases : ndarray, shape (N, p', r)

        Returns
        -------
        ndarray, shape (N, p', r)
        """
        ...

    def own_inner(
        self, scales: FloatArray, design: FloatArray, shares: FloatArray, clients: NDArray[np.int64], bases: FloatArray
    ) -> FloatArray:
        """(Y_k − c_km_s)ᵀU_s of one client k = ``clients``_s for every set s, (N, q', r).

        Parameters
        ----------
        scales, design, shares, bases
            As for :meth:`scattered`.
        clients : ndarray of int, shape (N,)

        Returns
        -------
        ndarray, shape (N, q', r)
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

    def scattered(
        self, scales: FloatArray, design: FloatArray, weights: FloatArray, shares: FloatArray, bases: FloatArray
    ) -> FloatArray:
        """See :class:`Module`.

        Parameters
        ----------
        scales, design : ndarray, shape (K,)
        weights, shares : ndarray, shape (N, K)
        bases : ndarray, shape (N, p, r)

        Returns
        -------
        ndarray, shape (N, p, r)
        """
        n_sets, size, rank = bases.shape
        inner = self.inner(np.ascontiguousarray(bases.transpose(1, 0, 2)).reshape(size, n_sets * rank))
        inner = (inner * scales[:, None, None]).reshape(*inner.shape[:2], n_sets, rank)
        inner -= design[:, None, None, None] * np.einsum("nk,kqnr->qnr", shares, inner, optimize=True)
        inner *= weights.T[:, None, :, None] * scales[:, None, None, None]
        product: FloatArray = self.outer(inner.reshape(*inner.shape[:2], n_sets * rank))
        return np.ascontiguousarray(product.reshape(size, n_sets, rank).transpose(1, 0, 2))

    def own_inner(
        self, scales: FloatArray, design: FloatArray, shares: FloatArray, clients: NDArray[np.int64], bases: FloatArray
    ) -> FloatArray:
        """See :class:`Module`.

        Parameters
        ----------
        scales, design : ndarray, shape (K,)
        shares : ndarray, shape (N, K)
        clients : ndarray of int, shape (N,)
        bases : ndarray, shape (N, p, r)

        Returns
        -------
        ndarray, shape (N, q, r)
        """
        means = np.tensordot(shares * scales, self.blocks, axes=1)
        deviations = scales[clients, None, None] * self.blocks[clients] - design[clients, None, None] * means
        return np.asarray(deviations.transpose(0, 2, 1) @ bases)


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

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """The client of every column of ``left``, (N,)."""
        return np.repeat(np.arange(self.ends.size - 1), np.diff(self.ends))

    @cached_property
    def _own_products(self) -> tuple[FloatArray, ...]:
        """R_kR_kᵀ of every client."""
        return tuple(self.right[a:b] @ self.right[a:b].T for a, b in pairwise(self.ends))

    def _mixed(self, scales: FloatArray, bases: FloatArray) -> FloatArray:
        """s_kL_kᵀU_s, all clients below each other and all sets beside each other, (Σ s_k, N, r)."""
        n_sets, size, rank = bases.shape
        flat = np.ascontiguousarray(bases.transpose(1, 0, 2)).reshape(size, n_sets * rank)
        mixed = (self.left.T @ flat).reshape(-1, n_sets, rank)
        mixed *= scales[self._rows, None, None]
        return mixed

    def _means(self, shares: FloatArray, mixed: FloatArray) -> FloatArray:
        """m_sᵀU_s, (q', N, r)."""
        weighted = shares.T[self._rows, :, None] * mixed
        return (self.right.T @ weighted.reshape(len(mixed), -1)).reshape(-1, *mixed.shape[1:])

    def scattered(
        self, scales: FloatArray, design: FloatArray, weights: FloatArray, shares: FloatArray, bases: FloatArray
    ) -> FloatArray:
        """See :class:`Module`; in the Σ s_k coordinates of the factors, so that no array holds K q' N r numbers.

        Parameters
        ----------
        scales, design : ndarray, shape (K,)
        weights, shares : ndarray, shape (N, K)
        bases : ndarray, shape (N, p', r)

        Returns
        -------
        ndarray, shape (N, p', r)
        """
        n_sets, size, rank = bases.shape
        mixed = self._mixed(scales, bases)
        means = self._means(shares, mixed)
        back = (self.right @ means.reshape(len(means), -1)).reshape(mixed.shape)  # R_km_sᵀU_s
        for k, (start, end) in enumerate(pairwise(self.ends)):
            part = mixed[start:end].reshape(end - start, -1)
            mixed[start:end] = (self._own_products[k] @ part).reshape(end - start, n_sets, rank)
        mixed -= design[self._rows, None, None] * back
        mixed *= (weights * scales).T[self._rows, :, None]
        product = self.left @ mixed.reshape(len(mixed), -1)
        return np.ascontiguousarray(product.reshape(size, n_sets, rank).transpose(1, 0, 2))

    def own_inner(
        self, scales: FloatArray, design: FloatArray, shares: FloatArray, clients: NDArray[np.int64], bases: FloatArray
    ) -> FloatArray:
        """See :class:`Module`.

        Parameters
        ----------
        scales, design : ndarray, shape (K,)
        shares : ndarray, shape (N, K)
        clients : ndarray of int, shape (N,)
        bases : ndarray, shape (N, p', r)

        Returns
        -------
        ndarray, shape (N, q', r)
        """
        mixed = self._mixed(scales, bases)
        found = -design[clients, None, None] * self._means(shares, mixed).transpose(1, 0, 2)
        for s, k in enumerate(clients):
            start, end = self.ends[k], self.ends[k + 1]
            found[s] += self.right[start:end].T @ mixed[start:end, s]
        return np.asarray(found)


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
