"""Program (B): the splitting engine with a second step that leaves a ball of radius ε over.

For a stack Y the step solves  min Σ_k t_k‖S_k‖_F + ½‖Y − S − N‖_F²  subject to ‖N‖_F ≤ ε,  t_k = λ_k/ρ.  At its
solution T = Y − S − N is T_k = Y_k·min(1/(1 + α), t_k/‖Y_k‖_F) and N = αT, where α ≥ 0 solves α‖T(α)‖_F = ε: one
increasing scalar equation in the K block norms, whatever p and q.

Derived in docs/derivations/programs.md, section 5.
"""

from __future__ import annotations

import numpy as np

from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.splitting import SecondStep, solve_splitting
from clair_stats.records import FloatArray

__all__ = ["ball_step", "residual_multiplier", "solve_noise_ball"]


def residual_multiplier(norms: FloatArray, thresholds: FloatArray, radius: float) -> float:
    """α of the module's equation; infinite when Y lies inside the ball, so that N = Y and S = 0.

    With β = 1 + α the equation is (β − 1)·‖(min(n_k/β, t_k))_k‖ = ε.  Its left side increases, so bisection on the K
    norms finds β to the last bit in some fifty evaluations.

    Parameters
    ----------
    norms : ndarray, shape (K,)
        n_k = ‖Y_k‖_F.
    thresholds : ndarray, shape (K,)
        t_k, positive, scale of the norms.
    radius : float
        ε, scale of the norms.

    Returns
    -------
    float
        α.
    """
    if float(np.linalg.norm(norms)) <= radius:
        return float("inf")

    def excess(beta: float) -> float:
        return (beta - 1.0) * float(np.linalg.norm(np.minimum(norms / beta, thresholds))) - radius

    low, high = 1.0, 2.0
    while excess(high) < 0.0:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if excess(middle) < 0.0:
            low = middle
        else:
            high = middle
    return low - 1.0


def ball_step(problem: Problem) -> SecondStep:
    """Factors of S and of S + N for program (B).

    Parameters
    ----------
    problem : Problem
        Of program (B).

    Returns
    -------
    callable
        Block norms (K,) and ρ to the factors f and g, shape (K,), of S = fY and S + N = gY.
    """
    radius = problem.noise_radius
    assert radius is not None

    def factors(norms: FloatArray, rho: float) -> tuple[FloatArray, FloatArray]:
        thresholds = problem.penalties / rho
        alpha = residual_multiplier(norms, thresholds, radius)
        if np.isinf(alpha):
            return np.zeros_like(norms), np.ones_like(norms)
        with np.errstate(divide="ignore"):
            capped = np.where(norms > 0.0, thresholds / norms, np.inf)
        left = np.minimum(1.0 / (1.0 + alpha), capped)  # T = left·Y
        sparse = np.where(capped < 1.0 / (1.0 + alpha), 1.0 - (1.0 + alpha) * capped, 0.0)
        return sparse, 1.0 - left

    return factors


def solve_noise_ball(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    warm_start: WarmStart | None = None,
    partial_spectrum: bool = True,
) -> SolverPoint:
    """Solve (B); parameters as for :func:`~clair_stats.decomposition.solvers.splitting.solve_splitting`.

    Parameters
    ----------
    problem : Problem
        Of program (B).
    tolerance : float
        Relative duality gap.
    max_iterations : int
    accept : callable
        A candidate point to its relative duality gap.
    warm_start : WarmStart, optional
    partial_spectrum : bool
        False computes every spectrum in full.

    Returns
    -------
    SolverPoint
        The last point that was certified, whether or not it reached the tolerance.
    """
    return solve_splitting(
        problem,
        tolerance=tolerance,
        max_iterations=max_iterations,
        accept=accept,
        second_step=ball_step(problem),
        warm_start=warm_start,
        partial_spectrum=partial_spectrum,
        method="noise_ball",
    )
