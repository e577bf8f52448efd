"""Guess support and rank on a small random image of the stack, so that large stacks are touched a few times only.

A common random map on either side, Y_k = GᵀX_kΩ with G p × p̃ and Ω q × q̃, keeps what program (E) looks for: benign
blocks stay a common block plus a stack of rank r, contaminated ones stay contaminated.  The splitting steps that settle
the structure are then taken at p̃ × q̃ per client, and the full stack enters only in the finish of ``identification`` and
in the certificate, which decides.  G and Ω come from a fixed stream of their own: the same data give the same answer.

See docs/derivations/programs.md, section 6.
"""

from __future__ import annotations

import numpy as np

from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.solvers.identification import finish_identified
from clair_stats.decomposition.solvers.points import Accept, SolverPoint
from clair_stats.decomposition.solvers.splitting import solve_splitting
from clair_stats.records import BoolArray, FloatArray

__all__ = ["finish_from_sketch", "sketched_problem", "worth_sketching"]

_ROWS = 64
_COLUMNS = 24
_STEPS = 16


def worth_sketching(problem: Problem) -> bool:
    """Whether the image is at most a quarter of the stack.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    bool
    """
    _, q, p = problem.tall.shape
    return bool(4 * min(p, _ROWS) * min(q, _COLUMNS) <= p * q)


def sketched_problem(problem: Problem) -> Problem:
    """The same program for GᵀX_kΩ, at most 64 × 24 per client.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Problem
    """
    _, q, p = problem.tall.shape
    generator = np.random.default_rng(20260521)
    tall = problem.tall
    if q > _COLUMNS:
        columns = generator.standard_normal((_COLUMNS, q)) / np.sqrt(_COLUMNS)
        tall = columns @ tall
    if p > _ROWS:
        tall = tall @ (generator.standard_normal((p, _ROWS)) / np.sqrt(_ROWS))
    return Problem(tall, problem.penalties, common_component=problem.common_component)


def finish_from_sketch(problem: Problem, *, tolerance: float, accept: Accept) -> SolverPoint | None:
    """A certified solution of (E) from structure settled on the sketch, or None.

    Parameters
    ----------
    problem : Problem
        Of program (E), the full one.
    tolerance : float
        Relative duality gap.
    accept : callable
        A candidate point of the full problem to its relative duality gap.

    Returns
    -------
    SolverPoint or None
    """
    _, _, p = problem.tall.shape
    found: list[SolverPoint] = []

    def finish(support: BoolArray, basis: FloatArray, iteration: int) -> SolverPoint | None:
        # The benign stack is exactly of the sketch's rank, so any start of that width reaches its row space.
        start = np.random.default_rng(iteration).standard_normal((p, basis.shape[1]))
        point = finish_identified(problem, support, start, iteration, tolerance=tolerance)
        if point is not None and accept(point) <= tolerance:
            found.append(point)
        return point

    def verdict(_: SolverPoint) -> float:
        return 0.0 if found else np.inf

    solve_splitting(
        sketched_problem(problem), tolerance=tolerance, max_iterations=_STEPS, accept=verdict, finish=finish
    )
    return found[-1] if found else None
