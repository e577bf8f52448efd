"""The front doors of the three programs: checks, scaling, compression, solver, certificate, status in prose."""

from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.certificate import Certificate, certify
from clair_stats.decomposition.compression import Compression, compress_dense, compress_factors
from clair_stats.decomposition.options import Options, Solver, check_block_penalty, check_options
from clair_stats.decomposition.penalties import default_block_penalty
from clair_stats.decomposition.problem import Problem, from_tall
from clair_stats.decomposition.solvers.accelerated import solve_accelerated
from clair_stats.decomposition.solvers.exact_program import solve_exact
from clair_stats.decomposition.solvers.noise_ball import solve_noise_ball
from clair_stats.decomposition.solvers.points import SolverPoint, WarmStart
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition, FactoredDecomposition, FloatArray, Status

__all__ = ["decompose", "decompose_factors"]

# Factors whose products would need more numbers than this (2 GiB) are not multiplied out.
_LARGEST_PRODUCT = 1 << 28


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
        The stack X.  Factors are solved in compressed coordinates and the answer is multiplied out at the end;
        :func:`decompose_factors` keeps it factored.
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
    options = check_options(
        record,
        noise_penalty=noise_penalty,
        noise_radius=noise_radius,
        common_component=common_component,
        solver=solver,
        tol=tol,
        max_iterations=max_iterations,
        shared=shared,
        client_weights=client_weights,
        allow_degenerate=allow_degenerate,
    )
    if record.factors is not None and record.n_clients * math.prod(record.block_shape) > _LARGEST_PRODUCT:
        raise ValueError(
            f"estimates: the products of these factors have {record.n_clients} × {record.block_shape} entries; "
            "use decompose_factors, which returns factors"
        )
    compression, scale = _compressed(record, options, compress=warm_start is None)
    start = None if warm_start is None else _scaled_start(warm_start, compression.core.shape, scale, shared)
    found = _solve_core(record, compression.core, scale, block_penalty, options, start)
    keep = shared == "rows"

    def border(part: FloatArray) -> FloatArray:
        tall = compression.expand(part if keep else np.swapaxes(part, -1, -2))
        return tall if keep else from_tall(tall)

    if compression.left is None and compression.right is None:
        return found
    return Decomposition(
        **{
            **vars(found),
            "common": border(found.common),
            "low_rank": border(found.low_rank),
            "block_sparse": border(found.block_sparse),
            "dual": border(found.dual),
        }
    )


def decompose_factors(
    estimates: ClientEstimates,
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
    allow_degenerate: bool = False,
) -> FactoredDecomposition:
    """:func:`decompose` for LoRA factors (B_k, A_k), answered in factors; no p × q matrix is formed.

    Parameters
    ----------
    estimates : ClientEstimates
        With ``factors``.
    block_penalty, noise_penalty, noise_radius, common_component, solver, tol, max_iterations
        As for :func:`decompose`.
    shared, client_weights, allow_degenerate
        As for :func:`decompose`.

    Returns
    -------
    FactoredDecomposition
        With M = 0 the programs live in K blocks of max_k s_k × min(p, Σ s_k) numbers, with a common component in K
        blocks of min(q, Σ s_k) × min(p, Σ s_k).

    Raises
    ------
    ValueError
        Without factors, and as :func:`decompose`.
    """
    record = as_client_estimates(estimates)
    if record.factors is None:
        raise ValueError("estimates: no factors given; use decompose for a stack (K, p, q)")
    options = check_options(
        record,
        noise_penalty=noise_penalty,
        noise_radius=noise_radius,
        common_component=common_component,
        solver=solver,
        tol=tol,
        max_iterations=max_iterations,
        shared=shared,
        client_weights=client_weights,
        allow_degenerate=allow_degenerate,
    )
    compression, scale = _compressed(record, options, compress=True)
    core = _solve_core(record, compression.core, scale, block_penalty, options, None)
    frames = (compression.left, compression.right)
    left, right = frames if shared == "columns" else frames[::-1]
    return FactoredDecomposition(core, left, right, record.block_shape)


def _compressed(record: ClientEstimates, options: Options, *, compress: bool) -> tuple[Compression, float]:
    """The stack in its coordinates, divided by a power of two; tall, transposed already for a shared row space."""
    if record.factors is not None:
        factors = record.factors
        if options.shared == "rows":
            factors = tuple((right.T, left.T) for left, right in factors)
        scale = _binary_scale(max(float(np.abs(b).max()) * float(np.abs(a).max()) for b, a in factors))
        found = compress_factors(factors, common_component=options.common_component, scale=scale)
        return found, scale
    blocks = record.dense()
    scale = _binary_scale(max(float(blocks.max()), -float(blocks.min())))
    oriented = blocks.transpose(0, 2, 1) if options.shared == "columns" else blocks
    tall = np.multiply(oriented, 1.0 / scale, order="C")
    if not compress or options.solver == "conic":
        return Compression(tall, None, None), scale
    return compress_dense(tall, common_component=options.common_component), scale


