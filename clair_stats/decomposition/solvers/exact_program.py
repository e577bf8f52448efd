"""Program (E): splitting steps until the structure is identified, then its closed finish, certified or not taken."""

from __future__ import annotations

from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.solvers.identification import finish_identified
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.sketch import finish_from_sketch, worth_sketching
from clair_stats.decomposition.solvers.splitting import solve_splitting
from clair_stats.records import BoolArray, FloatArray

__all__ = ["solve_exact"]


def solve_exact(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    warm_start: WarmStart | None = None,
    identify: bool = True,
    partial_spectrum: bool = True,
) -> SolverPoint:
    """Solve (E); parameters as for :func:`~clair_stats.decomposition.solvers.splitting.solve_splitting`.

    ``identify=False`` and ``partial_spectrum=False`` give the plain twin.
    """

    def finish(support: BoolArray, basis: FloatArray, iteration: int) -> SolverPoint | None:
        return finish_identified(problem, support, basis, iteration, tolerance=tolerance)

    if identify and warm_start is None and worth_sketching(problem):
        point = finish_from_sketch(problem, tolerance=tolerance, accept=accept)
        if point is not None:
            return point
    return solve_splitting(
        problem,
        tolerance=tolerance,
        max_iterations=max_iterations,
        accept=accept,
        warm_start=warm_start,
        finish=finish if identify else None,
        partial_spectrum=partial_spectrum,
    )
