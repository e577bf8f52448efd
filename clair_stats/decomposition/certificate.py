"""Certificates: an exactly feasible dual point and the duality gap at a given primal point.

This file imports no solver.  Whatever produced a point, its gap is recomputed here from the data, so a solution can be
trusted without trusting the method behind it (weak duality is all that is used; theory.md section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clair_stats.decomposition.problem import Problem, nuclear_norm, objective, residual, tall_norms
from clair_stats.records import FloatArray

__all__ = [
    "GapCertificate",
    "JointCertificate",
    "certify",
    "certify_modules",
    "dual_objective",
    "feasible_dual",
    "operator_norm",
]

# Scaling onto the boundary of the feasible set may overshoot by rounding; this factor steps back inside.  It costs
# 1e-14 of the objective, far below every tolerance in use.
_INSIDE = 1.0 - 1e-14
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class GapCertificate:
    """What is proved about a point."""

    objective: float  # primal objective
    dual_objective: float  # at `dual`
    duality_gap: float  # objective − dual objective
    dual: FloatArray  # (K, q, p), exactly feasible
    infeasibility: float  # ‖R‖_F for (E), excess of ‖R‖_F over ε for (B), 0 for (N)

    @property
    def relative_gap(self) -> float:
        """Gap over the absolute objective."""
        return self.duality_gap / max(abs(self.objective), _TINY)


def operator_norm(tall: FloatArray) -> float:
    """‖[Q_1, …, Q_K]‖_op of a stack (K, q, p).

    The largest eigenvalue of the smaller Gram matrix; squaring costs no accuracy for the largest singular value.

    Parameters
    ----------
    tall : ndarray, shape (K, q, p)

    Returns
    -------
    float
        Scale of the stack.
    """
    matrix = tall.reshape(-1, tall.shape[2])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    return float(np.sqrt(max(np.linalg.eigvalsh(gram)[-1], 0.0)))


def dual_objective(problem: Problem, dual: FloatArray) -> float:
    """⟨Q, X⟩, minus ε‖Q‖_F for (B), minus ½‖Q‖_F² for (N).

    Parameters
    ----------
    problem : Problem
    dual : ndarray, shape (K, q, p)
        Q.

    Returns
    -------
    float
        Value of the dual objective; feasibility is not looked at.
    """
    value = float(np.vdot(dual, problem.tall))
    if problem.program == "B":
        assert problem.noise_radius is not None
        return value - problem.noise_radius * float(np.linalg.norm(dual))
    if problem.program == "N":
        return value - 0.5 * float(np.vdot(dual, dual))
    return value


def feasible_dual(problem: Problem, candidate: FloatArray, *, overwrite: bool = False) -> tuple[FloatArray, float]:
    """The best exactly feasible multiple of a candidate, after taking its mean block out when M is free, and its value.

    For (E) and (B) the dual objective is positively homogeneous, so the best multiple lies on the boundary or is 0; for
    (N) it is quadratic in the multiple, ⟨Q, X⟩/‖Q‖_F² cut at the boundary.

    Parameters
    ----------
    problem : Problem
    candidate : ndarray, shape (K, q, p)
    overwrite : bool
        Whether the dual point may take the memory of ``candidate``.

    Returns
    -------
    tuple of ndarray, shape (K, q, p), and float
        The dual point and its objective.
    """
    dual = candidate if overwrite else candidate.copy()
    if problem.common_component:
        dual -= dual.mean(axis=0)
    size = max(float(dual.max()), -float(dual.min()))
    if size == 0.0:
        return dual, 0.0
    if not 1e-100 <= size <= 1e100:
        dual *= 1.0 / size
    bounds = problem.block_bounds
    norms = tall_norms(dual)
    with np.errstate(divide="ignore", over="ignore"):
        largest = min(problem.operator_bound / operator_norm(dual), float(np.min(bounds / norms, initial=np.inf)))
    largest *= _INSIDE
    value = dual_objective(problem, dual)
    if problem.program == "N":
        squared = float(norms @ norms)
        inner = value + 0.5 * squared
        multiple = max(min(largest, inner / squared), 0.0)
        value = multiple * inner - 0.5 * multiple * multiple * squared
    else:
        multiple = largest if value > 0.0 else 0.0
        value *= multiple
    dual *= multiple
    return dual, value


def certify(
    problem: Problem,
    common: FloatArray,
    low_rank: FloatArray,
    block_sparse: FloatArray,
    candidate: FloatArray,
    *,
    overwrite: bool = False,
) -> GapCertificate:
    """Gap at the point (M, L, S), with the dual point obtained from ``candidate``.

    Parameters
    ----------
    problem : Problem
    common : ndarray, shape (q, p)
    low_rank, block_sparse : ndarray, shape (K, q, p)
    candidate : ndarray, shape (K, q, p)
        Any stack; it is centred (M free) and scaled to feasibility first, so a bad one costs a large gap, never a
        wrong one.
    overwrite : bool
        Whether the dual point may take the memory of ``candidate``: a fresh stack costs more than its arithmetic.

    Returns
    -------
    GapCertificate
        Primal and dual value, their difference, the dual point and the violation of the constraint of (E) or (B).
    """
    dual, dual_value = feasible_dual(problem, candidate, overwrite=overwrite)
    left_over = residual(problem, common, low_rank, block_sparse)
    size = float(np.linalg.norm(left_over))
    primal_value = objective(problem, low_rank, block_sparse, size, work=left_over)
    infeasibility = 0.0
    if problem.program != "N":
        infeasibility = size if problem.noise_radius is None else max(0.0, size - problem.noise_radius)
    return GapCertificate(primal_value, dual_value, primal_value - dual_value, dual, infeasibility)


@dataclass(frozen=True, eq=False)
class JointCertificate:
    """What is proved about a point of the joint program of several modules (theory.md section 6)."""

    objective: float
    dual_objective: float
    duality_gap: float
    multiple: float  # every centred dual candidate times this is feasible
    infeasibility: float
    block_norms: FloatArray  # (K,), (Σ_m ‖S_k^(m)‖_F²)^{1/2}

    @property
    def relative_gap(self) -> float:
        """Gap over the absolute objective."""
        return self.duality_gap / max(abs(self.objective), _TINY)


def certify_modules(
    problems: Sequence[Problem],
    point_of: Callable[[int], tuple[FloatArray, FloatArray, FloatArray, FloatArray]],
) -> JointCertificate:
    """Gap of the joint program, one module in memory at a time.

    Parameters
    ----------
    problems : sequence of Problem
        The modules; penalties, noise penalty and radius are those of the joint program, the same in each.
    point_of : callable
        Module number -> (M, L, S, dual candidate), as for :func:`certify`.

    Returns
    -------
    JointCertificate
        As :func:`certify`; the dual point is the candidates, centred where M is free, times one common multiple.
    """
    first = problems[0]
    values = np.zeros(4)  # Σ ‖L‖_*, Σ ‖R‖_F², Σ ⟨Q, X⟩, Σ ‖Q‖_F²
    sparse_squared, dual_squared = np.zeros(len(first.tall)), np.zeros(len(first.tall))
    largest = np.inf
    for number, problem in enumerate(problems):
        common, low_rank, block_sparse, candidate = point_of(number)
        dual = candidate - candidate.mean(axis=0) if problem.common_component else candidate
        norms = tall_norms(dual)
        dual_squared += norms**2
        norm = operator_norm(dual)
        if norm > 0.0:
            largest = min(largest, problem.operator_bound / norm)
        left_over = residual(problem, common, low_rank, block_sparse)
        values += (0.0, float(np.vdot(left_over, left_over)), float(np.vdot(dual, problem.tall)), float(norms @ norms))
        values[0] += nuclear_norm(low_rank, left_over)
        sparse_squared += tall_norms(block_sparse) ** 2
    nuclear, left_squared, inner, squared = (float(value) for value in values)
    block_norms = np.sqrt(sparse_squared)
    with np.errstate(divide="ignore"):
        largest = _INSIDE * min(largest, float(np.min(first.block_bounds / np.sqrt(dual_squared))))
    primal = nuclear + float(first.penalties @ block_norms)
    infeasibility = 0.0
    if first.program == "N":
        primal = 0.5 * left_squared + first.noise_penalty * primal
        multiple = max(min(largest, inner / squared), 0.0) if squared > 0.0 else 0.0
        value = multiple * inner - 0.5 * multiple * multiple * squared
    else:
        radius = first.noise_radius or 0.0
        value = inner - radius * float(np.sqrt(squared))
        multiple = largest if value > 0.0 else 0.0
        value *= multiple if value > 0.0 else 0.0
        infeasibility = max(0.0, float(np.sqrt(left_squared)) - radius)
    return JointCertificate(primal, value, primal - value, multiple, infeasibility, block_norms)