def _binary_scale(largest: float) -> float:
    """A power of two near the largest entry, 1 when that is moderate already.

    Dividing by it is exact, and then norms of 1e-150 or 1e150 can be squared.
    """
    if largest == 0.0 or 1e-6 <= largest <= 1e6:
        return 1.0
    return float(2.0 ** min(max(math.frexp(largest)[1], -1000), 1000))


def _solve_core(
    record: ClientEstimates,
    core: FloatArray,
    scale: float,
    block_penalty: float | None,
    options: Options,
    start: WarmStart | None,
) -> Decomposition:
    """Solve in the coordinates of ``core`` (tall, scaled); the record's arrays are (K, p', q'), on the data's scale."""
    # ``core`` is a fresh array: taking the mean block out in place moves M only.
    shift = core.mean(axis=0) if options.common_component else np.zeros(core.shape[1:])
    if options.common_component:
        core -= shift
    blocks = from_tall(core)
    lam = (
        default_block_penalty(blocks, common_component=options.common_component)
        if block_penalty is None
        else block_penalty
    )
    shape = (record.n_clients, *record.block_shape)
    lam = check_block_penalty(lam, block_penalty is None, options.weights, shape, options.allow_degenerate)
    radius = options.noise_radius
    problem = Problem(
        core,
        lam * options.weights,
        options.noise_penalty / scale,
        None if radius is None else radius / scale,
        options.common_component,
    )
    point, certificate = _solve(problem, options, start)
    status, message = _status(certificate, point, options)
    if status != "optimal":
        warnings.warn(message, RuntimeWarning, stacklevel=3)

    def border(tall: FloatArray, factor: float) -> FloatArray:
        scaled = tall if factor == 1.0 else tall * factor
        return scaled if options.shared == "rows" else from_tall(scaled)

    value_scale = scale * scale if problem.program == "N" else scale
    return Decomposition(
        common=border(point.common + shift, scale),
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
        noise_penalty=options.noise_penalty,
        noise_radius=radius,
        common_component=options.common_component,
        solver=point.method,
        shared=options.shared,
        client_weights=None if bool((options.weights == 1.0).all()) else options.weights,
    )


def _solve(problem: Problem, options: Options, start: WarmStart | None) -> tuple[SolverPoint, Certificate]:
    """Run one solver; every candidate is judged by the certificate, the last verdict is returned."""
    verdicts: list[Certificate] = []

    def accept(point: SolverPoint) -> float:
        verdicts[:] = [certify(problem, point.common, point.low_rank, point.block_sparse, point.dual_candidate)]
        return verdicts[-1].relative_gap

    size = float(np.linalg.norm(problem.tall))
    if size == 0.0 or (problem.noise_radius is not None and size <= problem.noise_radius):
        zero = np.zeros_like(problem.tall)
        point = SolverPoint(zero[0], zero, zero, zero, 0, "closed_form")
    elif options.solver == "conic":
        # Imported here: cvxpy takes half of the library's import time, and only this branch needs it.
        from clair_stats.decomposition.solvers.conic import solve_conic

        point = solve_conic(problem, tolerance=options.tol, max_iterations=options.max_iterations)
    else:
        method = {"E": solve_exact, "B": solve_noise_ball, "N": solve_accelerated}[problem.program]
        point = method(
            problem,
            tolerance=options.tol,
            max_iterations=options.max_iterations,
            accept=accept,
            warm_start=start,
        )
        return point, verdicts[-1]
    accept(point)
    return point, verdicts[-1]


def _status(certificate: Certificate, point: SolverPoint, options: Options) -> tuple[Status, str]:
    relative, tol = certificate.relative_gap, options.tol
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
        f"Raise max_iterations above {options.max_iterations}, or ask for a larger tol"
    )


def _scaled_start(
    warm_start: Decomposition, shape: tuple[int, ...], scale: float, shared: Literal["columns", "rows"]
) -> WarmStart:
    sparse, dual = warm_start.block_sparse, warm_start.dual
    if shared == "columns":
        sparse, dual = (np.ascontiguousarray(np.swapaxes(a, 1, 2)) for a in (sparse, dual))
    if sparse.shape != shape:
        raise ValueError(f"warm_start: K × q × p is {sparse.shape}, but the estimates have {shape}")
    bound = warm_start.noise_penalty if warm_start.program == "N" else 1.0
    return WarmStart(sparse / scale, dual / bound)
