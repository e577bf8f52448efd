"""Theorem 10: least squares on the benign clients, like every other estimator, is not better than the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import orthonormal_basis, project_off, stack
from clair_stats.theory import subspace_limit
from simulations.design import crossed, grid, levels
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]

_DRAWS = 60  # errors per instance
_CONFIDENCE = 4.0  # standard errors by which the mean must stay below the limit to count as a violation


@dataclass(frozen=True, kw_only=True)
class SubspaceRisk:
    """Mean ‖sin Θ‖_F² of least squares on C, at coefficients whose r singular values are equal.

    Then the risk is the same for every U*, by equivariance, so that it is the worst one over U*.
    """

    name: ClassVar[str] = "subspace-risk"
    version: ClassVar[int] = 1

    noise_factor: float = 1.0  # sabotage: the errors are smaller than the limit is told

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``violation``: the mean is below the limit by more than its error."""
        benign = instance.collaborative_set
        coefficients = instance.coefficients[benign]
        n_benign, q, rank = coefficients.shape
        centred = (coefficients - coefficients.mean(axis=0)).reshape(n_benign * q, rank)
        even = np.linalg.qr(centred)[0] * np.linalg.norm(centred) / np.sqrt(rank)
        smallest = float(np.linalg.norm(centred)) / np.sqrt(rank)
        signal = np.einsum("pi,kqi->kpq", instance.basis, even.reshape(n_benign, q, rank))
        sigma = float(instance.extras["noise_scales"][0])
        losses = []
        for _ in range(_DRAWS):
            seen = signal + self.noise_factor * sigma * generator.standard_normal(signal.shape)
            basis = orthonormal_basis(stack(seen - seen.mean(axis=0)), rank, relative_tolerance=0.0)
            losses.append(float(np.linalg.norm(project_off(instance.basis, basis)) ** 2))
        mean, error = float(np.mean(losses)), float(np.std(losses, ddof=1)) / np.sqrt(_DRAWS)
        limit = subspace_limit(smallest, shape=instance.common.shape, rank=rank, noise_scale=sigma)
        return {
            "risk_over_limit": mean / limit,
            "limit": limit,
            "violation": float(mean + _CONFIDENCE * error < limit),
        }


_REGIMES = grid(
    GaussianRegime,
    n_clients=20,
    n_rows=levels(6, 24),
    n_columns=4,
    rank=levels(1, 4),
    share=0.25,
    noise_scale=levels(0.05, 0.5),
    contamination="coordinated",
)

CLAIM = Claim(
    identifier="subspace-limit",
    theorem=0,
    title="No estimator of the subspace beats the limit",
    statement=(
        r"$\inf_{\hat U}\sup\mathrm E\|\sin\Theta(\hat U,U^*)\|_F^2\ge\max_x\frac{\nu x^2\Phi(-x/2)}{4(1+\nu x^2)^2}$, "
        r"$\nu=r(p-r)\sigma^2/\sigma_r^2$, even with known $C$, $M^*$ and $\sigma$; here for least squares on $C$."
    ),
    source="docs/derivations/guarantee.md section 7",
    assumptions=(),
    statistic="share of instances where the mean loss of least squares on C is below the limit by four standard errors",
    rule=AlwaysRule(report=("risk_over_limit", "limit")),
    cells=crossed(_REGIMES, SubspaceRisk()),
    replications={"quick": 10, "standard": 60, "full": 600},
    sabotage=Sabotage(
        name="smaller-errors",
        description="the errors are a third of what the limit is told",
        cells=crossed(_REGIMES, SubspaceRisk(noise_factor=1 / 3)),
    ),
    fine=Sabotage(
        name="errors-a-little-smaller",
        description="the errors are 0.385 of what the limit is told",
        cells=crossed(_REGIMES, SubspaceRisk(noise_factor=0.385)),
    ),
)
