"""The nearest matrix of few ranks to a refined estimate βM + PQ, in the coordinates of the members' factors.

Orthogonal iteration from the rows of the client's own factors and the mean's leading ones was tried: its rate is the
ratio of the mean's next singular value to the last one that is wanted, and at .5 to .7 it takes longer
(docs/derivations/shrinkage.md, Factors).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from clair_stats.linalg import balanced_factors
from clair_stats.products import CutProduct, Reflectors, squared_norm
from clair_stats.records import FloatArray
from clair_stats.refinement.leading import LARGE, leading, ritz, updated, well_resolved
from clair_stats.refinement.member_stack import MemberStack

__all__ = ["RefinedProduct", "cut_estimates", "nearest"]

# Up to this share of all singular vectors, those wanted are eigenvectors of a Gram matrix: 59 ms against 300 ms for 16
# of 816.  Singular values below 1e-8 of the largest are lost in the square, and left out: 1e-16 of the energy.
_FEW = 0.25
_SQUARED_ROUNDING = 1e-16
# Columns to which the joint frames are applied in one go.
_TOGETHER = 1024


@dataclass(frozen=True, eq=False)
class RefinedProduct:
    """βM + PQ: a multiple of the members' mean and what is the client's own."""

    stack: MemberStack
    share: float  # β
    left: FloatArray  # P, (a, t)
    right: FloatArray  # Q, (t, b)
    energy: float  # ‖βM + PQ‖²
    rough: bool  # whether its scatter may be formed in single precision to begin with

    @classmethod
    def of_mean(cls, stack: MemberStack) -> RefinedProduct:
        """The mean itself.

        Parameters
        ----------
        stack : MemberStack

        Returns
        -------
        RefinedProduct
        """
        a, b = stack.mean.shape
        return cls(stack, 1.0, np.zeros((a, 1)), np.zeros((1, b)), stack.mean_energy, False)

    def dense(self) -> FloatArray:
        """The block.

        Returns
        -------
        ndarray, shape (a, b)
        """
        return np.asarray(self.share * self.stack.mean + self.left @ self.right)

    def leading(self, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Leading left singular vectors, squared singular values, descending, and the rows along them.

        On large sides from single precision by a Rayleigh–Ritz step in double precision, as in
        :func:`~clair_stats.refinement.leading.leading_of_update`.

        Parameters
        ----------
        count : int

        Returns
        -------
        vectors : ndarray, shape (a, count)
        values : ndarray, shape (count,)
        rows : ndarray, shape (count, b)
        """
        if self.rough and len(self.stack.mean) >= LARGE:
            vectors, values = leading(self._scatter_in_single(), count)
            if well_resolved(values):
                return ritz(self.along, vectors)
        with_mean = self.stack.mean @ self.right.T
        other = self.left @ (self.right @ self.right.T) / 2.0 + self.share * with_mean
        vectors, values = leading(updated(self.share**2 * self.stack.mean_scatter, self.left, other, 1.0), count)
        return vectors, values, self.along(vectors)

    def _scatter_in_single(self) -> FloatArray:
        """Of the estimate over its norm, in the lower triangle, (a, a)."""
        largest, norm = float(np.max(np.abs(self.left))) or 1.0, float(np.sqrt(self.energy))
        share, unit = self.share * self.stack.size / norm, largest / norm
        mean, scatter = self.stack.in_single
        left, right = (self.left / largest).astype(np.float32), (self.right * unit).astype(np.float32)
        other = left @ (right @ right.T / 2.0) + np.float32(share) * (mean @ right.T)
        return updated(np.float32(share**2) * scatter, left, other, 1.0)

    def along(self, directions: FloatArray) -> FloatArray:
        """Uᵀ(βM + PQ) of the columns U.

        Parameters
        ----------
        directions : ndarray, shape (a, m)

        Returns
        -------
        ndarray, shape (m, b)
        """
        own = (directions.T @ self.left) @ self.right
        return np.asarray(self.share * (directions.T @ self.stack.mean) + own)


def cut_estimates(
    stack: MemberStack, estimates: Iterable[RefinedProduct], most: int | None, *, single: bool = False
) -> Iterator[CutProduct]:
    """The nearest product of each of at most ``most`` ranks, in the coordinates of the caller.

    Parameters
    ----------
    stack : MemberStack
        Of all of them.
    estimates : iterable of RefinedProduct
    most : int, optional
        Exact when not given.
    single : bool
        Factors in single precision, turned back in half the time.

    Yields
    ------
    CutProduct
    """
    together = max(_TOGETHER // min(most or _TOGETHER, *stack.mean.shape), 1)
    pending = iter(estimates)
    while batch := list(islice(pending, together)):
        found = [nearest(estimate, most) for estimate in batch]
        ends = np.cumsum([left.shape[1] for left, _ in found])[:-1]
        both = [np.concatenate([one[0] for one in found], axis=1), np.concatenate([one[1].T for one in found], axis=1)]
        kind = np.float32 if single else np.float64
        turned = [_back(frame, side.astype(kind, copy=False)) for frame, side in zip(stack.frames, both, strict=True)]
        sides = [np.split(side, ends, axis=1) for side in turned]
        for pair, estimate, own, others in zip(found, batch, *sides, strict=True):
            energy = estimate.energy
            lost = max(1.0 - squared_norm(pair) / energy, 0.0) if energy > 0.0 and most is not None else 0.0
            yield CutProduct((np.ascontiguousarray(own), np.ascontiguousarray(others.T)), lost, energy)


def _back(frame: Reflectors | None, coordinates: FloatArray) -> FloatArray:
    return coordinates if frame is None else frame.times(coordinates)


def nearest(estimate: RefinedProduct, most: int | None) -> tuple[FloatArray, FloatArray]:
    """Balanced factors of the nearest matrix of at most ``most`` ranks.

    Parameters
    ----------
    estimate : RefinedProduct
    most : int, optional
        Exact when not given.

    Returns
    -------
    left : ndarray, shape (a, t)
    right : ndarray, shape (t, b)
    """
    side = min(estimate.stack.mean.shape)
    if most is None or most > _FEW * side:
        left, right = balanced_factors(estimate.dense())
        return left[:, :most], right[:most]
    vectors, squares, rows = estimate.leading(most)
    kept = squares > _SQUARED_ROUNDING * squares[0]
    kept[0] = True  # a zero block still needs one factor
    vectors, roots = vectors[:, kept], np.maximum(squares[kept], np.finfo(float).tiny) ** 0.25
    return vectors * roots, rows[kept] / roots[:, None]
