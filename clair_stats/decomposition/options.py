"""The options of the front doors, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.decomposition.problem import penalty_window
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray

__all__ = ["Options", "Shared", "Solver", "check_block_penalty", "check_options"]

Solver: TypeAlias = Literal["auto", "first_order", "conic"]
Shared: TypeAlias = Literal["columns", "rows"]


@dataclass(frozen=True, eq=False)
class Options:
    """Checked options; scales are those of the estimates."""

    noise_penalty: float
    noise_radius: float | None
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
    noise_penalty: float,
    noise_radius: float | None,
    common_component: bool,
    solver: Solver,
    tol: float,
    max_iterations: int,
    shared: Shared,
    client_weights: ArrayLike | None,
    allow_degenerate: bool,
) -> Options:
    """Check everything but the block penalty, which may depend on the data."""
    _check_choices(solver, shared, tol, max_iterations)
    tau, radius = _check_noise(noise_penalty, noise_radius)
    weights = _check_weights(client_weights, record)
    return Options(
        tau, radius, bool(common_component), solver, float(tol), int(max_iterations), shared, weights, allow_degenerate
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


def check_block_penalty(
    block_penalty: float, is_default: bool, weights: FloatArray, shape: tuple[int, int, int], allow_degenerate: bool
) -> float:
    """λ as a float, inside the penalty window unless it is the default rule's or the caller asked for more."""
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
