"""The options of the solving functions, checked before any work; the block penalty is in ``penalties``.

The programs are those of docs/theory.md, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.programs import AnyProgram, Noisy, chosen_program
from clair_stats.decomposition.scaling import largest_entry
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["ProgramOptions", "Shared", "Solver", "check_options", "noise_penalty_problem"]

# Squares of numbers between these are normal numbers, with room for sums.
_LARGEST_ENTRY, _SMALLEST_ENTRY = 1e151, 1e-151
# ½‖R‖² is known to about (1e-16)² of ‖X‖², and must be known to 1e-6 of τ‖X‖: τ/‖X‖ ≥ 1e-26, with room for sums.
_SMALLEST_RATIO = 1e-20
_LARGEST_RATIO = 1e100

Solver: TypeAlias = Literal["auto", "first_order", "conic"]
Shared: TypeAlias = Literal["columns", "rows"]


@dataclass(frozen=True, eq=False)
class ProgramOptions:
    """Checked options; scales are those of the estimates."""

    program: AnyProgram
    common_component: bool
    solver: Solver
    tol: float
    max_iterations: int
    shared: Shared
    weights: FloatArray  # (K,)
    allow_degenerate: bool


def check_options(
    record: ClientEstimates,
    *,
    program: AnyProgram | None,
    noise_penalty: float,
    noise_radius: float | None,
    common_component: bool,
    solver: Solver,
    tol: float,
    max_iterations: int,
    shared: Shared,
    client_weights: ArrayLike | None,
    allow_degenerate: bool,
) -> ProgramOptions:
    """Check everything but the block penalty, whose default depends on the data.

    Parameters
    ----------
    record : ClientEstimates
    program : Exact, Ball, Noisy or None
    noise_penalty : float
        τ; the old spelling of ``Noisy(τ)``.
    noise_radius : float, optional
        ε; the old spelling of ``Ball(ε)``.
    common_component : bool
    solver : str
    tol : float
        Relative duality gap.
    max_iterations : int
    shared : {"columns", "rows"}
    client_weights : array_like, shape (K,), optional
        ω_k.
    allow_degenerate : bool
        Whether a block penalty outside its window is permitted.

    Returns
    -------
    ProgramOptions

    Raises
    ------
    TypeError, ValueError
        Naming the field and the remedy.
    """
    _check_choices(solver, shared, tol, max_iterations)
    if not isinstance(common_component, bool | np.bool_):
        raise ValueError(f"common_component: {common_component!r}; choose True or False")
    chosen = chosen_program(program, noise_penalty, noise_radius)
    problem = noise_penalty_problem(chosen.penalty, largest_entry(record)) if isinstance(chosen, Noisy) else None
    if problem is not None:
        raise ValueError(f"noise_penalty: {problem}")
    weights = _check_weights(client_weights, record)
    return ProgramOptions(
        chosen, bool(common_component), solver, float(tol), int(max_iterations), shared, weights, allow_degenerate
    )


def _check_choices(solver: str, shared: str, tol: float, max_iterations: int) -> None:
    if solver not in ("auto", "first_order", "conic"):
        raise ValueError(f"solver: {solver!r} is unknown; choose 'auto', 'first_order' or 'conic'")
    if shared not in ("columns", "rows"):
        raise ValueError(f"shared: {shared!r} is unknown; choose 'columns' or 'rows'")
    if isinstance(tol, bool) or not isinstance(tol, int | float | np.number) or not (math.isfinite(tol) and tol > 0):
        raise ValueError(f"tol: {tol!r}; give a positive relative duality gap, such as 1e-6")
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int | np.integer) or max_iterations < 1:
        raise ValueError(f"max_iterations: {max_iterations!r}; give an integer of at least 1")


def noise_penalty_problem(tau: float, largest: float) -> str | None:
    """Why (N) cannot be solved in float64 for this τ > 0 and this largest entry; None where it can.

    Its objective holds squares of the estimates and products with τ, which must be numbers and tell each other apart.

    Parameters
    ----------
    tau : float
        τ, scale of the estimates.
    largest : float
        Largest absolute entry.

    Returns
    -------
    str or None
        With the remedy.
    """
    if largest == 0.0:
        return None
    if not _SMALLEST_ENTRY <= largest <= _LARGEST_ENTRY:
        return f"the largest entry is {largest:.3g}, and (N) squares it; give the estimates in another unit"
    if tau < _SMALLEST_RATIO * largest:
        return (
            f"τ = {tau:.3g} is below {_SMALLEST_RATIO:g} of the largest entry, where rounding hides it; give a larger "
            "one, or 0 for program (E)"
        )
    if tau > _LARGEST_RATIO * largest:
        return f"τ = {tau:.3g} is beyond {_LARGEST_RATIO:g} times the largest entry; give a smaller one"
    if not _SMALLEST_ENTRY**2 <= tau * largest <= _LARGEST_ENTRY**2:
        return f"τ = {tau:.3g} times the largest entry {largest:.3g} is no normal number; give another unit"
    return None


def _check_weights(client_weights: ArrayLike | None, record: ClientEstimates) -> FloatArray:
    if client_weights is None:
        return np.ones(record.n_clients)
    raw = np.asarray(client_weights)
    if raw.dtype.kind not in "fiu":
        raise TypeError(f"client_weights: dtype {raw.dtype}; give one positive number per client")
    weights = np.asarray(raw, dtype=np.float64)
    if weights.shape != (record.n_clients,):
        raise ValueError(
            f"client_weights: shape {weights.shape} for {record.n_clients} clients; give one number per client"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if bad.size:
        k = int(bad[0])
        raise ValueError(f"{record.names[k]}: client_weights is {weights[k]!s}; it must be positive and finite")
    return weights
