"""Several modules of one network at once: the clients are shared, subspaces and common components are per module.

A client is contaminated in all modules or in none (theory.md section 6), so the block norm of the program runs over
all modules of a client.  Modules may be dense stacks or LoRA factors of any shapes; each is compressed when it is
first seen and may be loaded lazily, so what is held is one compressed stack per module.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.compression import compress, take_mean_out
from clair_stats.decomposition.modules.joint_solver import JointPoint, solve_modules
from clair_stats.decomposition.modules.solution import ModulesDecomposition
from clair_stats.decomposition.options import ProgramOptions, check_options
from clair_stats.decomposition.penalties import (
    check_block_penalty,
    guess_rank,
    inside_window,
    penalty_at_rank,
    penalty_window,
)
from clair_stats.decomposition.problem import Problem, from_tall, tall_norms
from clair_stats.decomposition.programs import AnyProgram
from clair_stats.decomposition.scaling import binary_scale, largest_entry
from clair_stats.decomposition.status import status_of
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import FloatArray

__all__ = ["ModuleScaling", "decompose_modules"]

ModuleScaling: TypeAlias = Literal["median", "none"]
# Entries outside this range cannot be squared and summed; a scaled module is divided by a power of two first.
_SQUARED_SAFELY = (1e-100, 1e100)


def decompose_modules(
    modules: Sequence[ClientEstimates | ArrayLike],
    *,
    program: AnyProgram | None = None,
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
    program : Exact, Ball or Noisy, optional
        As for :func:`~clair_stats.decomposition.decompose.decompose`; τ and ε on the scale of the *scaled* modules.
    noise_penalty, noise_radius : float
        Short for ``program=Noisy(τ)`` and ``program=Ball(ε)``.
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
        When modules disagree about the clients, an option is out of range, or unscaled modules have entries whose
        squares overflow or underflow.

    References
    ----------
    theory.md section 6.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import decompose_modules
    >>> rng = np.random.default_rng(0)
    >>> modules = [rng.standard_normal((p, 1)) @ rng.standard_normal((12, 1, q)) for p, q in ((10, 6), (8, 5))]
    >>> for blocks in modules:
    ...     blocks[:2] += rng.standard_normal(blocks[:2].shape)
    >>> solution = decompose_modules(modules)
    >>> solution.status
    'optimal'
    >>> solution.module(1).block_shape
    (8, 5)
    """
    if isinstance(modules, Mapping):
        raise TypeError("modules: a mapping; give a sequence, for instance list(modules.values())")
    if not len(modules):
        raise ValueError("modules: none given; give one stack or set of factors per module")
    if scale_modules not in ("median", "none"):
        raise ValueError(f"scale_modules: {scale_modules!r} is unknown; choose 'median' or 'none'")
    first = as_client_estimates(modules[0])
    names = first.names
    options = check_options(
        first,
        program=program,
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
    loaded = tuple(
        _loaded(modules[number] if number else first, number, names, common_component, shared, scale_modules)
        for number in range(len(modules))
    )
    lam = _joint_penalty(block_penalty, loaded, options)
    asked = options.program
    problems = tuple(
        Problem(module.core, lam * options.weights, asked.noise_penalty, asked.noise_radius, common_component)
        for module in loaded
    )
    point = solve_modules(problems, tolerance=options.tol, max_iterations=options.max_iterations)
    solution = _told(modules, loaded, problems, point, options, lam)
    if solution.status != "optimal":
        warnings.warn(solution.message, RuntimeWarning, stacklevel=2)
    return solution


@dataclass(frozen=True, eq=False)
class _Loaded:
    """One module, compressed, its mean block taken out, scaled."""

    core: FloatArray  # (K, q', p')
    shift: FloatArray  # (q', p'), on the module's own scale
    scale: float
    shape: tuple[int, int]


def _told(
    modules: Sequence[ClientEstimates | ArrayLike],
    loaded: tuple[_Loaded, ...],
    problems: tuple[Problem, ...],
    point: JointPoint,
    options: ProgramOptions,
    lam: float,
) -> ModulesDecomposition:
    """The point that was found as the answer to the question that was asked."""
    certificate = point.certificate
    status, message = status_of(
        certificate.relative_gap, point.method, point.n_iterations, tol=options.tol, limit=options.max_iterations
    )
    return ModulesDecomposition(
        objective=certificate.objective,
        duality_gap=certificate.duality_gap,
        block_norms=certificate.block_norms,
        module_scales=np.array([module.scale for module in loaded]),
        n_iterations=point.n_iterations,
        status=status,
        message=message,
        program=options.program.letter,
        block_penalty=lam,
        solver=point.method,
        shared=options.shared,
        _point=point,
        _source=modules,
        _shapes=tuple(module.shape for module in loaded),
        _problems=problems,
        _shifts=tuple(module.shift for module in loaded),
    )


def _joint_penalty(block_penalty: float | None, loaded: Sequence[_Loaded], options: ProgramOptions) -> float:
    """λ of the joint program: the given one inside the window of all modules, or 1.8 √(Σ_m r̃_m/K)."""
    n_clients = len(options.weights)
    shapes = [module.shape for module in loaded]
    if block_penalty is not None:
        return check_block_penalty(block_penalty, n_clients, shapes, options.weights)
    ranks = sum(guess_rank(from_tall(m.core), common_component=options.common_component) for m in loaded)
    window = penalty_window(n_clients, *shapes, weights=options.weights)
    return inside_window(penalty_at_rank(ranks, n_clients), window)


def _loaded(
    source: ClientEstimates | ArrayLike,
    number: int,
    names: tuple[str, ...],
    common_component: bool,
    shared: Literal["columns", "rows"],
    scale_modules: ModuleScaling,
) -> _Loaded:
    record = as_client_estimates(source)
    if record.names != names:
        raise ValueError(
            f"modules[{number}]: its clients are not those of modules[0]; "
            "give all modules the same clients, in one order"
        )
    largest = largest_entry(record)
    if scale_modules == "none" and largest and not _SQUARED_SAFELY[0] <= largest <= _SQUARED_SAFELY[1]:
        raise ValueError(
            f"modules[{number}]: its largest entry is {largest:.1e}, beyond what can be squared without scaling; "
            "use scale_modules='median' or another unit"
        )
    binary = binary_scale(largest) if scale_modules == "median" else 1.0
    core = compress(record, shared=shared, common_component=common_component, scale=binary, keep_frames=False).core
    shift = take_mean_out(core) if common_component else np.zeros(core.shape[1:])
    typical = _typical_norm(core) if scale_modules == "median" else 1.0
    core /= typical
    return _Loaded(core, shift * binary, binary * typical, record.block_shape)


def _typical_norm(core: FloatArray) -> float:
    """The median norm of the blocks; the largest where more than half of them are zero, 1 where all are."""
    norms = tall_norms(core)
    typical = float(np.median(norms))
    return typical if typical > 0.0 else float(norms.max()) or 1.0
