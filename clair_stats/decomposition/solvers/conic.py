"""The three programs in cvxpy; the tests compare the other solvers with them.

CLARABEL below 60 rows and columns in all, SCS above: an interior-point method forms the dense semidefinite KKT system
and needs 2.4 GB at 20 × 200 already, where SCS needs one second.

The programs are those of docs/theory.md, section 2.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import cvxpy
import numpy as np

from clair_stats.decomposition.problem import Problem, to_tall
from clair_stats.decomposition.solvers.points import SolverPoint
from clair_stats.decomposition.solvers.prox import block_shrink
from clair_stats.linalg import stack, unstack

__all__ = ["conic_modules_program", "conic_program", "solve_conic"]

cp: Any = cvxpy  # its functions carry no types
_INTERIOR_POINT_SIZE = 60


def conic_program(problem: Problem) -> tuple[Any, Any, Any, Any, Any]:
    """(program, M, L, S, data constraint); matrices are p × qK, M is p × q or None.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    tuple
        cvxpy problem, M (or None), L, S and the constraint on the data.
    """
    n_clients, q, p = problem.tall.shape
    X = stack(problem.tall.transpose(0, 2, 1))
    M = cp.Variable((p, q)) if problem.common_component else None
    L = cp.Variable((p, q * n_clients))
    S = cp.Variable((p, q * n_clients))
    N = cp.Variable((p, q * n_clients))
    fitted = L + S + N if M is None else cp.hstack([M] * n_clients) + L + S + N
    data = fitted == X
    blocks = [S[:, k * q : (k + 1) * q] for k in range(n_clients)]
    norms = cp.normNuc(L) + cp.sum([problem.penalties[k] * cp.norm(blocks[k], "fro") for k in range(n_clients)])
    if problem.program == "E":
        return cp.Problem(cp.Minimize(norms), [data, N == 0]), M, L, S, data
    if problem.program == "B":
        return cp.Problem(cp.Minimize(norms), [data, cp.norm(N, "fro") <= problem.noise_radius]), M, L, S, data
    objective = 0.5 * cp.sum_squares(N) + problem.noise_penalty * norms
    return cp.Problem(cp.Minimize(objective), [data]), M, L, S, data


def conic_modules_program(problems: Sequence[Problem]) -> Any:  # noqa: ANN401
    """The joint program of several modules (theory.md section 6) as a cvxpy problem.

    Parameters
    ----------
    problems : sequence of Problem
        One per module.

    Returns
    -------
    cvxpy.Problem
    """
    first = problems[0]
    nuclear, noise, constraints = [], [], []
    block_parts: list[list[Any]] = [[] for _ in first.tall]
    for problem in problems:
        n_clients, q, p = problem.tall.shape
        M = cp.Variable((p, q)) if problem.common_component else np.zeros((p, q))
        L, S, N = (cp.Variable((p, q * n_clients)) for _ in range(3))
        constraints.append(cp.hstack([M] * n_clients) + L + S + N == stack(problem.tall.transpose(0, 2, 1)))
        nuclear.append(cp.normNuc(L))
        noise.append(cp.vec(N, order="F"))
        for k, parts in enumerate(block_parts):
            parts.append(cp.vec(S[:, k * q : (k + 1) * q], order="F"))
    norms = cp.sum(nuclear) + cp.sum(
        [first.penalties[k] * cp.norm(cp.hstack(parts)) for k, parts in enumerate(block_parts)]
    )
    left_over = cp.hstack(noise)
    if first.program == "N":
        return cp.Problem(cp.Minimize(0.5 * cp.sum_squares(left_over) + first.noise_penalty * norms), constraints)
    radius = 0.0 if first.noise_radius is None else first.noise_radius
    constraints.append(left_over == 0 if radius == 0.0 else cp.norm(left_over) <= radius)
    return cp.Problem(cp.Minimize(norms), constraints)


def solve_conic(problem: Problem, *, tolerance: float, max_iterations: int) -> SolverPoint:
    """Solve with cvxpy; the point is repaired to exact feasibility, and the certificate judges it like any other.

    Parameters
    ----------
    problem : Problem
    tolerance : float
        Relative duality gap.
    max_iterations : int

    Returns
    -------
    SolverPoint

    Raises
    ------
    RuntimeError
        When the conic solver returns no point at all.
    """
    n_clients, q, p = problem.tall.shape
    program, M, L, S, data = conic_program(problem)
    small = p + q * n_clients <= _INTERIOR_POINT_SIZE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "solution may be inaccurate": the duality gap says how inaccurate
        if small:
            program.solve(solver="CLARABEL")
        else:
            eps = max(min(0.1 * tolerance, 1e-6), 1e-9)
            program.solve(solver="SCS", eps_abs=eps, eps_rel=eps, max_iters=max(max_iterations, 1))
    if L.value is None or S.value is None:
        raise RuntimeError(f"the conic solver ended with status {program.status!r} and no point; use 'first_order'")
    low_rank, sparse, dual = (
        to_tall(unstack(np.asarray(value, dtype=np.float64), n_clients))
        for value in (L.value, S.value, data.dual_value)
    )
    # Solvers leave blocks of norm 1e-8 where the answer is 0.
    norms = np.linalg.norm(sparse, axis=(1, 2))
    sparse[norms <= 1e-7 * max(1.0, float(norms.max(initial=0.0)))] = 0.0
    common = np.zeros((q, p)) if M is None else np.asarray(M.value, dtype=np.float64).T
    if problem.program != "N":
        noise = problem.tall - common - low_rank - sparse
        size = float(np.linalg.norm(noise))
        radius = problem.noise_radius or 0.0
        noise *= min(1.0, radius * (1.0 - 1e-12) / size) if size > 0.0 else 0.0
        low_rank = problem.tall - sparse - noise
        common = np.zeros((q, p))
    if problem.common_component:
        mean = low_rank.mean(axis=0)
        common, low_rank = common + mean, low_rank - mean
    if problem.program == "N":
        sparse = block_shrink(problem.tall - common - low_rank, problem.block_bounds)
    if float(np.vdot(dual, problem.tall)) < 0.0:
        dual = -dual  # the sign convention of equality multipliers depends on the solver interface
    return SolverPoint(common, low_rank, sparse, dual, int(program.solver_stats.num_iters or 0), "conic")
