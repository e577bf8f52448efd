"""Every solver returns a point whose optimality can be checked from the definitions alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.decomposition.decompose import decompose
from clair_stats.linalg import block_norms, stack
from simulations.design import crossed, grid, levels
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]

_TOL = 1e-6


@dataclass(frozen=True, kw_only=True)
class OptimalityMethod:
    """Solve one program and recompute feasibility, objective and dual objective here, from their definitions."""

    name: ClassVar[str] = "optimality"
    version: ClassVar[int] = 1

    program: str = "E"
    common_component: bool = True
    max_iterations: int = 20_000

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: infeasible beyond rounding, or a relative gap above 1e-6."""
        values = instance.estimates.dense()
        centred = values - values.mean(axis=0) if self.common_component else values
        size = float(np.linalg.norm(centred))
        lam = 1.5 * np.sqrt(instance.rank / instance.n_clients)
        tau = 0.05 * float(np.linalg.norm(stack(centred), 2)) if self.program == "N" else 0.0
        radius = 0.1 * size if self.program == "B" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            point = decompose(
                values,
                block_penalty=float(lam),
                noise_penalty=tau,
                noise_radius=radius,
                common_component=self.common_component,
                tol=_TOL / 2,
                max_iterations=self.max_iterations,
            )
        low_rank = point.low_rank - point.low_rank.mean(axis=0) if self.common_component else point.low_rank
        residual = values - point.common - point.low_rank - point.block_sparse
        norms = float(np.linalg.norm(stack(low_rank), "nuc")) + lam * float(block_norms(point.block_sparse).sum())
        misfit, pairing = float(np.linalg.norm(residual)), float(np.vdot(point.dual, values))
        if self.program == "N":
            primal, dual = 0.5 * misfit**2 + tau * norms, pairing - 0.5 * float(np.linalg.norm(point.dual) ** 2)
            infeasible = 0.0
        else:
            allowed = radius or 0.0
            primal, dual = norms, pairing - allowed * float(np.linalg.norm(point.dual))
            infeasible = max(0.0, misfit - allowed) / size
        scale = tau if self.program == "N" else 1.0
        dual_violation = max(
            float(np.linalg.norm(stack(point.dual), 2)) / scale - 1,
            float(block_norms(point.dual).max()) / (scale * lam) - 1,
            float(np.abs(point.dual.sum(axis=0)).max()) / scale if self.common_component else 0.0,
        )
        gap = (primal - dual) / abs(primal)
        return {
            "recomputed_gap": gap,
            "infeasible": infeasible,
            "dual_violation": dual_violation,
            "misreported": abs(point.duality_gap - (primal - dual)) / abs(primal),
            "violation": float(gap > _TOL or gap < -1e-9 or infeasible > 1e-9 or dual_violation > 1e-9),
        }


_REGIMES = grid(
    GaussianRegime,
    n_clients=12,
    n_rows=8,
    n_columns=3,
    rank=2,
    share=levels(0.0, 0.25),
    contamination=levels("coordinated", "random"),
    common_scale=1.0,
    noise_scale=0.1,
)[:-1]
_PROGRAMS = [(program, common) for program in ("E", "N", "B") for common in (False, True)]

CLAIM = Claim(
    identifier="solver-optimality",
    theorem=0,
    title="Every returned point is optimal, checked outside the solver",
    statement=(
        r"The point returned for (E), (N) and (B) is feasible, its dual point is feasible, and their objectives differ "
        r"by at most $10^{-6}$, relatively."
    ),
    source="theory.md section 2",
    assumptions=(),
    statistic="share of solutions with a recomputed relative gap above 1e-6, or infeasible beyond 1e-9",
    rule=AlwaysRule(report=("recomputed_gap", "dual_violation", "misreported")),
    cells=crossed(_REGIMES, [OptimalityMethod(program=p, common_component=c) for p, c in _PROGRAMS]),
    replications={"quick": 27, "standard": 100, "full": 1000},
    sabotage=Sabotage(
        name="stopped-after-three-iterations",
        description="the solvers may take three iterations only",
        cells=crossed(
            _REGIMES, [OptimalityMethod(program=p, common_component=c, max_iterations=3) for p, c in _PROGRAMS]
        ),
    ),
    fine=Sabotage(
        name="stopped-too-early",
        description="the solvers may take 84 iterations, which is too few for about one instance in fifteen",
        cells=crossed(
            _REGIMES, [OptimalityMethod(program=p, common_component=c, max_iterations=84) for p, c in _PROGRAMS]
        ),
    ),
)
