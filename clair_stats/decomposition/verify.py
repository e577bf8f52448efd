"""A second opinion on a solution: everything recomputed from the data by plain definitions.

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


@dataclass(frozen=True)
class Verification:
    """What was found; every error is relative to the size of the estimates or to its bound."""

    objective: float  # primal objective, recomputed
    dual_objective: float  # of the recorded dual point, recomputed
    duality_gap: float  # their difference, absolute
    relative_gap: float  # over the absolute objective
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
        Largest relative error of feasibility, and of the recorded objective and gap (relative to the objective).

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
    """
    blocks = as_client_estimates(estimates).dense()
    d = decomposition
    for name, array in (("low_rank", d.low_rank), ("block_sparse", d.block_sparse), ("dual", d.dual)):
        if array.shape != blocks.shape:
            raise ValueError(f"{name}: shape {array.shape}, but the estimates have {blocks.shape}; give matching data")
    if d.shared == "rows":
        blocks = np.swapaxes(blocks, 1, 2)

    def turn(array: FloatArray) -> FloatArray:
        return np.swapaxes(array, -1, -2) if d.shared == "rows" else array

    largest = float(np.abs(blocks).max())
    scale = 2.0 ** min(max(math.frexp(largest)[1], -1000), 1000) if largest > 0 else 1.0
    dual_scale = scale if d.program == "N" else 1.0
    x, common = blocks / scale, turn(d.common) / scale
    low_rank, sparse, dual = turn(d.low_rank) / scale, turn(d.block_sparse) / scale, turn(d.dual) / dual_scale
    tau = d.noise_penalty / scale
    bound = tau if d.program == "N" else 1.0
    weights = np.ones(len(x)) if d.client_weights is None else d.client_weights
    penalties = d.block_penalty * weights

    # With QΠ = 0 the mean block of X does not enter ⟨Q, X⟩; leaving it in would only add rounding.
    centred = x - x.mean(axis=0) if d.common_component else x
    left_over = x - common - low_rank - sparse
    norms = float(np.linalg.svd(stack(low_rank), compute_uv=False).sum()) + float(penalties @ _norms(sparse))
    size = float(np.linalg.norm(x))
    constraint = 0.0
    if d.program == "N":
        primal = 0.5 * float(np.sum(left_over**2)) + tau * norms
        dual_value = float(np.sum(dual * centred)) - 0.5 * float(np.sum(dual**2))
    else:
        radius = 0.0 if d.noise_radius is None else d.noise_radius / scale
        primal = norms
        dual_value = float(np.sum(dual * centred)) - radius * float(np.linalg.norm(dual))
        constraint = _ratio(max(0.0, float(np.linalg.norm(left_over)) - radius), size)
    gap = primal - dual_value
    value_scale = scale * scale if d.program == "N" else scale
    operator_excess = max(0.0, float(np.linalg.norm(stack(dual), 2)) / bound - 1.0)
    block_excess = max(0.0, float((_norms(dual) / (bound * penalties)).max()) - 1.0)
    free = d.common_component
    dual_mean = _mean_share(dual, float(np.linalg.norm(dual))) if free else 0.0
    low_rank_mean = _mean_share(low_rank, size) if free else _ratio(float(np.linalg.norm(common)), size)

    problems = [
        f"{what} {error:.1e}"
        for what, error in (
            ("the constraint is violated by", constraint),
            ("the dual point exceeds its operator bound by", operator_excess),
            ("the dual point exceeds a block bound by", block_excess),
            ("the dual point has a mean block of", dual_mean),
            ("the common component is misplaced by", low_rank_mean),
            ("the recorded objective is off by", _ratio(abs(d.objective / value_scale - primal), primal)),
            ("the recorded gap is off by", _ratio(abs(d.duality_gap / value_scale - gap), primal)),
        )
        if not error <= tolerance
    ]
    relative = _ratio(gap, primal)
    message = f"relative duality gap {relative:.1e}; " + ("; ".join(problems) if problems else "everything agrees")
    return Verification(
        primal * value_scale,
        dual_value * value_scale,
        gap * value_scale,
        relative,
        constraint,
        operator_excess,
        block_excess,
        dual_mean,
        low_rank_mean,
        not problems,
        message,
    )


def _norms(blocks: FloatArray) -> FloatArray:
    return np.asarray([np.linalg.norm(block) for block in blocks], dtype=np.float64)


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0.0 else value


def _mean_share(blocks: FloatArray, size: float) -> float:
    return _ratio(float(np.linalg.norm(blocks.mean(axis=0))) * math.sqrt(len(blocks)), size)
