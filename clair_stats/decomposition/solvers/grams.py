"""Distances of blocks to a weighted centre, without touching the stack again.

The solver of ``span`` needs ‖P_⊥(X_k − M)‖_F for many weighted means M = Σ_k b_k X_k.  With the K × K Gram matrix of
the blocks that is K² numbers; with more clients than a block has entries it is two passes over the stack instead
(docs/derivations/programs.md, section 8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from clair_stats.decomposition.problem import Problem
from clair_stats.records import FloatArray

__all__ = ["Grams", "OffSpan"]

# Squared distances come from differences of products.  Below this ratio of distance to norm they keep fewer than eight
# digits, and a solver that works on the stack itself has to take over.
_DIGITS = 1e-4


@dataclass(frozen=True, eq=False)
class Grams:
    """A problem (E) or (N), with the products of its blocks."""

    problem: Problem

    @classmethod
    def with_scatters(cls, problem: Problem, scatters: FloatArray) -> Grams:
        """For a caller that has the scatters.

        Parameters
        ----------
        problem : Problem
            Of program (E) or (N).
        scatters : ndarray, shape (K, p²)

        Returns
        -------
        Grams
        """
        grams = cls(problem)
        vars(grams)["scatters"] = scatters
        return grams

    @cached_property
    def rows(self) -> FloatArray:
        """The stack as Kq × p."""
        return self.problem.tall.reshape(-1, self.problem.tall.shape[2])

    @cached_property
    def flat(self) -> FloatArray:
        """The stack as K × qp."""
        return self.problem.tall.reshape(len(self.problem.tall), -1)

    @cached_property
    def gram(self) -> FloatArray | None:
        """⟨X_j, X_k⟩, shape (K, K); None where M = 0 needs none, or where it would be larger than the stack."""
        n_clients, size = self.flat.shape
        if not self.problem.common_component or n_clients > size:
            return None
        return np.asarray(self.flat @ self.flat.T, dtype=np.float64)

    @cached_property
    def squared(self) -> FloatArray:
        """‖X_k‖_F², shape (K,)."""
        if self.gram is not None:
            return self.gram.diagonal().copy()
        return np.asarray(np.einsum("ki,ki->k", self.flat, self.flat), dtype=np.float64)

    @cached_property
    def norms(self) -> FloatArray:
        """‖X_k‖_F, shape (K,)."""
        return np.sqrt(np.maximum(self.squared, float(np.finfo(np.float64).tiny)))

    @cached_property
    def log_bounds(self) -> FloatArray:
        """The logarithm of n_k below which a_k no longer depends on it, shape (K,)."""
        return np.log(self.problem.block_bounds) if self.problem.program == "N" else np.full(len(self.norms), -np.inf)

    @cached_property
    def _smallest(self) -> FloatArray:
        return np.asarray(_DIGITS * self.norms)

    @cached_property
    def scatters(self) -> FloatArray:
        """X_k^T X_k of the blocks q × p, shape (K, p²): worth its K p²q products where many spectra are asked for."""
        n_clients, _, p = self.problem.tall.shape
        tall = self.problem.tall
        return np.asarray(tall.transpose(0, 2, 1) @ tall).reshape(n_clients, p * p)

    def weighted_scatter(self, weights: FloatArray) -> FloatArray:
        """Σ_k a_k²(X_k − M)^T(X_k − M) about the weighted mean M, shape (p, p), from the scatters.

        Parameters
        ----------
        weights : ndarray, shape (K,)
            a_k.

        Returns
        -------
        ndarray, shape (p, p)
        """
        _, q, p = self.problem.tall.shape
        squares = weights**2
        scatter = (squares @ self.scatters).reshape(p, p)
        if not self.problem.common_component:
            return scatter
        centre = self.centre(weights)
        cross = ((squares @ self.flat).reshape(q, p) - 0.5 * float(squares.sum()) * centre).T @ centre
        return np.asarray(scatter - cross - cross.T)

    def digits_lost(self, norms: FloatArray) -> bool:
        """Whether a distance on which a weight depends is too small against the norm of its block.

        Parameters
        ----------
        norms : ndarray, shape (K,)
            n_k.

        Returns
        -------
        bool
            True below 1e-4 of the norm, where squared distances have fewer than eight digits.
        """
        lost = norms < self._smallest
        return bool(lost.any()) and bool((lost & (np.log(norms) > self.log_bounds)).any())

    def change(self, logs: FloatArray, images: FloatArray) -> float:
        """Largest relative change of a distance on which a weight depends.

        Parameters
        ----------
        logs, images : ndarray, shape (K,)
            log n_k before and after.

        Returns
        -------
        float
        """
        if self.problem.program == "N":
            images, logs = np.maximum(images, self.log_bounds), np.maximum(logs, self.log_bounds)
        return float(np.abs(images - logs).max())

    def at(self, penalties: FloatArray) -> Grams:
        """The same stack with other penalties, its products shared.

        Parameters
        ----------
        penalties : ndarray, shape (K,)
            λ_k.

        Returns
        -------
        Grams
        """
        other = Grams(replace(self.problem, penalties=penalties))
        for name in ("rows", "flat", "gram", "squared", "norms", "_smallest", "scatters"):
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other

    def weights(self, norms: FloatArray) -> FloatArray:
        """Weights of the blocks: Q_k = a_k(X_k − M − L_k) is the gradient of the loss of block k.

        Parameters
        ----------
        norms : ndarray, shape (K,)
            n_k.

        Returns
        -------
        ndarray, shape (K,)
            a_k = τλ_k/n_k, at most 1 for (N).
        """
        found = self.problem.block_bounds / norms  # an infinite one is refused where it is used
        return np.minimum(found, 1.0) if self.problem.program == "N" else found

    def centre(self, weights: FloatArray) -> FloatArray:
        """Weighted mean of the blocks.

        Parameters
        ----------
        weights : ndarray, shape (K,)
            a_k.

        Returns
        -------
        ndarray, shape (q, p)
            Σ_k a_k X_k/Σ_k a_k; 0 when M is fixed to 0.
        """
        shape = self.problem.tall.shape[1:]
        if not self.problem.common_component:
            return np.zeros(shape)
        return np.asarray((weights / weights.sum()) @ self.flat, dtype=np.float64).reshape(shape)

    def off_span(self, coordinates: FloatArray) -> OffSpan:
        """Distances off a span.

        Parameters
        ----------
        coordinates : ndarray, shape (m, K, q)
            Of the blocks in the span, direction by direction.

        Returns
        -------
        OffSpan
        """
        flat = coordinates.transpose(1, 0, 2).reshape(coordinates.shape[1], -1 if coordinates.size else 0)
        inside = np.einsum("ki,ki->k", flat, flat)
        gram = None if self.gram is None else self.gram - flat @ flat.T
        return OffSpan(self, flat, np.maximum(self.squared - inside, 0.0), gram)


@dataclass(frozen=True, eq=False)
class OffSpan:
    """P_⊥ of the blocks, known by its products only."""

    grams: Grams
    coordinates: FloatArray  # (K, mq)
    squared: FloatArray  # (K,), ‖P_⊥X_k‖_F²
    gram: FloatArray | None  # (K, K), ⟨P_⊥X_j, P_⊥X_k⟩

    def distances(self, weights: FloatArray) -> FloatArray:
        """Squared distances off the span from the weighted mean M.

        Parameters
        ----------
        weights : ndarray, shape (K,)
            a_k.

        Returns
        -------
        ndarray, shape (K,)
            ‖P_⊥(X_k − M)‖_F².
        """
        if not self.grams.problem.common_component:
            return self.squared
        shares = weights / np.add.reduce(weights)
        if self.gram is not None:
            inner = self.gram @ shares
        else:
            inner = self.grams.flat @ (shares @ self.grams.flat) - self.coordinates @ (shares @ self.coordinates)
        found: FloatArray = np.maximum(self.squared - 2.0 * inner + shares @ inner, 0.0)
        return found
