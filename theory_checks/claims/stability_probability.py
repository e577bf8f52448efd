"""Theorem 3 with high probability: radius, subspace, common component and threshold from the law of the errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import block_norms, orthonormal_basis, project_off, sin_theta, stack
from clair_stats.theory import (
    detection_scores,
    instance_certificate,
    noise_radius,
    stable_recovery,
    threshold_interval,
)
from simulations.design import crossed
from simulations.regimes.instance import Instance
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.recovery import AdversarialRegime
from theory_checks.methods.solving import solve
from theory_checks.rules.decision import FrequencyRule

__all__ = ["CLAIM"]

_LEVEL = 0.01  # δ of the radius, and α of the single clients


@dataclass(frozen=True, kw_only=True)
class HighProbabilityMethod:
    """Add errors of scale σ = ``relative_noise`` × σ_r(L)/√(pqK), solve (B) at the radius of the law, compare all."""

    name: ClassVar[str] = "high-probability"
    version: ClassVar[int] = 3

    relative_noise: float = 1e-3
    tail_freedom: int = 0  # Student errors of the same variance; 0: Gaussian

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``failed``: the radius, a client's error, a bound or a threshold of the interval does not hold."""
        mask, values = instance.collaborative_set, instance.targets
        penalty, common = instance.extras["block_penalty"], instance.extras["common_component"]
        exact = instance_certificate(
            values, basis=instance.basis, collaborative_set=mask, block_penalty=penalty, common_component=common
        )
        if not exact.certified:
            return {"certified": 0.0, "failed": 0.0}
        n_clients, p, q = values.shape
        own = np.einsum("pi,kqi->kpq", instance.basis, instance.coefficients[mask])
        own = own - own.mean(axis=0) if common else own
        smallest = float(np.linalg.svd(stack(own), compute_uv=False)[instance.rank - 1])
        sigma = self.relative_noise * smallest / np.sqrt(values.size)
        if self.tail_freedom:
            errors = generator.standard_t(self.tail_freedom, values.shape)
            errors *= sigma * np.sqrt((self.tail_freedom - 2) / self.tail_freedom)
        else:
            errors = sigma * generator.standard_normal(values.shape)
        scales = np.full(n_clients, sigma)
        promise = stable_recovery(exact, noise_scales=scales, level=_LEVEL)
        estimates = values + errors
        solution = solve(
            estimates,
            block_penalty=penalty,
            common_component=common,
            noise_radius=promise.radius,
            tol=1e-1 * self.relative_noise,
        )
        # The theorem is about exact solutions; a gap adds itself to the budget 2ε‖Q‖_F that every bound shares.
        slack = 1 + max(solution.duality_gap, 0.0) / (2 * promise.radius * float(np.linalg.norm(exact.dual))) + 1e-9
        promise = dataclasses.replace(
            promise, off_subspace=slack * promise.off_subspace, common_error=slack * promise.common_error
        )
        low_rank = solution.low_rank - solution.low_rank.mean(axis=0) if common else solution.low_rank
        centre = solution.common + solution.low_rank.mean(axis=0) if common else np.zeros((p, q))
        span = orthonormal_basis(stack(low_rank), instance.rank, relative_tolerance=0.0)
        singular = float(np.linalg.svd(stack(low_rank), compute_uv=False)[instance.rank - 1])
        off = float(np.linalg.norm(project_off(instance.basis, low_rank)))
        shift = float(np.linalg.norm(project_off(instance.basis, centre - instance.common)))
        lower, upper = threshold_interval(
            promise,
            smallest_singular_value=singular,
            distances=block_norms(estimates - centre),
            contamination=instance.effective_contamination[~mask],
            certificate=exact,
            noise_scales=scales,
            level=_LEVEL,
        )
        scores = detection_scores(estimates, basis=span, common=centre)
        wrong = lower < upper and (scores[mask].max() > lower or bool(np.any(scores[~mask] < upper)))
        single = noise_radius([sigma], shape=(p, q), level=_LEVEL / n_clients)
        outside = np.linalg.norm(errors) > promise.radius or block_norms(errors).max() > single
        beyond = (
            off > promise.off_subspace
            or shift > promise.common_error
            or sin_theta(span, instance.basis) > promise.angle(singular)
        )
        return {
            "certified": 1.0,
            "failed": float(outside or beyond or wrong),
            "open": float(lower < upper),
            "tightness": promise.off_subspace / max(off, 1e-300),
            "relative_gap": solution.duality_gap / max(abs(solution.objective), 1e-300),
        }


_REGIMES = tuple(
    AdversarialRegime(common_component=common, lowest=0.2, highest=0.8, largest_clients=12) for common in (False, True)
)

CLAIM = Claim(
    identifier="stability-probability",
    theorem=3,
    title="Stable recovery with high probability",
    statement=(
        r"For sub-Gaussian errors $\|E\|_F\le\varepsilon=\sigma(\sqrt{pqK}+\sqrt{2\log 1/\delta})$ with probability "
        r"$1-\delta$; then $\|P_{U^\perp}\hat L\|_F\le c_\sharp\varepsilon$, $\hat m\le c_\sharp\varepsilon/\sqrt K$, "
        r"$\hat s\le c_\sharp\varepsilon/\sigma_r(\hat L)$, and every threshold of the interval returns $C$ with "
        r"probability $1-\delta-\alpha$."
    ),
    source="docs/derivations/stability.md section 6",
    assumptions=(Assumption("the noiseless instance is certified", "certified"),),
    statistic="share of draws where the radius, a client's error, a bound or a threshold does not hold; δ = α = 0.01",
    rule=FrequencyRule("failed", target=2 * _LEVEL, direction="at_most", margin=0.03),
    cells=crossed(_REGIMES, HighProbabilityMethod()),
    replications={"quick": 50, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="student-errors",
        description="the errors have Student's law with 3 degrees of freedom and the variance that is said",
        cells=crossed(_REGIMES, HighProbabilityMethod(tail_freedom=3)),
    ),
    largest_gap=1e-2,
)
