"""Certificates: an exactly feasible dual point and the duality gap at a given primal point.

This file imports no solver.  Whatever produced a point, its gap is recomputed here from the data, so a solution can be
trusted without trusting the method behind it (weak duality is all that is used; theory.md section 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.decomposition.problem import Problem, center, objective, residual
from clair_stats.linalg import block_norms
from clair_stats.records import FloatArray

__all__ = ["Certificate", "certify", "dual_objective", "feasible_dual", "operator_norm"]

# Scaling onto the boundary of the feasible set may overshoot by rounding; this factor steps back inside.  It costs
# 1e-14 of the objective, far below every tolerance in use.
_INSIDE = 1.0 - 1e-14


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is proved about a point."""

    objective: float  # primal objective
    dual_objective: float  # at `dual`
    duality_gap: float  # objective − dual objective
    dual: FloatArray  # (K, p, q), exactly feasible
    infeasibility: float  # ‖R‖_F for (E), excess of ‖R‖_F over ε for (B), 0 for (N)


def operator_norm(blocks: FloatArray) -> float:
    """‖[Q_1, …, Q_K]‖_op.

    The largest eigenvalue of the smaller Gram matrix; squaring costs no accuracy for the largest singular value.
    """
    n_clients, p, q = blocks.shape
    if n_clients * q < p:
        wide = blocks.transpose(1, 0, 2).reshape(p, n_clients * q)
        gram = wide.T @ wide
    else:
        tall = blocks.transpose(0, 2, 1).reshape(n_clients * q, p)
        gram = tall.T @ tall
    return float(np.sqrt(max(np.linalg.eigvalsh(gram)[-1], 0.0)))


def dual_objective(problem: Problem, dual: FloatArray) -> float:
    """⟨Q, X⟩, minus ε‖Q‖_F for (B), minus ½‖Q‖_F² for (N)."""
    value = float(np.vdot(dual, problem.blocks))
    if problem.program == "B":
        assert problem.noise_radius is not None
        return value - problem.noise_radius * float(np.linalg.norm(dual))
    if problem.program == "N":
        return value - 0.5 * float(np.vdot(dual, dual))
    return value


def feasible_dual(problem: Problem, candidate: FloatArray) -> FloatArray:
    """The best exactly feasible multiple of a candidate, after taking its mean block out when M is free.

    For (E) and (B) the dual objective is positively homogeneous, so the best multiple lies on the boundary or is 0; for
    (N) it is quadratic in the multiple, ⟨Q, X⟩/‖Q‖_F² cut at the boundary.
    """
    dual = center(candidate) if problem.common_component else candidate
    size = float(np.abs(dual).max(initial=0.0))
    if size == 0.0:
        return np.zeros_like(candidate)
    dual = dual / size
    bounds = problem.block_bounds
    norms = block_norms(dual)
    with np.errstate(divide="ignore", over="ignore"):
        largest = min(problem.operator_bound / operator_norm(dual), float(np.min(bounds / norms, initial=np.inf)))
    largest *= _INSIDE
    if problem.program == "N":
        squared = float(np.vdot(dual, dual))
        largest = min(largest, float(np.vdot(dual, problem.blocks)) / squared)
    elif dual_objective(problem, dual) <= 0.0:
        largest = 0.0
    return dual * max(largest, 0.0)


def certify(
    problem: Problem, common: FloatArray, low_rank: FloatArray, block_sparse: FloatArray, candidate: FloatArray
) -> Certificate:
    """Gap at the point (M, L, S), with the dual point obtained from ``candidate``.

    Parameters
    ----------
    problem : Problem
    common : ndarray, shape (p, q)
    low_rank, block_sparse : ndarray, shape (K, p, q)
    candidate : ndarray, shape (K, p, q)
        Any matrix; it is centred (M free) and scaled to feasibility first, so a bad one costs a large gap, never a
        wrong one.
    """
    dual = feasible_dual(problem, candidate)
    primal_value = objective(problem, common, low_rank, block_sparse)
    dual_value = dual_objective(problem, dual)
    infeasibility = 0.0
    if problem.program != "N":
        size = float(np.linalg.norm(residual(problem, common, low_rank, block_sparse)))
        infeasibility = size if problem.noise_radius is None else max(0.0, size - problem.noise_radius)
    return Certificate(primal_value, dual_value, primal_value - dual_value, dual, infeasibility)
