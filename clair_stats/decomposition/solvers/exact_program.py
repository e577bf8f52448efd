"""Program (E): with noise the turning span; without, splitting until the structure is identified, then its finish.

Every one of them is certified or not taken; plain splitting is what all fall back to.

Derived in docs/derivations/programs.md, sections 5 and 6.
"""

from __future__ import annotations

from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.solvers.identification import finish_identified, looks_noise_free
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.sketch import finish_from_sketch, worth_sketching
from clair_stats.decomposition.solvers.span import solve_span
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

    ``identify=False`` and ``partial_spectrum=False`` give the plain version.

    Parameters
    ----------
    problem : Problem
        Of program (E).
    tolerance : float
        Relative duality gap.
    max_iterations : int
    accept : callable
        A candidate point to its relative duality gap.
    warm_start : WarmStart, optional
    identify : bool
        False never tries to finish from an identified structure.
    partial_spectrum : bool
        False computes every spectrum in full.

    Returns
    -------
    SolverPoint
        The last point that was certified, whether or not it reached the tolerance.
    """

    def finish(support: BoolArray, basis: FloatArray, iteration: int) -> SolverPoint | None:
        return finish_identified(problem, support, basis, iteration, tolerance=tolerance)

    if identify:
        point: SolverPoint | None = None
        if not looks_noise_free(problem):
            point = solve_span(problem, tolerance=tolerance, max_iterations=max_iterations, accept=accept)
        elif warm_start is None and worth_sketching(problem):
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
