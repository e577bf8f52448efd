"""Functions that solve the three programs, for stacks and for LoRA factors.

The programs are those of docs/theory.md, section 2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.compression import compress
from clair_stats.decomposition.core import solve_core
from clair_stats.decomposition.options import Solver, check_options
from clair_stats.decomposition.problem import from_tall
from clair_stats.decomposition.programs import AnyProgram
from clair_stats.decomposition.scaling import binary_scale, largest_entry
from clair_stats.decomposition.solvers.points import WarmStart
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Decomposition, FactoredDecomposition, FloatArray

__all__ = ["decompose", "decompose_factors"]

# Factors whose products would need more numbers than this (2 GiB) are not multiplied out.
_LARGEST_PRODUCT = 1 << 28


def decompose(
    estimates: ClientEstimates | ArrayLike,
    *,
    program: AnyProgram | None = None,
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
    program : Exact, Ball or Noisy, optional
        What is solved: ``Exact()`` (E), ``Ball(radius)`` (B), ``Noisy(penalty)`` (N); (E) when nothing is said.
    block_penalty : float, optional
        λ; by default :func:`~clair_stats.decomposition.penalties.default_block_penalty`.
    noise_penalty, noise_radius : float
        τ > 0 is short for ``program=Noisy(τ)``, ε for ``program=Ball(ε)``.  Scale of the estimates.
    common_component : bool
        Whether the common component M is free (and unpenalised) or fixed to 0.
    solver : {"auto", "first_order", "conic"}
        "first_order" and "auto" iterate with exact proximal steps; "conic" is cvxpy, slow, for comparison in tests.
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

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import Noisy, decompose
    >>> rng = np.random.default_rng(0)
    >>> estimates = rng.standard_normal((12, 1)) @ rng.standard_normal((20, 1, 6))
    >>> estimates += 0.01 * rng.standard_normal((20, 12, 6))
    >>> estimates[:2] += rng.standard_normal((2, 12, 6))
    >>> solution = decompose(estimates, program=Noisy(0.3))
    >>> solution.status
    'optimal'
    >>> bool(solution.duality_gap <= 1e-6 * solution.objective)
    True
    >>> np.flatnonzero(np.abs(solution.block_sparse).sum(axis=(1, 2)))
    array([0, 1])
    """
    record = as_client_estimates(estimates)
    options = check_options(
        record,
        program=program,
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
    scale = binary_scale(largest_entry(record))
    compression = compress(
        record,
        shared=shared,
        common_component=options.common_component,
        scale=scale,
        shrink=warm_start is None and solver != "conic",
    )
    start = None if warm_start is None else _scaled_start(warm_start, compression.core.shape, scale, shared)
    found = solve_core(record, compression.core, scale, block_penalty, options, start)
    if compression.left is None and compression.right is None:
        return found

    def border(part: FloatArray) -> FloatArray:
        if shared == "rows":
            return compression.expand(part)
        return from_tall(compression.expand(np.swapaxes(part, -1, -2)))

    return replace(
        found,
        common=border(found.common),
        low_rank=border(found.low_rank),
        block_sparse=border(found.block_sparse),
        dual=border(found.dual),
    )


def decompose_factors(
    estimates: ClientEstimates,
    *,
    program: AnyProgram | None = None,
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
    program, block_penalty, noise_penalty, noise_radius, common_component, solver, tol, max_iterations
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

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import ClientEstimates, decompose_factors
    >>> rng = np.random.default_rng(0)
    >>> shared = rng.standard_normal((1000, 2))
    >>> factors = [(shared, rng.standard_normal((2, 800))) for _ in range(10)]
    >>> factors[0] = (rng.standard_normal((1000, 2)), factors[0][1])
    >>> solution = decompose_factors(ClientEstimates(factors=tuple(factors)))
    >>> solution.core.status
    'optimal'
    >>> np.flatnonzero(np.abs(solution.core.block_sparse).sum(axis=(1, 2)))
    array([0])
    """
    record = as_client_estimates(estimates)
    if record.factors is None:
        raise ValueError("estimates: no factors given; use decompose for a stack (K, p, q)")
    options = check_options(
        record,
        program=program,
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
    scale = binary_scale(largest_entry(record))
    compression = compress(record, shared=shared, common_component=options.common_component, scale=scale)
    core = solve_core(record, compression.core, scale, block_penalty, options, None)
    frames = (compression.left, compression.right)
    left, right = frames if shared == "columns" else frames[::-1]
    return FactoredDecomposition(core, left, right, record.block_shape)


def _scaled_start(
    warm_start: Decomposition, shape: tuple[int, ...], scale: float, shared: Literal["columns", "rows"]
) -> WarmStart:
    if not isinstance(warm_start, Decomposition):
        raise TypeError(f"warm_start: {type(warm_start).__name__}; give a Decomposition of a problem of the same shape")
    sparse, dual = warm_start.block_sparse, warm_start.dual
    if shared == "columns":
        sparse, dual = (np.ascontiguousarray(np.swapaxes(a, 1, 2)) for a in (sparse, dual))
    if sparse.shape != shape:
        raise ValueError(f"warm_start: K × q × p is {sparse.shape}, but the estimates have {shape}")
    bound = warm_start.noise_penalty if warm_start.program == "N" else 1.0
    return WarmStart(sparse / scale, dual / bound)
