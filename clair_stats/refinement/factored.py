"""Refinement of one module of factors, in the coordinates of its members' factors: no p × q, and no stack of blocks.

The estimates are those of :func:`clair_stats.refinement.shrink.shrink` where nothing tells the size of the errors but
the members' residuals (docs/derivations/shrinkage.md, Factors).  For 64 clients of rank 16 at 4096 × 4096 the stack has
0.5 GB, and its refined blocks have rank 816 each.  What differs between clients has few ranks: every scatter is the
joint one and an update by the client's own factors, and every estimate is a multiple of the mean and a product of few
ranks.  Two eigenvalue problems per client are what is left of the work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from clair_stats.linalg import project_off
from clair_stats.products import CutProduct, cut_product, squared_norm
from clair_stats.records import BoolArray, FloatArray
from clair_stats.refinement.error_energy import WhiteEnergy
from clair_stats.refinement.leading import Base, leading
from clair_stats.refinement.member_stack import MemberStack
from clair_stats.refinement.nearest import RefinedProduct, cut_estimates
from clair_stats.refinement.others import SCATTER_ROUNDING
from clair_stats.refinement.shrink import direction_weights

__all__ = ["refine_factors"]

Pair = tuple[FloatArray, FloatArray]
# James and Stein need three entries; with fewer the directions of the subspace are shrunk together (shrink.py).
_FEWEST_ENTRIES = 3
# As of a panel (detection/panel.py): a spread below this share of the typical entry is rounding, and a client beyond
# 2²⁶ times the usual size is nobody's neighbour.
_ROUNDING = 1e-11
_ABSURD_EXPONENT = 26
# A difference below this share of what it is the difference of is summed from its own terms: two digits are lost here.
_CANCELLED = 1e-2


def refine_factors(
    factors: Sequence[Pair],
    members: BoolArray,
    rank: int,
    *,
    most: int | None = None,
    offsets: Sequence[FloatArray] | None = None,
    with_mean: bool = False,
    single: bool = False,
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
    with_mean : bool
        Whether the members' mean, cut likewise, is the last of the list: the joint coordinates are half of its cost.
    single : bool
        The members' factors in single precision; the mean's are in double precision.

    Returns
    -------
    list of K or K + 1 CutProduct, or None
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
    stack = MemberStack.of([factors[k] for k in chosen])
    found = _distances(stack, rank)
    noise = _noise(found, stated, rank, floor=_ROUNDING * float(np.sqrt(usual / (stated[1] * stated[2]))))
    energy = WhiteEnergy(np.full(len(chosen), noise), stated[1:], found.largest_share)
    everyone = np.arange(len(chosen))
    trace, most_of_one = energy.along(everyone[:1], found.frames[0][None, :, : found.energies.shape[1]])
    errors = (np.tile(trace, (len(chosen), 1)), np.tile(most_of_one, (len(chosen), 1)))
    whole = np.column_stack([found.squares, *energy.whole(everyone)])
    own_risk = energy.whole(everyone)[0]
    along, rest = direction_weights(found.energies, errors, whole, own_risk, apart=stated[2] >= _FEWEST_ENTRIES)
    own = None if offsets is None else [offsets[k] for k in chosen]
    estimates = _estimates(stack, found, along, rest, own)
    cut = dict(zip(chosen, cut_estimates(stack, estimates, most, single=single), strict=True))
    for k in np.flatnonzero(~members).tolist():
        left, right = factors[k]
        cut[k] = cut_product((left if offsets is None else left * (1.0 + offsets[k]), right), most)
    mean = cut_estimates(stack, [RefinedProduct.of_mean(stack)] * with_mean, most)
    return [*(cut[k] for k in range(len(factors))), *mean]


class _Distances(NamedTuple):
    """How far every member is from the mean of the others."""

    frames: list[FloatArray]  # (a, m or more), the others' leading directions, orthonormal
    along: list[FloatArray]  # (m or more, b), u_iᵀD
    energies: FloatArray  # (n, m), ‖u_iᵀZ‖²
    squares: FloatArray  # (n,), ‖Z‖²
    residuals: float  # sum of squares of all members off the subspace of the fit
    largest_share: float  # λ_max over the trace of the residuals' Kronecker covariance


def _distances(stack: MemberStack, rank: int) -> _Distances:
    scatter = stack.scatter()
    if not np.trace(scatter) > _CANCELLED * float(stack.energies.sum()):
        stack = stack.about_the_mean
        scatter = stack.scatter()
    vectors, sizes = leading(scatter, min(rank + 1, len(scatter)))
    basis, largest, next_size = vectors[:, :rank], float(sizes[0]), float(sizes[rank:].sum())
    base = Base.of(scatter - stack.step * stack.mean_scatter)
    frames, coordinates, energies = [], [], []
    clear = stack.directions
    for k in range(len(stack)):
        vectors, sizes = stack.directions_without(k, base, clear)
        clear = min(clear, int(np.count_nonzero(sizes > SCATTER_ROUNDING * largest)))
        frames.append(vectors)
        coordinates.append(stack.along(vectors, k))
        energies.append(stack.step**2 * np.sum(coordinates[k] ** 2, axis=1))
    squares = stack.step**2 * np.array([stack.square(k) for k in range(len(stack))])
    rows = _rows_off(stack, basis)
    residuals = float(np.trace(rows))
    top = float(leading(rows, 1)[1][0]) * next_size
    share = top / max(residuals**2, np.finfo(float).tiny)
    own = np.array([own[:clear] for own in energies])
    return _Distances(frames, coordinates, own, squares, residuals, share)


def _rows_off(stack: MemberStack, basis: FloatArray) -> FloatArray:
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


def _noise(found: _Distances, stated: tuple[int, int, int], rank: int, *, floor: float) -> float:
    """σ from the members' residuals; 0 where they agree exactly."""
    _, p, q = stated
    freedom = (p - rank) * max((len(found.frames) - 1) * q - rank, 0)
    noise = float(np.sqrt(found.residuals / freedom)) if freedom > 0 else 0.0
    return noise if noise > floor else 0.0


def _estimates(
    stack: MemberStack,
    found: _Distances,
    along: FloatArray,
    rest: FloatArray,
    offsets: Sequence[FloatArray] | None,
) -> Iterator[RefinedProduct]:
    """X_k less its share of the way to the others along every direction."""
    count = along.shape[1]
    for k, frame in enumerate(found.frames):
        directions, coordinates = frame[:, :count], found.along[k][:count]
        weights = stack.step * (along[k] - rest[k])
        to_mean = stack.step * float(rest[k])
        own = stack.lefts[k] * (1.0 - to_mean if offsets is None else 1.0 - to_mean + offsets[k])
        inside = weights[:, None] * coordinates
        # ‖βM + G − N‖² of the own part G and what is drawn along the directions, N.
        part = directions.T @ stack.lefts[k] @ stack.rights[k]
        mean_along, own_along = part - coordinates, directions.T @ own @ stack.rights[k]
        terms = to_mean**2 * stack.mean_energy + squared_norm((own, stack.rights[k])) + float(np.sum(inside**2))
        energy = terms + 2.0 * to_mean * float(np.sum(own * stack.with_mean[k]) - np.sum(mean_along * inside))
        energy -= 2.0 * float(np.sum(own_along * inside))
        yield RefinedProduct(
            stack=stack,
            share=to_mean,
            left=np.concatenate([own, -directions], axis=1),
            right=np.concatenate([stack.rights[k], inside]),
            energy=max(energy, 0.0),
            rough=0.0 < terms * _CANCELLED <= energy,
        )
