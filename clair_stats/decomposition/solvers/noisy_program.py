"""Program (N): the turning span, and accelerated proximal gradient where that is not certified."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clair_stats.decomposition.certificate import GapCertificate, certify
from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.solvers.accelerated import solve_accelerated
from clair_stats.decomposition.solvers.exact_program import solve_exact
from clair_stats.decomposition.solvers.noise_ball import solve_noise_ball
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.span import solve_span

__all__ = ["solve_noisy"]


# Below this share of ‖X‖_F an accelerated step of length τ needs more than its 5000 iterations to cross the data.
_SMALL = 1e-3
# Balls tried: the distance to the solution is squared from one to the next.
_BALLS = 6


def _through_balls(problem: Problem, *, tolerance: float, max_iterations: int, accept: Accept) -> SolverPoint | None:
    """(N) as program (B): with Q the dual point of (B) for ε = τ‖Q‖_F, the point of (B) and τQ solve (N).

    At any ε the duality gap of (N) at these points is τ times that of (B) plus ½(ε − τ‖Q‖_F)², and Q hardly moves with
    ε where τ is small against the data, so that a few balls are enough.
    """
    tau = problem.noise_penalty
    radius, start = 0.0, None
    spent = 0
    for _ in range(_BALLS):
        ball = replace(problem, noise_penalty=0.0, noise_radius=radius if radius > 0.0 else None)
        found = _solve_ball(ball, tolerance=0.1 * tolerance, max_iterations=max_iterations, warm_start=start)
        point, certificate = found
        spent += point.n_iterations
        dual = certificate.dual
        scaled = SolverPoint(point.common, point.low_rank, point.block_sparse, tau * dual, spent, "balls")
        if accept(scaled) <= tolerance:
            return scaled
        radius = tau * float(np.linalg.norm(dual))
        start = WarmStart(point.block_sparse, dual)
    return None


def _solve_ball(
    ball: Problem, *, tolerance: float, max_iterations: int, warm_start: WarmStart | None
) -> tuple[SolverPoint, GapCertificate]:
    verdicts: list[GapCertificate] = []

    def accept(point: SolverPoint) -> float:
        verdicts[:] = [certify(ball, point.common, point.low_rank, point.block_sparse, point.dual_candidate)]
        return verdicts[-1].relative_gap

    solve = solve_exact if ball.noise_radius is None else solve_noise_ball
    point = solve(ball, tolerance=tolerance, max_iterations=max_iterations, accept=accept, warm_start=warm_start)
    return point, verdicts[-1]


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
    if problem.noise_penalty < _SMALL * float(np.linalg.norm(problem.tall)):
        point = _through_balls(problem, tolerance=tolerance, max_iterations=max_iterations, accept=accept)
        if point is not None:
            return point
    return solve_accelerated(
        problem, tolerance=tolerance, max_iterations=max_iterations, accept=accept, warm_start=warm_start
    )
