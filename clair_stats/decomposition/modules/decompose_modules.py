"""Several modules of one network at once: the clients are shared, subspaces and common components are per module.

A client is contaminated in all modules or in none (theory.md section 6), so the block norm of the program runs over
all modules of a client.  Modules may be dense stacks or LoRA factors of any shapes; each is compressed when it is
first seen and may be loaded lazily, so what is held is one compressed stack per module.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.compression import Compression, compress_dense, compress_factors
from clair_stats.decomposition.modules.joint_solver import JointPoint, solve_modules
from clair_stats.decomposition.options import check_options
from clair_stats.decomposition.penalties import guess_rank, penalty_at_rank
from clair_stats.decomposition.problem import Problem, from_tall, tall_norms
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition as _Decomposition
from clair_stats.records import FactoredDecomposition, FloatArray, Program, Status

__all__ = ["ModulesDecomposition", "decompose_modules"]


@dataclass(frozen=True, eq=False)
class ModulesDecomposition:
    """Certified solution of the joint program; objective, gap and dual points refer to the scaled modules."""

    objective: float
    duality_gap: float  # absolute, at the stored point
    block_norms: FloatArray  # (K,), joint norm of S_k over the scaled modules; 0 for clients that need no correction
    module_scales: FloatArray  # (number of modules,), what each module was divided by
    n_iterations: int
    status: Status
    message: str
    program: Program
    block_penalty: float
    solver: str
    shared: Literal["columns", "rows"]
    _point: JointPoint = field(repr=False)
    _source: Sequence[ClientEstimates | ArrayLike] = field(repr=False)
    _shapes: tuple[tuple[int, int], ...] = field(repr=False)
    _problems: tuple[Problem, ...] = field(repr=False)
    _shifts: tuple[FloatArray, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.module_scales)

    def module(self, number: int) -> FactoredDecomposition:
        """One module on its own scale, built when asked for; ``core`` is in compressed coordinates.

        Its ``dual`` is the joint dual point's part, its ``objective`` and ``duality_gap`` those of the joint program.
        """
        point, scale, problem = self._point.module(number), float(self.module_scales[number]), self._problems[number]
        candidate = point.dual_candidate
        dual = candidate - candidate.mean(axis=0) if problem.common_component else candidate
        rows = self.shared == "rows"

        def border(tall: FloatArray) -> FloatArray:
            return tall if rows else from_tall(tall)

        core = _Decomposition(
            common=border(point.common * scale + self._shifts[number]),
            low_rank=border(point.low_rank * scale),
            block_sparse=border(point.block_sparse * scale),
            dual=border(dual * self._point.certificate.multiple),
            objective=self.objective,
            duality_gap=self.duality_gap,
            n_iterations=self.n_iterations,
            status=self.status,
            message=self.message,
            program=self.program,
            block_penalty=self.block_penalty,
            noise_penalty=problem.noise_penalty,
            noise_radius=problem.noise_radius,
            common_component=problem.common_component,
            solver=self.solver,
            shared=self.shared,
        )
        record = as_client_estimates(self._source[number])
        compression = _compressed(record, problem.common_component, self.shared, keep_frames=True)
        left, right = compression.left, compression.right
        if rows:
            left, right = right, left
        return FactoredDecomposition(core, left, right, self._shapes[number])


def decompose_modules(
    modules: Sequence[ClientEstimates | ArrayLike],
    *,
    block_penalty: float | None = None,
    noise_penalty: float = 0.0,
    noise_radius: float | None = None,
    common_component: bool = True,
    tol: float = 1e-6,
    max_iterations: int = 5000,
    shared: Literal["columns", "rows"] = "columns",
    client_weights: ArrayLike | None = None,
    scale_modules: Literal["median", "none"] = "median",
) -> ModulesDecomposition:
    """Solve the joint program of several modules that share their clients.

    Parameters
    ----------
    modules : sequence of ClientEstimates or array_like (K, p_m, q_m)
        Items are read once, in order, and one again when ``module(number)`` asks for it; nothing of them is kept but a
        compressed core.  A sequence that loads its items on access keeps memory low.
    block_penalty : float, optional
        λ; by default 1.8 √(Σ_m r̃_m/K), r̃_m the rank guess of module m.
    noise_penalty, noise_radius : float
        τ or ε of the joint program, on the scale of the *scaled* modules.
    common_component, tol, max_iterations, shared, client_weights
        As for :func:`~clair_stats.decomposition.decompose.decompose`.
    scale_modules : {"median", "none"}
        Divide each module by the median norm of its blocks (about their mean block when M is free), or not.

    Returns
    -------
    ModulesDecomposition

    Raises
    ------
    ValueError
        When modules disagree about the clients, or an option is out of range.

    References
    ----------
    theory.md section 6.
    """
    if not len(modules):
        raise ValueError("modules: none given; give one stack or set of factors per module")
    cores: list[FloatArray] = []
    scales: list[float] = []
    shifts: list[FloatArray] = []
    shapes: list[tuple[int, int]] = []
    options, names, guesses = None, None, 0
    for number in range(len(modules)):
        record = as_client_estimates(modules[number])
        if names is None:
            names = record.names
            options = check_options(
                record,
                noise_penalty=noise_penalty,
                noise_radius=noise_radius,
                common_component=common_component,
                solver="first_order",
                tol=tol,
                max_iterations=max_iterations,
                shared=shared,
                client_weights=client_weights,
                allow_degenerate=False,
            )
        if record.names != names:
            raise ValueError(
                f"modules[{number}]: its clients are not those of modules[0]; "
                "give all modules the same clients, in one order"
            )
        compression = _compressed(record, common_component, shared, keep_frames=False)
        scale = _module_scale(compression.core, common_component) if scale_modules == "median" else 1.0
        core = compression.core
        shift = core.mean(axis=0) if common_component else np.zeros(core.shape[1:])
        core = (core - shift) / scale
        cores.append(core)
        shifts.append(shift)
        scales.append(scale)
        shapes.append(record.block_shape)
        if block_penalty is None:
            guesses += guess_rank(from_tall(core), common_component=common_component)
    assert options is not None
    lam = penalty_at_rank(guesses, len(cores[0])) if block_penalty is None else float(block_penalty)
    lam = _checked_penalty(lam, block_penalty is None, options.weights, shapes)
    problems = tuple(
        Problem(core, lam * options.weights, options.noise_penalty, options.noise_radius, common_component)
        for core in cores
    )
    point = solve_modules(problems, tolerance=options.tol, max_iterations=options.max_iterations)
    certificate = point.certificate
    optimal = certificate.relative_gap <= options.tol
    message = (
        f"{point.method}: relative duality gap {max(certificate.relative_gap, 0.0):.1e} "
        f"{'≤' if optimal else '>'} {options.tol:.1e} in {point.n_iterations} iterations"
    )
    if not optimal:
        message += f". Raise max_iterations above {options.max_iterations}, or ask for a larger tol"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return ModulesDecomposition(
        certificate.objective,
        certificate.duality_gap,
        certificate.block_norms,
        np.array(scales),
        point.n_iterations,
        "optimal" if optimal else "iteration_limit",
        message,
        problems[0].program,
        lam,
        point.method,
        shared,
        point,
        modules,
        tuple(shapes),
        problems,
        tuple(shifts),
    )


def _compressed(
    record: ClientEstimates, common_component: bool, shared: Literal["columns", "rows"], *, keep_frames: bool
) -> Compression:
    if record.factors is not None:
        factors = record.factors
        if shared == "rows":
            factors = tuple((right.T, left.T) for left, right in factors)
        return compress_factors(factors, common_component=common_component, keep_frames=keep_frames)
    tall = record.dense() if shared == "rows" else np.ascontiguousarray(record.dense().transpose(0, 2, 1))
    return compress_dense(tall, common_component=common_component)


def _module_scale(core: FloatArray, common_component: bool) -> float:
    norms = tall_norms(core - core.mean(axis=0) if common_component else core)
    typical = float(np.median(norms))
    return typical if typical > 0.0 else float(norms.max()) or 1.0


def _checked_penalty(lam: float, is_default: bool, weights: FloatArray, shapes: Sequence[tuple[int, int]]) -> float:
    if not (np.isfinite(lam) and lam > 0.0):
        raise ValueError(f"block_penalty: {lam!r}; give λ > 0, or None for the default rule")
    low = 1.0 / float(np.linalg.norm(weights))
    high = float(np.sqrt(sum(min(shape) for shape in shapes))) / float(weights.min())
    if is_default:
        return float(np.clip(lam, 1.05 * low, max(0.95 * high, 1.05 * low)))
    if not low < lam < high:
        raise ValueError(
            f"block_penalty: λ = {lam:.4g} is outside ({low:.4g}, {high:.4g}), "
            "where L = 0 or S = 0 is optimal whatever the data; choose λ inside"
        )
    return lam
