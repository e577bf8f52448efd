"""The front door of the three programs: checks, scaling, choice of solver, certificate, status in prose."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.accelerated import solve_accelerated
from clair_stats.decomposition.certificate import Certificate, certify
from clair_stats.decomposition.conic import solve_conic
from clair_stats.decomposition.exact import solve_exact
from clair_stats.decomposition.noise_ball import solve_noise_ball
from clair_stats.decomposition.penalties import default_block_penalty
from clair_stats.decomposition.points import SolverPoint, WarmStart
from clair_stats.decomposition.problem import Problem, from_tall, penalty_window
from clair_stats.records import ClientEstimates, Decomposition, FloatArray, Status, as_client_estimates

__all__ = ["decompose"]

Solver = Literal["auto", "first_order", "conic"]


def decompose(
    estimates: ClientEstimates | ArrayLike,
    *,
    block_penalty: float | None = None,
    noise_penalty: float = 0.0,
    noise_radius: float | None = None,
    common_component: bool = True,
    solver: Solver = "auto",
    tol: float = 1e-6,
    max_iterations: int = 5000,
    shared: Literal["columns", "rows"] = "columns",
    client_weights: ArrayLike | None = None,
    warm_start: Decomposition | None = None,
    allow_degenerate: bool = False,
) -> Decomposition:
    """Split client estimates into common, low-rank and block-sparse parts, with a certificate.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        The stack X.
    block_penalty : float, optional
        λ; by default :func:`~clair_stats.decomposition.penalties.default_block_penalty`.
    noise_penalty : float
        τ ≥ 0; program (N) when positive.  Scale of the estimates.
    noise_radius : float, optional
        ε ≥ 0; program (B) when given.  Scale of the estimates.
    common_component : bool
        Whether the common component M is free (and unpenalised) or fixed to 0.
    solver : {"auto", "first_order", "conic"}
        "first_order" and "auto" iterate with exact proximal steps; "conic" is cvxpy, slow, the oracle of the tests.
    tol : float
        Stop when the duality gap is at most ``tol`` times the absolute objective.
    max_iterations : int
    shared : {"columns", "rows"}
        Which space the clients share; "rows" solves for the transposed blocks and transposes back.
    client_weights : array_like, shape (K,), optional
        ω_k > 0: the block norm becomes Σ_k ω_k‖S_k‖_F.
    warm_start : Decomposition, optional
        A solution of a neighbouring problem of the same shape; changes the time, not the answer.
    allow_degenerate : bool
        Solve also outside the window 1/√K < λ < √min(p, q), where the answer is known in advance.

    Returns
    -------
    Decomposition
        For (E) and (B) the constraint holds to rounding and blocks of S are exactly zero where no correction is needed;
        ``duality_gap`` is absolute, at the returned point.  Out of iterations: ``status`` says so and a warning is
        given; nothing raises.

    Raises
    ------
    TypeError, ValueError
        Before any work, naming the field and the remedy.

    References
    ----------
    theory.md section 2.
    """
    record = as_client_estimates(estimates)
    _check_choices(solver, shared, tol, max_iterations)
    blocks = record.dense()
    if shared == "rows":
        blocks = np.ascontiguousarray(blocks.transpose(0, 2, 1))
    n_clients, p, q = blocks.shape
    tau, radius = _check_noise(noise_penalty, noise_radius)
    weights = _check_weights(client_weights, record)
    lam = default_block_penalty(blocks, common_component=common_component) if block_penalty is None else block_penalty
    lam = _check_block_penalty(lam, block_penalty is None, weights, (n_clients, p, q), allow_degenerate)

    scale = _binary_scale(blocks)
    problem = Problem(
        np.ascontiguousarray((blocks if scale == 1.0 else blocks / scale).transpose(0, 2, 1)),
        lam * weights,
        tau / scale,
        None if radius is None else radius / scale,
        common_component,
    )
    start = None if warm_start is None else _scaled_start(warm_start, problem, scale, shared)
    point, certificate = _solve(problem, solver, tol, max_iterations, start)
    status, message = _status(certificate, tol, point, max_iterations)
    if status != "optimal":
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def border(tall: FloatArray, factor: float) -> FloatArray:
        scaled = tall if factor == 1.0 else tall * factor
        return scaled if shared == "rows" else from_tall(scaled)

    value_scale = scale * scale if problem.program == "N" else scale
    return Decomposition(
        common=border(point.common, scale),
        low_rank=border(point.low_rank, scale),
        block_sparse=border(point.block_sparse, scale),
        dual=border(certificate.dual, scale if problem.program == "N" else 1.0),
        objective=certificate.objective * value_scale,
        duality_gap=certificate.duality_gap * value_scale,
        n_iterations=point.n_iterations,
        status=status,
        message=message,
        program=problem.program,
        block_penalty=lam,
        noise_penalty=tau,
        noise_radius=radius,
        common_component=common_component,
        solver=point.method,
        shared=shared,
        client_weights=None if client_weights is None else weights,
    )


def _binary_scale(blocks: FloatArray) -> float:
    """A power of two near the largest entry, 1 when that is moderate already.

    Dividing by it is exact, and then norms of 1e-150 or 1e150 can be squared.
    """
    largest = max(float(blocks.max()), -float(blocks.min()))
    if largest == 0.0 or 1e-6 <= largest <= 1e6:
        return 1.0
    return float(2.0 ** min(max(math.frexp(largest)[1], -1000), 1000))


def _solve(
    problem: Problem, solver: Solver, tol: float, max_iterations: int, start: WarmStart | None
) -> tuple[SolverPoint, Certificate]:
    """Run one solver; every candidate is judged by the certificate, the last verdict is returned."""
    verdicts: list[Certificate] = []

    def accept(point: SolverPoint) -> float:
        verdicts[:] = [certify(problem, point.common, point.low_rank, point.block_sparse, point.dual_candidate)]
        return verdicts[-1].relative_gap

    if not problem.tall.any():
        zero = np.zeros_like(problem.tall)
        point = SolverPoint(zero[0], zero, zero, zero, 0, "closed_form")
    elif solver == "conic":
        point = solve_conic(problem, tolerance=tol, max_iterations=max_iterations)
    else:
        method = {"E": solve_exact, "B": solve_noise_ball, "N": solve_accelerated}[problem.program]
        point = method(problem, tolerance=tol, max_iterations=max_iterations, accept=accept, warm_start=start)
        return point, verdicts[-1]
    accept(point)
    return point, verdicts[-1]


def _status(certificate: Certificate, tol: float, point: SolverPoint, max_iterations: int) -> tuple[Status, str]:
    relative = certificate.relative_gap
    if relative <= tol:
        achieved = f"relative duality gap {max(relative, 0.0):.1e} ≤ {tol:.1e}"
        return "optimal", f"{point.method}: {achieved} in {point.n_iterations} iterations"
    if point.method == "conic":
        return "inaccurate", (
            f"conic: relative duality gap {relative:.1e} > {tol:.1e}; the conic solver stopped at its own criterion. "
            "Use solver='first_order', or ask for a larger tol"
        )
    return "iteration_limit", (
        f"{point.method}: relative duality gap {relative:.1e} > {tol:.1e} after {point.n_iterations} iterations. "
        f"Raise max_iterations above {max_iterations}, or ask for a larger tol"
    )


def _check_choices(solver: str, shared: str, tol: float, max_iterations: int) -> None:
    if solver not in ("auto", "first_order", "conic"):
        raise ValueError(f"solver: {solver!r} is unknown; choose 'auto', 'first_order' or 'conic'")
    if shared not in ("columns", "rows"):
        raise ValueError(f"shared: {shared!r} is unknown; choose 'columns' or 'rows'")
    if not (math.isfinite(tol) and tol > 0):
        raise ValueError(f"tol: {tol!r}; give a positive relative duality gap, such as 1e-6")
    if max_iterations < 1:
        raise ValueError(f"max_iterations: {max_iterations!r}; give at least 1")


def _check_noise(noise_penalty: float, noise_radius: float | None) -> tuple[float, float | None]:
    tau = float(noise_penalty)
    if not (math.isfinite(tau) and tau >= 0):
        raise ValueError(f"noise_penalty: {noise_penalty!r}; give τ ≥ 0 (0 chooses program (E))")
    if noise_radius is None:
        return tau, None
    radius = float(noise_radius)
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"noise_radius: {noise_radius!r}; give ε ≥ 0, or None for program (E) or (N)")
    if tau > 0:
        raise ValueError("noise_penalty and noise_radius are both given; give τ for program (N) or ε for (B), not both")
    return tau, radius


def _check_weights(client_weights: ArrayLike | None, record: ClientEstimates) -> FloatArray:
    if client_weights is None:
        return np.ones(record.n_clients)
    weights = np.asarray(client_weights, dtype=np.float64)
    if weights.shape != (record.n_clients,):
        raise ValueError(
            f"client_weights: shape {weights.shape} for {record.n_clients} clients; give one number per client"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if bad.size:
        k = int(bad[0])
        raise ValueError(f"{record.names[k]}: client_weights is {weights[k]!s}; it must be positive and finite")
    return weights


def _check_block_penalty(
    block_penalty: float, is_default: bool, weights: FloatArray, shape: tuple[int, int, int], allow_degenerate: bool
) -> float:
    lam = float(block_penalty)
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"block_penalty: {block_penalty!r}; give λ > 0, or None for the default rule")
    if is_default or allow_degenerate:
        return lam
    low, high = penalty_window(*shape)
    low, high = low * math.sqrt(shape[0]) / float(np.linalg.norm(weights)), high / float(weights.min())
    if lam <= low:
        raise ValueError(
            f"block_penalty: λ = {lam:.4g} is at or below 1/√K = {low:.4g}, where L = 0 is optimal whatever the data; "
            f"choose λ inside ({low:.4g}, {high:.4g}), or pass allow_degenerate=True"
        )
    if lam >= high:
        raise ValueError(
            f"block_penalty: λ = {lam:.4g} is at or above √min(p, q) = {high:.4g}, where S = 0 is optimal whatever the "
            f"data; choose λ inside ({low:.4g}, {high:.4g}), or pass allow_degenerate=True"
        )
    return lam


def _scaled_start(warm_start: Decomposition, problem: Problem, scale: float, shared: str) -> WarmStart:
    sparse, dual = warm_start.block_sparse, warm_start.dual
    if shared == "columns":
        sparse, dual = (np.ascontiguousarray(np.swapaxes(a, 1, 2)) for a in (sparse, dual))
    if sparse.shape != problem.tall.shape:
        raise ValueError(f"warm_start: K × q × p is {sparse.shape}, but the estimates have {problem.tall.shape}")
    bound = warm_start.noise_penalty if warm_start.program == "N" else 1.0
    return WarmStart(sparse / scale, dual / bound)
