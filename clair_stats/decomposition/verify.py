"""Independent verification of a solution: everything is recomputed from the data by its definition.

Nothing is shared with the solvers or with ``certificate``: singular values come from a full SVD, norms from their
definition, and the dual point is taken as it stands, not repaired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.linalg import stack
from clair_stats.records import Decomposition, FloatArray

__all__ = ["Verification", "verify_solution"]

_LAST_DIGITS = 4.0 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Verification:
    """What was found; every error is relative to the size of the estimates or to its bound.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import decompose, verify_solution
    >>> estimates = np.random.default_rng(0).standard_normal((8, 6, 4))
    >>> verify_solution(estimates, decompose(estimates)).valid
    True
    """

    objective: float  # primal objective, recomputed
    dual_objective: float  # of the recorded dual point, recomputed
    duality_gap: float  # their difference, absolute
    relative_gap: float  # over the absolute objective; 0 where the gap is rounding of the data
    constraint_error: float  # ‖X − M − L − S‖_F (E) or its excess over ε (B), over ‖X‖_F; 0 for (N)
    operator_excess: float  # ‖Q‖_op over its bound, minus 1, at least 0
    block_excess: float  # max_k ‖Q_k‖_F over its bound, minus 1, at least 0
    dual_mean: float  # ‖QΠ‖_F/‖Q‖_F; must vanish when the common component is free
    low_rank_mean: float  # ‖LΠ‖_F/‖X‖_F; likewise
    valid: bool  # all of the above within `tolerance`, gap within what the record claims
    message: str


def verify_solution(
    estimates: ClientEstimates | ArrayLike, decomposition: Decomposition, *, tolerance: float = 1e-9
) -> Verification:
    """Recompute objective, feasibility and duality gap of a decomposition from scratch.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
        The data the decomposition was computed from.
    decomposition : Decomposition
    tolerance : float
        Largest relative error of feasibility, and of the recorded objective and gap (relative to the objective,
        beyond what rounding of the data makes of both).

    Returns
    -------
    Verification
        ``valid`` proves, by weak duality, that the objective is within ``duality_gap`` of the optimum.

    Raises
    ------
    ValueError
        When the shapes do not belong together.

    References
    ----------
    theory.md section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import decompose, verify_solution
    >>> estimates = np.random.default_rng(0).standard_normal((8, 6, 4))
    >>> check = verify_solution(estimates, decompose(estimates))
    >>> check.valid, bool(check.relative_gap <= 1e-6)
    (True, True)
    """
    point = _rescaled(as_client_estimates(estimates).dense(), decomposition)
    primal, dual_value, constraint = _values(point)
    gap, rounding = primal - dual_value, _rounding(point)
    size, dual_size = float(np.linalg.norm(point.blocks)), float(np.linalg.norm(point.dual))
    operator_excess = max(0.0, float(np.linalg.norm(stack(point.dual), 2)) / point.bound - 1.0)
    block_excess = max(0.0, float((_norms(point.dual) / (point.bound * point.penalties)).max()) - 1.0)
    free = decomposition.common_component
    dual_mean = _mean_share(point.dual, dual_size) if free else 0.0
    low_rank_mean = _mean_share(point.low_rank, size) if free else _ratio(float(np.linalg.norm(point.common)), size)
    recorded = (
        _in_unit(decomposition.objective, primal, point.value_scale),
        _in_unit(decomposition.duality_gap, gap, point.value_scale),
    )
    problems = [
        f"{what} {error:.1e}"
        for what, error in (
            ("the constraint is violated by", constraint),
            ("the dual point exceeds its operator bound by", operator_excess),
            ("the dual point exceeds a block bound by", block_excess),
            ("the dual point has a mean block of", dual_mean),
            ("the common component is misplaced by", low_rank_mean),
            ("the recorded objective is off by", _beyond(abs(recorded[0] - primal), rounding, primal)),
            ("the recorded gap is off by", _beyond(abs(recorded[1] - gap), rounding, primal)),
        )
        if not error <= tolerance
    ]
    relative = _ratio(gap, primal) if gap > rounding else 0.0
    return Verification(
        objective=primal * point.value_scale,
        dual_objective=dual_value * point.value_scale,
        duality_gap=gap * point.value_scale,
        relative_gap=relative,
        constraint_error=constraint,
        operator_excess=operator_excess,
        block_excess=block_excess,
        dual_mean=dual_mean,
        low_rank_mean=low_rank_mean,
        valid=not problems,
        message=f"relative duality gap {relative:.1e}; " + ("; ".join(problems) if problems else "everything agrees"),
    )


def _in_unit(recorded: float, computed: float, scale: float) -> float:
    """A recorded value over the scale; where that, a square, left the range of numbers, so has the value."""
    if 0.0 < scale < np.inf:
        return recorded / scale
    return computed if recorded == scale or computed == 0.0 else np.inf


@dataclass(frozen=True, eq=False)
class _Point:
    """Data and solution with columns shared, divided by a power of two."""

    blocks: FloatArray  # (K, p, q)
    common: FloatArray  # (p, q)
    low_rank: FloatArray  # (K, p, q)
    block_sparse: FloatArray  # (K, p, q)
    dual: FloatArray  # (K, p, q)
    centred: FloatArray  # (K, p, q), the blocks about their mean when M is free
    penalties: FloatArray  # (K,), λω_k
    tau: float  # 0 unless (N)
    radius: float  # 0 unless (B)
    bound: float  # largest operator norm of a dual point
    value_scale: float  # objective of the data over objective of these blocks


def _rescaled(blocks: FloatArray, d: Decomposition) -> _Point:
    for name, array in (("low_rank", d.low_rank), ("block_sparse", d.block_sparse), ("dual", d.dual)):
        if array.shape != blocks.shape:
            raise ValueError(f"{name}: shape {array.shape}, but the estimates have {blocks.shape}; give matching data")

    def turn(array: FloatArray) -> FloatArray:
        return np.swapaxes(array, -1, -2) if d.shared == "rows" else array

    largest = float(np.abs(blocks).max())
    scale = 2.0 ** min(max(math.frexp(largest)[1], -1000), 1000) if largest > 0 else 1.0
    noisy = d.program == "N"
    tau = d.noise_penalty / scale
    weights = np.ones(len(blocks)) if d.client_weights is None else d.client_weights
    scaled = turn(blocks) / scale
    return _Point(
        blocks=scaled,
        common=turn(d.common) / scale,
        low_rank=turn(d.low_rank) / scale,
        block_sparse=turn(d.block_sparse) / scale,
        dual=turn(d.dual) / (scale if noisy else 1.0),
        # With QΠ = 0 the mean block of X does not enter ⟨Q, X⟩; leaving it in would only add rounding.
        centred=scaled - scaled.mean(axis=0) if d.common_component else scaled,
        penalties=d.block_penalty * weights,
        tau=tau if noisy else 0.0,
        radius=0.0 if d.noise_radius is None else d.noise_radius / scale,
        bound=tau if noisy else 1.0,
        value_scale=scale * scale if noisy else scale,
    )


def _values(point: _Point) -> tuple[float, float, float]:
    """Primal objective, dual objective and relative violation of the constraint."""
    left_over = point.blocks - point.common - point.low_rank - point.block_sparse
    nuclear = float(np.linalg.svd(stack(point.low_rank), compute_uv=False).sum())
    norms = nuclear + float(point.penalties @ _norms(point.block_sparse))
    inner = float(np.sum(point.dual * point.centred))
    if point.tau > 0.0:
        primal = 0.5 * float(np.sum(left_over**2)) + point.tau * norms
        return primal, inner - 0.5 * float(np.sum(point.dual**2)), 0.0
    violation = max(0.0, float(np.linalg.norm(left_over)) - point.radius)
    dual_value = inner - point.radius * float(np.linalg.norm(point.dual))
    return norms, dual_value, _ratio(violation, float(np.linalg.norm(point.blocks)))


def _rounding(point: _Point) -> float:
    """What of the objective M + L + S and the mean of these data leave open, rounded as they are.

    Equal clients have the objective 0, and one of rounding where their common component is a last digit off.
    """
    moved = _LAST_DIGITS * float(np.linalg.norm(point.blocks)) * math.sqrt(min(point.blocks.shape[1:]))
    if point.tau == 0.0:
        return moved
    left_over = float(np.linalg.norm(point.blocks - point.common - point.low_rank - point.block_sparse))
    return moved * (point.tau + left_over + 0.5 * moved)


def _beyond(error: float, rounding: float, reference: float) -> float:
    return _ratio(max(error - rounding, 0.0), reference)


def _norms(blocks: FloatArray) -> FloatArray:
    return np.asarray([np.linalg.norm(block) for block in blocks], dtype=np.float64)


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0.0 else value


def _mean_share(blocks: FloatArray, size: float) -> float:
    return _ratio(float(np.linalg.norm(blocks.mean(axis=0))) * math.sqrt(len(blocks)), size)
