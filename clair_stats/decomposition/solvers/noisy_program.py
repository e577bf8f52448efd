"""Program (N): the turning span, and accelerated proximal gradient where that is not certified."""

from __future__ import annotations

from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.solvers.accelerated import solve_accelerated
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.span import solve_span

__all__ = ["solve_noisy"]


def solve_noisy(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    warm_start: WarmStart | None = None,
) -> SolverPoint:
    """Solve (N).

    Parameters
    ----------
    problem, tolerance, max_iterations, accept
        As for :func:`~clair_stats.decomposition.solvers.splitting.solve_splitting`.
    warm_start : WarmStart, optional
        For the second solver: the first is faster without one.

    Returns
    -------
    SolverPoint

    References
    ----------
    docs/derivations/programs.md, sections 5 and 8.
    """
    point = solve_span(problem, tolerance=tolerance, max_iterations=max_iterations, accept=accept)
    if point is not None:
        return point
    return solve_accelerated(
        problem, tolerance=tolerance, max_iterations=max_iterations, accept=accept, warm_start=warm_start
    )
