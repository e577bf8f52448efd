"""A module's members in the coordinates of their factors: their mean, scatters and distances, without p × q blocks.

What differs between clients has few ranks: every scatter is the joint one and an update by the client's own factors
(docs/derivations/shrinkage.md, Factors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clair_stats.products import Reflectors, squared_norm
from clair_stats.records import FloatArray
from clair_stats.refinement.leading import Base, leading_of_update
from clair_stats.refinement.shrink import MOST_DIRECTIONS

__all__ = ["MemberStack"]

Pair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class MemberStack:
    """X_k = Q L_k R_k Pᵀ of n members with orthonormal Q, P, and the mean of the L_kR_k."""

    lefts: tuple[FloatArray, ...]  # (a, s_k)
    rights: tuple[FloatArray, ...]  # (s_k, b)
    mean: FloatArray  # (a, b)
    frames: tuple[Reflectors | None, Reflectors | None]  # Q and P; None: the identity

    @classmethod
    def of(cls, factors: Sequence[Pair]) -> MemberStack:
        """The members' factors in orthonormal coordinates of their joint columns and rows.

        Parameters
        ----------
        factors : sequence of pairs (p × s_k, s_k × q)

        Returns
        -------
        MemberStack
        """
        left = np.concatenate([pair[0] for pair in factors], axis=1)
        right = np.concatenate([pair[1] for pair in factors], axis=0)
        cuts = np.cumsum([pair[0].shape[1] for pair in factors])[:-1]
        first = Reflectors(left) if left.shape[1] < left.shape[0] else None
        second = Reflectors(right.T) if right.shape[0] < right.shape[1] else None
        left = left if first is None else first.upper
        right = right if second is None else np.ascontiguousarray(second.upper.T)
        mean = left @ right / len(factors)
        return cls(tuple(np.split(left, cuts, axis=1)), tuple(np.split(right, cuts)), mean, (first, second))

    def __len__(self) -> int:
        return len(self.lefts)

    def deviation(self, number: int) -> FloatArray:
        """X_k less the mean.

        Parameters
        ----------
        number : int
            Of the member, from 0.

        Returns
        -------
        ndarray, shape (a, b)
        """
        return np.asarray(self.lefts[number] @ self.rights[number] - self.mean)

    @property
    def step(self) -> float:
        """n/(n − 1): X_k less the mean of the others is this multiple of X_k less the mean of all."""
        return len(self) / (len(self) - 1.0)

    @property
    def directions(self) -> int:
        """How many the others have at least, whoever is left out; eigenvectors beyond would be arbitrary."""
        ranks = [left.shape[1] for left in self.lefts]
        a, b = self.mean.shape
        return int(min(a, sum(ranks) - max(ranks), (len(self) - 2) * b, MOST_DIRECTIONS))

    @cached_property
    def energies(self) -> FloatArray:
        """‖X_k‖², (n,)."""
        return np.array([squared_norm(pair) for pair in zip(self.lefts, self.rights, strict=True)])

    @cached_property
    def mean_scatter(self) -> FloatArray:
        """M Mᵀ of the mean M, (a, a)."""
        return np.asarray(self.mean @ self.mean.T)

    @cached_property
    def with_mean(self) -> list[FloatArray]:
        """M R_kᵀ, (a, s_k) each."""
        cuts = np.cumsum([len(right) for right in self.rights])[:-1]
        return list(np.split(self.mean @ np.concatenate(self.rights).T, cuts, axis=1))

    @cached_property
    def mean_energy(self) -> float:
        """‖M‖²."""
        return float(np.sum(self.mean**2))

    @cached_property
    def size(self) -> float:
        """Of the usual member, ‖X_k‖; 1 where that is 0."""
        return float(np.sqrt(np.median(self.energies))) or 1.0

    @cached_property
    def in_single(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mean over :attr:`size`, (a, b), and its scatter, (a, a), in single precision."""
        scatter = self.mean_scatter / self.size**2
        return (self.mean / self.size).astype(np.float32), scatter.astype(np.float32, order="F")

    @property
    def about_the_mean(self) -> MemberStack:
        """The same with the deviations in place of the factors: where these nearly cancel, their digits do too."""
        whole = np.eye(self.mean.shape[1])
        lefts = tuple(self.deviation(k) for k in range(len(self)))
        return MemberStack(lefts, (whole,) * len(self), np.zeros_like(self.mean), self.frames)

    def scatter(self) -> FloatArray:
        """Σ D_kD_kᵀ of the deviations D_k = L_kR_k − M.

        Returns
        -------
        ndarray, shape (a, a)
        """
        weighted = [left @ (right @ right.T) for left, right in zip(self.lefts, self.rights, strict=True)]
        whole = np.concatenate(weighted, axis=1) @ np.concatenate(self.lefts, axis=1).T
        return np.asarray(whole - len(self) * self.mean_scatter)

    def scatter_of_rows(self) -> FloatArray:
        """Σ D_kᵀD_k.

        Returns
        -------
        ndarray, shape (b, b)
        """
        weighted = [(left.T @ left) @ right for left, right in zip(self.lefts, self.rights, strict=True)]
        whole = np.concatenate(weighted).T @ np.concatenate(self.rights)
        return np.asarray(whole - len(self) * (self.mean.T @ self.mean))

    def directions_without(self, number: int, base: Base, count: int) -> tuple[FloatArray, FloatArray]:
        """Leading eigenvectors and values of the scatter of the others.

        D_kD_kᵀ − MMᵀ = L_kYᵀ + YL_kᵀ with Y = L_kR_kR_kᵀ/2 − MR_kᵀ.

        Parameters
        ----------
        number : int
            Of the member that is left out, from 0.
        base : Base
            The scatter less n/(n − 1) MMᵀ.
        count : int

        Returns
        -------
        vectors : ndarray, shape (a, count)
        values : ndarray, shape (count,)
        """
        left, right = self.lefts[number], self.rights[number]
        other = left @ (right @ right.T) / 2.0 - self.with_mean[number]
        return leading_of_update(base, left, other, -self.step, count)

    def along(self, directions: FloatArray, number: int) -> FloatArray:
        """UᵀD_k of the columns U.

        Parameters
        ----------
        directions : ndarray, shape (a, m)
            U.
        number : int
            Of the member, from 0.

        Returns
        -------
        ndarray, shape (m, b)
        """
        return np.asarray((directions.T @ self.lefts[number]) @ self.rights[number] - directions.T @ self.mean)

    def square(self, number: int) -> float:
        """‖D_k‖².

        Parameters
        ----------
        number : int
            Of the member, from 0.

        Returns
        -------
        float
        """
        with_mean = float(np.sum(self.lefts[number] * self.with_mean[number]))
        return max(float(self.energies[number]) - 2.0 * with_mean + self.mean_energy, 0.0)
