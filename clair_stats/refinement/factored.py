"""Refinement of one module of factors, in the coordinates of its members' factors: no p × q, and no stack of blocks.

The estimates are those of :func:`clair_stats.refinement.shrink.shrink` where nothing tells the size of the errors but
the members' residuals (docs/derivations/shrinkage.md, Factors).  For 64 clients of rank 16 at 4096 × 4096 the stack has
0.5 GB, and its refined blocks have rank 816 each.  What differs between clients has few ranks: every scatter is the
joint one and an update by the client's own factors, and every estimate is a multiple of the mean and a product of few
ranks.  Two eigenvalue problems per client are what is left of the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.blas import dsymm, dsyr2k

from clair_stats.linalg import balanced_factors, project_off
from clair_stats.products import CutProduct, Reflectors, cut_product, squared_norm
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.others import SCATTER_ROUNDING
from clair_stats.refinement.shrink import MOST_DIRECTIONS, direction_weights

__all__ = ["refine_factors"]

Pair = tuple[FloatArray, FloatArray]
# James and Stein need three entries; with fewer the directions of the subspace are shrunk together (shrink.py).
_FEWEST_ENTRIES = 3
# As of a panel (detection/panel.py): a spread below this share of the typical entry is rounding, and a client beyond
# 2²⁶ times the usual size is nobody's neighbour.
_ROUNDING = 1e-11
_ABSURD_EXPONENT = 26
# Up to this share of all singular vectors, those wanted are eigenvectors of a Gram matrix: 59 ms against 300 ms for 16
# of 816.  Singular values below 1e-8 of the largest are lost in the square, and left out: 1e-16 of the energy.
_FEW = 0.25
_SQUARED_ROUNDING = 1e-16
# From this side on eigenvectors start in single precision, in half the time (25 ms for 50 at 816), where none of those
# wanted has an eigenvalue near its rounding.
_LARGE = 256
_SINGLE_ROUNDING = 1e-4
# A difference below this share of what it is the difference of is summed from its own terms: two digits are lost here.
_CANCELLED = 1e-2
# Columns to which the joint frames are applied in one go.
_TOGETHER = 1024


def refine_factors(
    factors: Sequence[Pair],
    members: BoolArray,
    rank: int,
    *,
    most: int | None = None,
    offsets: Sequence[FloatArray] | None = None,
) -> list[CutProduct] | None:
    """Refined estimates of all clients, each cut to the rank ``most``; who is no member keeps its own.

    Parameters
    ----------
    factors : sequence of K pairs (p × s_k, s_k × q)
        The shared space is that of the columns.
    members : bool ndarray, shape (K,)
        True = in the set.
    rank : int
        r of the fit, off which the members' residuals tell the size of the errors.
    most : int, optional
        Largest rank of an estimate; exact when not given.
    offsets : sequence of K ndarray, each of shape (s_k,), optional
        d_k of B_k diag(d_k) A_k, which is added to every estimate before the cut.

    Returns
    -------
    list of K CutProduct, or None
        None where a stack of blocks has to be formed: fewer than two members, or one of absurd size.
    """
    chosen: list[int] = np.flatnonzero(members).tolist()
    sizes = np.array([squared_norm(pair) for pair in factors])
    usual = float(np.median(sizes))
    absurd = ~(sizes <= 4.0**_ABSURD_EXPONENT * usual)
    if len(chosen) < 2 or usual == 0.0 or absurd[chosen].any():
        return None
    p, q = factors[0][0].shape[0], factors[0][1].shape[1]
    columns = sum(left.shape[1] for left, _ in factors)
    stated = (len(factors), min(p, columns), min(q, columns))
    stack = _MemberStack.of([factors[k] for k in chosen])
    found = _distances(stack, rank)
    noise = _noise(found, stated, rank, floor=_ROUNDING * float(np.sqrt(usual / (stated[1] * stated[2]))))
    energy = WhiteEnergy(np.full(len(chosen), noise), stated[1:], found.largest_share)
    trace, most_of_one = energy.along(0, found.frames[0][:, : found.energies.shape[1]])
    errors = (np.tile(trace, (len(chosen), 1)), np.tile(most_of_one, (len(chosen), 1)))
    whole = np.column_stack([found.squares, np.tile(energy.whole(0), (len(chosen), 1))])
    own_risk = np.full(len(chosen), energy.whole(0)[0])
    along, rest = direction_weights(found.energies, errors, whole, own_risk, apart=stated[2] >= _FEWEST_ENTRIES)
    own = None if offsets is None else [offsets[k] for k in chosen]
    estimates = _estimates(stack, found.frames, along, rest, own)
    cut = dict(zip(chosen, _cut(stack, estimates, most), strict=True))
    for k in np.flatnonzero(~members).tolist():
        left, right = factors[k]
        cut[k] = cut_product((left if offsets is None else left * (1.0 + offsets[k]), right), most)
    return [cut[k] for k in range(len(factors))]


@dataclass(frozen=True, eq=False)
class _MemberStack:
    """X_k = Q L_k R_k Pᵀ of n members with orthonormal Q, P, and the mean of the L_kR_k."""

    lefts: tuple[FloatArray, ...]  # (a, s_k)
    rights: tuple[FloatArray, ...]  # (s_k, b)
    mean: FloatArray  # (a, b)
    frames: tuple[Reflectors | None, Reflectors | None]  # Q and P; None: the identity

    @classmethod
    def of(cls, factors: Sequence[Pair]) -> _MemberStack:
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
        """X_k less the mean, (a, b)."""
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

    @property
    def about_the_mean(self) -> _MemberStack:
        """The same with the deviations in the place of the factors: where these nearly cancel, their digits do too."""
        whole = np.eye(self.mean.shape[1])
        lefts = tuple(self.deviation(k) for k in range(len(self)))
        return _MemberStack(lefts, (whole,) * len(self), np.zeros_like(self.mean), self.frames)

    def scatter(self) -> FloatArray:
        """Σ D_kD_kᵀ of the deviations D_k = L_kR_k − M, (a, a)."""
        weighted = [left @ (right @ right.T) for left, right in zip(self.lefts, self.rights, strict=True)]
        whole = np.concatenate(weighted, axis=1) @ np.concatenate(self.lefts, axis=1).T
        return np.asarray(whole - len(self) * self.mean_scatter)

    def scatter_of_rows(self) -> FloatArray:
        """Σ D_kᵀD_k, (b, b)."""
        weighted = [(left.T @ left) @ right for left, right in zip(self.lefts, self.rights, strict=True)]
        whole = np.concatenate(weighted).T @ np.concatenate(self.rights)
        return np.asarray(whole - len(self) * (self.mean.T @ self.mean))

    def without(self, number: int, base: FloatArray) -> FloatArray:
        """The scatter of the others in the lower triangle, (a, a); ``base`` is the scatter less n/(n − 1) MMᵀ.

        D_kD_kᵀ − MMᵀ = L_kYᵀ + YL_kᵀ with Y = L_kR_kR_kᵀ/2 − MR_kᵀ.
        """
        left, right = self.lefts[number], self.rights[number]
        other = left @ (right @ right.T) / 2.0 - self.with_mean[number]
        return _updated(base, left, other, -self.step)

    def along(self, directions: FloatArray, number: int) -> FloatArray:
        """UᵀD_k of the columns U (a, m), (m, b)."""
        return np.asarray((directions.T @ self.lefts[number]) @ self.rights[number] - directions.T @ self.mean)

    def square(self, number: int) -> float:
        """‖D_k‖²."""
        with_mean = float(np.sum(self.lefts[number] * self.with_mean[number]))
        return max(float(self.energies[number]) - 2.0 * with_mean + self.mean_energy, 0.0)


class _Distances(NamedTuple):
    """How far every member is from the mean of the others."""

    frames: list[FloatArray]  # (a, m or more), the others' leading directions, orthonormal
    energies: FloatArray  # (n, m), ‖u_iᵀZ‖²
    squares: FloatArray  # (n,), ‖Z‖²
    residuals: float  # sum of squares of all members off the subspace of the fit
    largest_share: float  # λ_max over the trace of the residuals' Kronecker covariance


def _distances(stack: _MemberStack, rank: int) -> _Distances:
    scatter = stack.scatter()
    if not np.trace(scatter) > _CANCELLED * float(stack.energies.sum()):
        stack = stack.about_the_mean
        scatter = stack.scatter()
    vectors, sizes = _leading(scatter, min(rank + 1, len(scatter)))
    basis, largest, next_size = vectors[:, :rank], float(sizes[0]), float(sizes[rank:].sum())
    base = scatter - stack.step * stack.mean_scatter
    frames, energies = [], []
    clear = stack.directions
    for k in range(len(stack)):
        vectors, sizes = _leading_of_large(stack.without(k, base), clear)
        clear = min(clear, int(np.count_nonzero(sizes > SCATTER_ROUNDING * largest)))
        frames.append(vectors)
        energies.append(stack.step**2 * np.sum(stack.along(vectors, k) ** 2, axis=1))
    squares = stack.step**2 * np.array([stack.square(k) for k in range(len(stack))])
    rows = _rows_off(stack, basis)
    residuals = float(np.trace(rows))
    top = float(_leading(rows, 1)[1][0]) * next_size
    share = top / max(residuals**2, np.finfo(float).tiny)
    return _Distances(frames, np.array([own[:clear] for own in energies]), squares, residuals, share)


def _rows_off(stack: _MemberStack, basis: FloatArray) -> FloatArray:
    """Σ R_kᵀR_k of the residuals R_k = D_k − UUᵀD_k, (b, b); from each of them where the difference is rounding."""
    whole = stack.scatter_of_rows()
    inside = np.concatenate([stack.along(basis, k) for k in range(len(stack))])
    rows = whole - inside.T @ inside
    if np.trace(rows) > _CANCELLED * np.trace(whole):
        return np.asarray(rows)
    rows = np.zeros_like(whole)
    for k in range(len(stack)):
        residual = project_off(basis, stack.deviation(k)).T
        rows += residual @ residual.T
    return rows


def _updated(symmetric: FloatArray, first: FloatArray, second: FloatArray, by: float) -> FloatArray:
    """S + by (first secondᵀ + second firstᵀ) in the lower triangle."""
    columns = np.asfortranarray(first), np.asfortranarray(second)
    return np.asarray(dsyr2k(by, *columns, beta=1.0, c=symmetric.T.copy(order="F"), lower=1, overwrite_c=1))


def _leading(scatter: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The ``count`` leading eigenvectors (a, count) and eigenvalues, descending; the lower triangle is read."""
    side = len(scatter)
    if count == 0:
        return np.zeros((side, 0)), np.zeros(0)
    values, vectors = eigh(scatter, subset_by_index=(side - count, side - 1), check_finite=False)
    return np.ascontiguousarray(vectors[:, ::-1]), values[::-1]


