"""One program in the coordinates of a compressed stack: penalty, solver, certificate, record.

The programs are those of docs/theory.md, section 2.
"""

from __future__ import annotations

import warnings

import numpy as np

from clair_stats.decomposition.certificate import GapCertificate, certify
from clair_stats.decomposition.compression import take_mean_out
from clair_stats.decomposition.options import ProgramOptions
from clair_stats.decomposition.penalties import check_block_penalty, default_block_penalty
from clair_stats.decomposition.problem import Problem, from_tall
from clair_stats.decomposition.solvers.exact_program import solve_exact
from clair_stats.decomposition.solvers.noise_ball import solve_noise_ball
from clair_stats.decomposition.solvers.noisy_program import solve_noisy
from clair_stats.decomposition.solvers.points import SolverPoint, WarmStart
from clair_stats.decomposition.status import status_of
from clair_stats.estimates import ClientEstimates
from clair_stats.records import Decomposition, FloatArray

__all__ = ["solve_core"]

_METHODS = {"E": solve_exact, "B": solve_noise_ball, "N": solve_noisy}


def solve_core(
    record: ClientEstimates,
    core: FloatArray,
    scale: float,
    block_penalty: float | None,
    options: ProgramOptions,
    start: WarmStart | None,
) -> Decomposition:
    """Solve in the coordinates of ``core``; the record's arrays are (K, p', q'), on the data's scale.

    Parameters
    ----------
    record : ClientEstimates
        Says how many clients there are and which shape they have outside these coordinates.
    core : array, shape (K, q', p')
        The stack divided by ``scale``; overwritten.
    scale : float
        A power of two.
    block_penalty : float, optional
        λ; the default rule when not given.
    options : ProgramOptions
    start : WarmStart, optional

    Returns
    -------
    Decomposition
    """
    # Taking the mean block out moves M only.
    shift = take_mean_out(core) if options.common_component else np.zeros(core.shape[1:])
    if block_penalty is None:
        lam = default_block_penalty(from_tall(core), common_component=options.common_component)
    else:
        lam = check_block_penalty(
            block_penalty,
            record.n_clients,
            [record.block_shape],
            options.weights,
            allow_degenerate=options.allow_degenerate,
        )
    program = options.program.on_scale(scale)
    problem = Problem(
        core, lam * options.weights, program.noise_penalty, program.noise_radius, options.common_component
    )
    point, certificate = _solve(problem, options, start)
    status, message = status_of(
        certificate.relative_gap, point.method, point.n_iterations, tol=options.tol, limit=options.max_iterations
    )
    if status != "optimal":
        warnings.warn(message, RuntimeWarning, stacklevel=3)

    def border(tall: FloatArray, factor: float) -> FloatArray:
        scaled = tall if factor == 1.0 else tall * factor
        return scaled if options.shared == "rows" else from_tall(scaled)

    value_scale = scale * scale if program.letter == "N" else scale
    return Decomposition(
        common=border(point.common + shift, scale),
        low_rank=border(point.low_rank, scale),
        block_sparse=border(point.block_sparse, scale),
        dual=border(certificate.dual, scale if program.letter == "N" else 1.0),
        objective=certificate.objective * value_scale,
        duality_gap=certificate.duality_gap * value_scale,
        n_iterations=point.n_iterations,
        status=status,
        message=message,
        program=program.letter,
        block_penalty=lam,
        noise_penalty=options.program.noise_penalty,
        noise_radius=options.program.noise_radius,
        common_component=options.common_component,
        solver=point.method,
        shared=options.shared,
        client_weights=None if bool((options.weights == 1.0).all()) else options.weights,
    )


def _solve(problem: Problem, options: ProgramOptions, start: WarmStart | None) -> tuple[SolverPoint, GapCertificate]:
    """Run one solver; every candidate is judged by the certificate, the last verdict is returned."""
    verdicts: list[GapCertificate] = []

    def accept(point: SolverPoint) -> float:
        parts = (point.common, point.low_rank, point.block_sparse, point.dual_candidate)
        verdicts[:] = [certify(problem, *parts, overwrite=True)]  # no solver looks at its candidate again
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
        point = _METHODS[problem.program](
            problem,
            tolerance=options.tol,
            max_iterations=options.max_iterations,
            accept=accept,
            warm_start=start,
        )
        return point, verdicts[-1]
    accept(point)
    return point, verdicts[-1]
