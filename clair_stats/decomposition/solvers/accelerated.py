"""Program (N) by accelerated proximal gradient with restart.

S is minimised out: what remains is min_Z Σ_k h_k(X_k − Z_k) + τ‖Z(I − Π)‖_*, with h_k the Huber function of the block
norm at τλ_k, whose gradient is 1-Lipschitz.  A step of length one is therefore the alternating minimisation
Z ← prox(X − S(Z)); extrapolation (Nesterov) with a restart whenever the step turns back makes it accelerated.

Derived in docs/derivations/programs.md, section 5; the restart is that of O'Donoghue and Candès (Found. Comput.
Math. 15(3), 2015).
"""

from __future__ import annotations

import numpy as np

from clair_stats.decomposition.problem import Problem, tall_norms
from clair_stats.decomposition.solvers.points import Accept, SolverPoint, WarmStart
from clair_stats.decomposition.solvers.prox import block_shrink
from clair_stats.decomposition.solvers.spectrum import SpectrumTracker
from clair_stats.records import FloatArray

__all__ = ["solve_accelerated"]


def solve_accelerated(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    warm_start: WarmStart | None = None,
    partial_spectrum: bool = True,
) -> SolverPoint:
    """Solve (N); parameters as for :func:`~clair_stats.decomposition.solvers.splitting.solve_splitting`.

    The returned L is a thresholded matrix, so it is exactly of low rank; S is optimal for it.

    Parameters
    ----------
    problem : Problem
        Of program (N).
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
    x = problem.tall
    tau, bounds = problem.noise_penalty, problem.block_bounds
    tracker = SpectrumTracker(centred=problem.common_component, partial=partial_spectrum)
    sparse = np.zeros_like(x) if warm_start is None else warm_start.block_sparse
    extrapolated = previous = None
    momentum = 1.0
    refused = 1.0  # how far below the estimate the next offer must be, after the certificate refused one
    point: SolverPoint | None = None
    for iteration in range(1, max_iterations + 1):
        argument = x - sparse
        mean = argument.mean(axis=0) if problem.common_component else None
        leading = tracker.threshold(argument, mean, tau)
        low_rank = (leading.scaled_left() @ leading.basis.T).reshape(x.shape)
        smooth = low_rank
        if mean is not None:
            argument -= mean
            smooth = low_rank + mean
        argument -= low_rank  # dual candidate: operator norm at most τ and, with M free, mean block 0

        left_over = x - smooth
        fitted = block_shrink(left_over, bounds)
        left_over -= fitted
        value = 0.5 * float(np.vdot(left_over, left_over)) + tau * leading.nuclear_norm
        value += float(bounds @ tall_norms(fitted))
        target = tolerance * max(value, float(np.finfo(np.float64).tiny))
        if value - _dual_value(x, argument, bounds) <= refused * target or iteration == max_iterations:
            common = np.zeros(x.shape[1:]) if mean is None else mean
            point = SolverPoint(common, low_rank, fitted, argument, iteration, "accelerated")
            achieved = accept(point)
            if achieved <= tolerance:
                return point
            tracker.distrust()
            refused *= min(0.5, tolerance / achieved)

        if previous is None or extrapolated is None:
            extrapolated, sparse = smooth, fitted
        else:
            step = smooth - previous
            if float(np.vdot(extrapolated - smooth, step)) > 0.0:  # momentum points uphill: start again from here
                momentum = 1.0
            following = 0.5 * (1.0 + float(np.sqrt(1.0 + 4.0 * momentum * momentum)))
            step *= (momentum - 1.0) / following
            step += smooth
            extrapolated, momentum = step, following
            sparse = block_shrink(x - extrapolated, bounds)  # gradient step: Y + clip(X − Y) = X − S(Y)
        previous = smooth
    assert point is not None
    return point


def _dual_value(x: FloatArray, candidate: FloatArray, bounds: FloatArray) -> float:
    norms = tall_norms(candidate)
    squared = float(norms @ norms)
    if squared == 0.0:
        return 0.0
    with np.errstate(divide="ignore"):
        scale = min(1.0, float(np.min(bounds / norms)))
    inner = float(np.vdot(candidate, x))
    scale = max(0.0, min(scale, inner / squared))
    return scale * inner - 0.5 * scale * scale * squared