def _leading_of_large(scatter: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """As :func:`_leading`; on a large side from single precision by a Rayleigh–Ritz step in double precision.

    Vectors are orthonormal and values theirs to rounding.  Against the eigenvectors they are turned by about 1e-7 over
    the relative gap, which costs the cut of an estimate its square in energy; of the directions towards which a client
    is drawn the proof asks only that they are functions of what the *other* clients hold.
    """
    largest = float(np.max(np.abs(scatter.diagonal()), initial=0.0))
    if len(scatter) < _LARGE or count == 0 or largest == 0.0:
        return _leading(scatter, count)
    vectors, values = _leading((scatter / largest).astype(np.float32), count)
    if values[-1] <= _SINGLE_ROUNDING * values[0]:
        return _leading(scatter, count)
    vectors = np.asfortranarray(vectors, dtype=np.float64)
    projected = vectors.T @ dsymm(1.0, scatter, vectors, lower=1)
    values, turned = eigh((projected + projected.T) / 2.0, vectors.T @ vectors, check_finite=False)
    return np.ascontiguousarray(vectors @ turned[:, ::-1]), values[::-1]


def _noise(found: _Distances, stated: tuple[int, int, int], rank: int, *, floor: float) -> float:
    """σ from the members' residuals; 0 where they agree exactly."""
    _, p, q = stated
    freedom = (p - rank) * max((len(found.frames) - 1) * q - rank, 0)
    noise = float(np.sqrt(found.residuals / freedom)) if freedom > 0 else 0.0
    return noise if noise > floor else 0.0


@dataclass(frozen=True, eq=False)
class _Estimate:
    """βM + PQ: a multiple of the members' mean and what is the client's own."""

    stack: _MemberStack
    share: float  # β
    left: FloatArray  # P, (a, t)
    right: FloatArray  # Q, (t, b)
    with_mean: FloatArray  # MQᵀ of the first rows of Q, (a, s)

    def dense(self) -> FloatArray:
        """(a, b)."""
        return np.asarray(self.share * self.stack.mean + self.left @ self.right)

    def scatter(self) -> FloatArray:
        """Of the estimate with itself, in the lower triangle, (a, a)."""
        rest = self.stack.mean @ self.right[self.with_mean.shape[1] :].T
        with_mean = np.concatenate([self.with_mean, rest], axis=1)
        other = self.left @ (self.right @ self.right.T) / 2.0 + self.share * with_mean
        return _updated(self.share**2 * self.stack.mean_scatter, self.left, other, 1.0)

    def along(self, directions: FloatArray) -> FloatArray:
        """Uᵀ(βM + PQ), (m, b)."""
        own = (directions.T @ self.left) @ self.right
        return np.asarray(self.share * (directions.T @ self.stack.mean) + own)


def _estimates(
    stack: _MemberStack,
    frames: Sequence[FloatArray],
    along: FloatArray,
    rest: FloatArray,
    offsets: Sequence[FloatArray] | None,
) -> Iterator[_Estimate]:
    """X_k less its share of the way to the others along every direction."""
    for k, frame in enumerate(frames):
        leading = frame[:, : along.shape[1]]
        inside = (stack.step * (along[k] - rest[k]))[:, None] * stack.along(leading, k)
        to_mean = stack.step * float(rest[k])
        own = 1.0 - to_mean if offsets is None else 1.0 - to_mean + offsets[k]
        left = np.concatenate([stack.lefts[k] * own, -leading], axis=1)
        yield _Estimate(stack, to_mean, left, np.concatenate([stack.rights[k], inside]), stack.with_mean[k])


def _cut(stack: _MemberStack, estimates: Iterator[_Estimate], most: int | None) -> Iterator[CutProduct]:
    """The nearest product of each of at most ``most`` ranks, in the coordinates of the caller."""
    together = max(_TOGETHER // min(most or _TOGETHER, *stack.mean.shape), 1)
    while batch := list(islice(estimates, together)):
        nearest = [_nearest(estimate, most) for estimate in batch]
        ends = np.cumsum([left.shape[1] for left, _, _ in nearest])[:-1]
        left = _back(stack.frames[0], np.concatenate([one[0] for one in nearest], axis=1))
        right = _back(stack.frames[1], np.concatenate([one[1].T for one in nearest], axis=1))
        sides = np.split(left, ends, axis=1), np.split(right, ends, axis=1)
        for (first, second, energy), own, others in zip(nearest, *sides, strict=True):
            kept = squared_norm((first, second))
            lost = max(1.0 - kept / energy, 0.0) if energy > 0.0 and most is not None else 0.0
            yield CutProduct((np.ascontiguousarray(own), np.ascontiguousarray(others.T)), lost, energy)


def _back(frame: Reflectors | None, coordinates: FloatArray) -> FloatArray:
    return coordinates if frame is None else frame.times(coordinates)


def _nearest(estimate: _Estimate, most: int | None) -> tuple[FloatArray, FloatArray, float]:
    """Balanced factors of the nearest matrix of at most ``most`` ranks, exact without, and the squared norm before."""
    if most is None or most > _FEW * min(estimate.stack.mean.shape):
        block = estimate.dense()
        left, right = balanced_factors(block)
        return left[:, :most], right[:most], float(np.sum(block**2))
    scatter = estimate.scatter()
    vectors, squares = _leading_of_large(scatter, most)
    kept = squares > _SQUARED_ROUNDING * squares[0]
    kept[0] = True  # a zero block still needs one factor
    vectors, roots = vectors[:, kept], np.maximum(squares[kept], np.finfo(float).tiny) ** 0.25
    return vectors * roots, estimate.along(vectors) / roots[:, None], float(np.trace(scatter))
