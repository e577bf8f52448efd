"""One module in orthonormal coordinates of its joint column and row spaces: inner products, directions, coordinates.

A rotation shared by all clients changes no residual norm, so factors (B_k, A_k) are replaced by triangular factors of
all B_k side by side and of all A_k below each other; nothing of size p × q is formed for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["DenseModule", "FactoredModule", "Module", "leading_directions", "module_of", "triangular"]

# Up to this size the scatter is decomposed whole (10 ms); above, subspace iteration finds the leading directions.
_WHOLE = 128
_ITERATIONS = 8
_OVERSAMPLING = 8
_SEED = 20_261_126


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

    def scattered(self, weights: FloatArray, vectors: FloatArray) -> FloatArray:
        """Σ_kl w_kl X_kX_lᵀ times ``vectors`` (p', D), for symmetric ``weights`` (K, K)."""
        ...

    def along(self, directions: FloatArray) -> FloatArray:
        """VᵀX_k of every client for ``directions`` V (p', D), (K, D, q')."""
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

    def scattered(self, weights: FloatArray, vectors: FloatArray) -> FloatArray:
        """Σ_kl w_kl X_kX_lᵀV, (p, D)."""
        n_clients, _, q = self.blocks.shape
        inner = self.blocks.transpose(0, 2, 1) @ vectors  # X_lᵀV, (K, q, D)
        mixed = (weights @ inner.reshape(n_clients, -1)).reshape(n_clients, q, -1)
        return np.asarray((self.blocks @ mixed).sum(axis=0))

    def along(self, directions: FloatArray) -> FloatArray:
        """VᵀX_k, (K, D, q)."""
        return np.asarray(directions.T @ self.blocks)


@dataclass(frozen=True, eq=False)
class FactoredModule:
    """X_k = L_kR_k with all L_k side by side and all R_k below each other, after the two joint rotations."""

    left: FloatArray  # (p', N), N = Σ s_k
    right: FloatArray  # (N, q')
    owner: NDArray[np.int64]  # (N,), the client of each column of ``left``; in order

    @property
    def shape(self) -> tuple[int, int, int]:
        """(K, p', q')."""
        return int(self.owner[-1]) + 1, self.left.shape[0], self.right.shape[1]

    @property
    def products(self) -> FloatArray:
        """⟨X_k, X_l⟩ = tr(L_kᵀL_l R_lR_kᵀ), (K, K)."""
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        both = (self.left.T @ self.left) * (self.right @ self.right.T)
        return np.asarray(np.add.reduceat(np.add.reduceat(both, starts, axis=0), starts, axis=1))

    def scattered(self, weights: FloatArray, vectors: FloatArray) -> FloatArray:
        """Σ_kl w_kl L_kR_kR_lᵀL_lᵀV, (p', D)."""
        inner = self.left.T @ vectors  # (N, D)
        n_clients, width, q = self.shape[0], vectors.shape[1], self.right.shape[1]
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        ends = np.append(starts[1:], self.owner.size)
        own = np.empty((n_clients, q, width))
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            own[k] = self.right[start:end].T @ inner[start:end]
        mixed = (weights @ own.reshape(n_clients, -1)).reshape(own.shape)
        total = np.zeros_like(vectors)
        for k, (start, end) in enumerate(zip(starts, ends, strict=True)):
            total += self.left[:, start:end] @ (self.right[start:end] @ mixed[k])
        return total

    def along(self, directions: FloatArray) -> FloatArray:
        """VᵀL_kR_k, (K, D, q')."""
        inner = directions.T @ self.left  # (D, N)
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        ends = np.append(starts[1:], self.owner.size)
        return np.stack([inner[:, a:b] @ self.right[a:b] for a, b in zip(starts, ends, strict=True)])


def module_of(record: ClientEstimates, shared: Literal["columns", "rows"]) -> Module:
    """Coordinates of a checked record with the shared space on the left."""
    if record.factors is None:
        dense = record.dense()
        return DenseModule(dense if shared == "columns" else np.ascontiguousarray(dense.transpose(0, 2, 1)))
    factors = record.factors
    if shared == "rows":
        factors = tuple((right.T, left.T) for left, right in factors)
    left = np.concatenate([pair[0] for pair in factors], axis=1)
    right = np.concatenate([pair[1] for pair in factors], axis=0)
    owner = np.repeat(np.arange(len(factors)), [pair[0].shape[1] for pair in factors])
    if left.shape[1] < left.shape[0]:
        left = triangular(left)
    if right.shape[0] < right.shape[1]:
        right = np.ascontiguousarray(triangular(right.T).T)
    return FactoredModule(left, right, owner)


def triangular(matrix: FloatArray) -> FloatArray:
    """The triangular factor of a QR decomposition, without the orthonormal one: half the time."""
    return np.asarray(np.linalg.qr(matrix, mode="r"), dtype=np.float64)


def leading_directions(module: Module, weights: FloatArray, count: int) -> FloatArray:
    """Leading ``count`` eigenvectors (p', count) of Σ_kl w_kl X_kX_lᵀ, ``weights`` (K, K) positive semidefinite."""
    size = module.shape[1]
    if size <= max(_WHOLE, 2 * count):
        scatter = module.scattered(weights, np.eye(size))
        return np.ascontiguousarray(np.linalg.eigh(scatter)[1][:, ::-1][:, :count])
    start = np.random.default_rng(_SEED).standard_normal((size, min(count + _OVERSAMPLING, size)))
    basis = np.linalg.qr(start)[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(module.scattered(weights, basis))[0]
    vectors = np.linalg.eigh(basis.T @ module.scattered(weights, basis))[1]
    return np.ascontiguousarray(basis @ vectors[:, ::-1][:, :count])
