"""Programs (E) and (B) by over-relaxed operator splitting (ADMM) with a balanced penalty.

The two blocks are Z = 1ᵀ⊗M + L and the pair (S, N), N being what (B) may leave over (0 for (E)).  Both proximal steps are
exact and cheap, so the method needs no step size but one penalty ρ, balanced from the residuals.  It makes no assumption
on the data and is the fallback of every faster path.  Arrays are in the tall layout of ``prox``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from clair_stats.decomposition.noise_ball import shrink_and_project
from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.prox import block_shrink, from_tall, singular_value_threshold, tall_norms, to_tall
from clair_stats.records import FloatArray

__all__ = ["SolverPoint", "WarmStart", "solve_splitting"]

_RELAXATION = 1.7
_CHECK_EVERY = 5


@dataclass(frozen=True, eq=False)
class SolverPoint:
    """A primal point, a dual candidate and how they were reached; blocks are (K, p, q)."""

    common: FloatArray
    low_rank: FloatArray
    block_sparse: FloatArray
    dual_candidate: FloatArray
    n_iterations: int
    estimated_gap: float  # the solver's own estimate; the certificate decides


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Where to start: block-sparse part and dual point of a related problem, both (K, p, q)."""

    block_sparse: FloatArray
    dual: FloatArray


Accept: TypeAlias = Callable[[SolverPoint], bool]


def _nuclear_estimate(matrix: FloatArray) -> float:
    """‖L‖_* from the Gram matrix: within 1e-7 relative, enough to decide when the exact certificate is worth its QR."""
    values = np.linalg.eigvalsh(matrix.T @ matrix)
    noise = 4.0 * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    return float(np.sqrt(values[values > noise]).sum())


def _initial_penalty(tall: FloatArray, thresholds: FloatArray) -> float:
    """ρ from the balance of the two proximal steps: thresholds λ_k/ρ at half the median block norm of X."""
    typical = float(np.median(tall_norms(tall)))
    if typical == 0.0:
        typical = float(np.linalg.norm(tall)) / np.sqrt(tall.shape[0])
    return 2.0 * float(np.median(thresholds)) / typical


def solve_splitting(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    warm_start: WarmStart | None = None,
) -> SolverPoint:
    """Solve (E) or (B).

    Parameters
    ----------
    problem : Problem
        Entries of moderate size (the front door scales them).
    tolerance : float
        Relative duality gap at which a point is offered to ``accept``.
    max_iterations : int
    accept : callable
        The certificate: called with a candidate point, True ends the iteration.
    warm_start : WarmStart, optional

    Returns
    -------
    SolverPoint
        The last candidate; its constraint holds exactly: L is X − S − N without its mean block.
    """
    x = to_tall(problem.blocks)
    n_clients, q, p = x.shape
    flat = (n_clients * q, p)
    radius = 0.0 if problem.noise_radius is None else problem.noise_radius
    penalties = problem.penalties
    rho = _initial_penalty(x - x.mean(axis=0) if problem.common_component else x, penalties)
    sparse, noise, scaled = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    if warm_start is not None:
        sparse, scaled = to_tall(warm_start.block_sparse), to_tall(warm_start.dual) / rho
    next_check = _CHECK_EVERY
    point: SolverPoint | None = None
    for iteration in range(1, max_iterations + 1):
        taken = sparse + noise if radius else sparse
        argument = x - taken
        argument += scaled
        mean = argument.mean(axis=0) if problem.common_component else None
        if mean is not None:
            argument -= mean
        thresholded = singular_value_threshold(argument.reshape(flat), 1.0 / rho)
        low_rank = thresholded.matrix.reshape(x.shape)
        candidate = argument - low_rank  # times ρ: operator norm at most 1 and, with M free, mean block 0
        smooth = low_rank if mean is None else low_rank + mean
        # over-relaxed argument of the second step: X − (αZ + (1 − α)(X − S − N)) + U
        offered = x - smooth
        primal = offered - taken
        offered = taken + _RELAXATION * primal
        offered += scaled
        if radius:
            sparse, noise, norms = shrink_and_project(offered, penalties / rho, radius)
            new_taken = sparse + noise
        else:
            sparse, norms = block_shrink(offered, penalties / rho)
            new_taken = sparse
        scaled = offered - new_taken

        primal_size = float(np.linalg.norm(primal))
        dual_size = float(np.linalg.norm(new_taken - taken))
        if iteration >= next_check or iteration == max_iterations:
            point = _candidate_point(problem, x, sparse, noise, rho * candidate, iteration, norms, radius)
            magnitude = abs(point.estimated_gap)
            value = max(float(penalties @ norms) + thresholded.nuclear_norm, np.finfo(np.float64).tiny)
            if magnitude <= 1.5 * tolerance * value and accept(point):
                return point
            ahead = 0.5 * np.log(max(magnitude / (tolerance * value), 1.0)) * 2.0
            next_check = iteration + int(np.clip(ahead, 2, 25))
        if iteration % 5 == 0 and iteration <= 200:
            ratio = np.sqrt(primal_size / max(dual_size, 1e-300)) if dual_size or primal_size else 1.0
            if ratio > 1.5 or ratio < 1 / 1.5:
                factor = float(np.clip(ratio, 0.4, 2.5))
                rho *= factor
                scaled /= factor
    assert point is not None
    accept(point)
    return point


def _candidate_point(
    problem: Problem,
    x: FloatArray,
    sparse: FloatArray,
    noise: FloatArray,
    dual: FloatArray,
    iteration: int,
    norms: FloatArray,
    radius: float,
) -> SolverPoint:
    low_rank = x - sparse
    if radius:
        low_rank -= noise
    common = np.zeros(x.shape[1:])
    if problem.common_component:
        common = low_rank.mean(axis=0)
        low_rank -= common
    nuclear = _nuclear_estimate(low_rank.reshape(-1, x.shape[2]))
    dual_norms = tall_norms(dual)
    with np.errstate(divide="ignore"):
        scale = min(1.0, float(np.min(problem.penalties / dual_norms, initial=np.inf)))
    dual_value = scale * (float(np.vdot(dual, x)) - radius * float(np.linalg.norm(dual)))
    gap = nuclear + float(problem.penalties @ norms) - dual_value
    return SolverPoint(common.T, from_tall(low_rank), from_tall(sparse), from_tall(dual), iteration, gap)
