"""Program (N) by accelerated proximal gradient with restart.

S is minimised out: what remains is min_Z Σ_k h_k(X_k − Z_k) + τ‖Z(I − Π)‖_*, with h_k the Huber function of the block norm
at τλ_k, whose gradient is 1-Lipschitz.  A step of length one is therefore the alternating minimisation
Z ← prox(X − S(Z)); extrapolation (Nesterov) with a restart whenever the step turns back makes it accelerated.
"""

from __future__ import annotations

import numpy as np

from clair_stats.decomposition.problem import Problem
from clair_stats.decomposition.prox import block_shrink, from_tall, singular_value_threshold, tall_norms, to_tall
from clair_stats.decomposition.splitting import Accept, SolverPoint, WarmStart
from clair_stats.records import FloatArray

__all__ = ["solve_accelerated"]


def solve_accelerated(
    problem: Problem,
    *,
    tolerance: float,
    max_iterations: int,
    accept: Accept,
    warm_start: WarmStart | None = None,
) -> SolverPoint:
    """Solve (N); parameters as for :func:`~clair_stats.decomposition.splitting.solve_splitting`.

    The returned L is a thresholded matrix, so it is exactly of low rank; S is optimal for it.
    """
    x = to_tall(problem.blocks)
    n_clients, q, p = x.shape
    flat = (n_clients * q, p)
    tau = problem.noise_penalty
    bounds = problem.block_bounds
    sparse = np.zeros_like(x) if warm_start is None else to_tall(warm_start.block_sparse)
    extrapolated = previous = None
    momentum = 1.0
    point: SolverPoint | None = None
    for iteration in range(1, max_iterations + 1):
        argument = x - sparse
        mean = argument.mean(axis=0) if problem.common_component else np.zeros((q, p))
        argument -= mean
        thresholded = singular_value_threshold(argument.reshape(flat), tau)
        low_rank = thresholded.matrix.reshape(x.shape)
        candidate = argument - low_rank  # operator norm at most τ and, with M free, mean block 0
        smooth = low_rank + mean

        clipped = x - smooth
        fitted_sparse, norms = block_shrink(clipped, bounds)
        clipped -= fitted_sparse  # the residual R of the point (M, L, S)
        value = 0.5 * float(np.vdot(clipped, clipped)) + tau * thresholded.nuclear_norm + float(bounds @ norms)
        gap = value - _dual_value(x, candidate, bounds)
        if gap <= tolerance * max(value, np.finfo(np.float64).tiny) or iteration == max_iterations:
            point = SolverPoint(
                mean.T.copy(), from_tall(low_rank), from_tall(fitted_sparse), from_tall(candidate), iteration, gap
            )
            if accept(point):
                return point

        if previous is None or extrapolated is None:
            extrapolated = smooth
            sparse = fitted_sparse
        else:
            step = smooth - previous
            if float(np.vdot(extrapolated - smooth, step)) > 0.0:  # momentum points uphill: start again from here
                momentum = 1.0
            following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            extrapolated = smooth + ((momentum - 1.0) / following) * step
            momentum = following
            sparse, _ = block_shrink(x - extrapolated, bounds)
            # gradient step at the extrapolated point: Y + clip(X − Y) = X − S(Y)
        previous = smooth
    assert point is not None
    return point


def _dual_value(x: FloatArray, candidate: FloatArray, bounds: FloatArray) -> float:
    norms = tall_norms(candidate)
    with np.errstate(divide="ignore"):
        scale = min(1.0, float(np.min(bounds / norms, initial=np.inf)))
    inner, squared = float(np.vdot(candidate, x)), float(np.vdot(candidate, candidate))
    if squared == 0.0:
        return 0.0
    scale = min(scale, inner / squared)
    return scale * inner - 0.5 * scale * scale * squared
