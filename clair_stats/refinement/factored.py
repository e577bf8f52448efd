"""Refinement of one module of factors, in the coordinates of its members' factors: no p × q, and no stack of blocks.

The estimates are those of :func:`clair_stats.refinement.shrink.shrink` where nothing tells the size of the errors but
the members' residuals (docs/derivations/shrinkage.md, Factors).  For 64 clients of rank 16 at 4096 × 4096 the stack has
0.5 GB, and its refined blocks have rank 816 each: singular value decompositions of all of them, and products with the
joint frames before the cut to the rank that is written, took nine tenths of two minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from clair_stats.linalg import balanced_factors, project_off
from clair_stats.products import CutProduct, Reflectors, cut_product, squared_norm
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.error_energy import WhiteEnergy
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
# Eigenvalues of a scatter below this share of the largest are rounding, and their eigenvectors arbitrary (others.py).
_SCATTER_ROUNDING = 1e-12
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


class _Distances(NamedTuple):
    """How far every member is from the mean of the others."""

    frames: list[FloatArray]  # (a, m or more), the others' leading directions, orthonormal
    energies: FloatArray  # (n, m), ‖u_iᵀZ‖²
    squares: FloatArray  # (n,), ‖Z‖²
    residuals: float  # sum of squares of all members off the subspace of the fit
    largest_share: float  # λ_max over the trace of the residuals' Kronecker covariance


def _distances(stack: _MemberStack, rank: int) -> _Distances:
    a, b = stack.mean.shape
    scatter = np.zeros((a, a))
    for k in range(len(stack)):
        deviation = stack.deviation(k)
        scatter += deviation @ deviation.T
    vectors, sizes = _leading(scatter, min(rank + 1, a))
    basis, largest, next_size = vectors[:, :rank], float(sizes[0]), float(sizes[rank:].sum())
    frames, energies, squares = [], [], []
    rows = np.zeros((b, b))
    clear = stack.directions
    for k in range(len(stack)):
        deviation = stack.deviation(k)
        vectors, sizes = _leading(scatter - stack.step * (deviation @ deviation.T), clear)
        clear = min(clear, int(np.count_nonzero(sizes > _SCATTER_ROUNDING * largest)))
        frames.append(vectors)
        energies.append(stack.step**2 * np.sum((vectors.T @ deviation) ** 2, axis=1))
        squares.append(stack.step**2 * float(np.sum(deviation**2)))
        residual = project_off(basis, deviation).T
        rows += residual @ residual.T
    residuals = float(np.trace(rows))
    top = float(_leading(rows, 1)[1][0]) * next_size
    share = top / max(residuals**2, np.finfo(float).tiny)
    return _Distances(frames, np.array([own[:clear] for own in energies]), np.array(squares), residuals, share)


def _leading(scatter: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """The ``count`` leading eigenvectors (a, count) and eigenvalues, descending."""
    side = len(scatter)
    if count == 0:
        return np.zeros((side, 0)), np.zeros(0)
    values, vectors = eigh(scatter, subset_by_index=(side - count, side - 1), check_finite=False)
    return np.ascontiguousarray(vectors[:, ::-1]), values[::-1]


def _noise(found: _Distances, stated: tuple[int, int, int], rank: int, *, floor: float) -> float:
    """σ from the members' residuals; 0 where they agree exactly."""
    _, p, q = stated
    freedom = (p - rank) * max((len(found.frames) - 1) * q - rank, 0)
    noise = float(np.sqrt(found.residuals / freedom)) if freedom > 0 else 0.0
    return noise if noise > floor else 0.0


def _estimates(
    stack: _MemberStack,
    frames: Sequence[FloatArray],
    along: FloatArray,
    rest: FloatArray,
    offsets: Sequence[FloatArray] | None,
) -> Iterator[FloatArray]:
    """X_k less its share of the way to the others along every direction, (a, b)."""
    for k, frame in enumerate(frames):
        block = stack.deviation(k)
        leading = frame[:, : along.shape[1]]
        inside = (stack.step * (along[k] - rest[k]))[:, None] * (leading.T @ block)
        block *= 1.0 - stack.step * rest[k]
        block += stack.mean
        block -= leading @ inside
        if offsets is not None:
            block += (stack.lefts[k] * offsets[k]) @ stack.rights[k]
        yield block


def _cut(stack: _MemberStack, estimates: Iterator[FloatArray], most: int | None) -> Iterator[CutProduct]:
    """The nearest product of each of at most ``most`` ranks, in the coordinates of the caller."""
    together = max(_TOGETHER // min(most or _TOGETHER, *stack.mean.shape), 1)
    while batch := list(islice(estimates, together)):
        nearest = [_nearest(block, most) for block in batch]
        ends = np.cumsum([pair[0].shape[1] for pair in nearest])[:-1]
        left = _back(stack.frames[0], np.concatenate([pair[0] for pair in nearest], axis=1))
        right = _back(stack.frames[1], np.concatenate([pair[1].T for pair in nearest], axis=1))
        sides = np.split(left, ends, axis=1), np.split(right, ends, axis=1)
        for block, (first, second), own, others in zip(batch, nearest, *sides, strict=True):
            energy, kept = float(np.sum(block**2)), squared_norm((first, second))
            lost = max(1.0 - kept / energy, 0.0) if energy > 0.0 and most is not None else 0.0
            yield CutProduct((np.ascontiguousarray(own), np.ascontiguousarray(others.T)), lost, energy)


def _back(frame: Reflectors | None, coordinates: FloatArray) -> FloatArray:
    return coordinates if frame is None else frame.times(coordinates)


def _nearest(block: FloatArray, most: int | None) -> Pair:
    """Balanced factors of the nearest matrix of at most ``most`` ranks; exact without."""
    if most is None or most > _FEW * min(block.shape):
        left, right = balanced_factors(block)
        return left[:, :most], right[:most]
    vectors, squares = _leading(block @ block.T, most)
    kept = squares > _SQUARED_ROUNDING * squares[0]
    kept[0] = True  # a zero block still needs one factor
    vectors, roots = vectors[:, kept], np.maximum(squares[kept], np.finfo(float).tiny) ** 0.25
    return vectors * roots, (vectors.T @ block) / roots[:, None]
