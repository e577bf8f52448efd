"""Theorem 3 with high probability: radius, subspace, common component and threshold from the law of the errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import block_norms, orthonormal_basis, project_off, sin_theta, stack
from clair_stats.records import Decomposition, FloatArray
from clair_stats.theory import (
    Certificate,
    StableRecovery,
    detection_scores,
    noise_radius,
    stable_recovery,
    threshold_interval,
)
from simulations.design import crossed
from simulations.regimes.instance import Instance
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.certified import certificate_of
from theory_checks.instances.recovery import AdversarialRegime
from theory_checks.methods.solving import solve
from theory_checks.rules.decision import FrequencyRule

__all__ = ["CLAIM"]

_LEVEL = 0.01  # δ of the radius, and α of the single clients


def _with_gap(promise: StableRecovery, exact: Certificate, solution: Decomposition) -> StableRecovery:
    """The theorem is about exact solutions; a gap adds itself to the budget 2ε‖Q‖_F that every bound shares."""
    slack = 1 + max(solution.duality_gap, 0.0) / (2 * promise.radius * float(np.linalg.norm(exact.dual))) + 1e-9
    return dataclasses.replace(
        promise, off_subspace=slack * promise.off_subspace, common_error=slack * promise.common_error
    )


class _Found:
    """A solution of (B) on one draw, against everything that is promised of it."""

    def __init__(
        self,
        instance: Instance,
        exact: Certificate,
        promise: StableRecovery,
        solution: Decomposition,
        errors: FloatArray,
        scales: FloatArray,
    ) -> None:
        self.instance, self.exact, self.promise, self.errors, self.scales = instance, exact, promise, errors, scales
        low_rank, common = solution.low_rank, np.zeros(errors.shape[1:])
        if instance.extras["common_component"]:
            low_rank, common = low_rank - low_rank.mean(axis=0), solution.common + solution.low_rank.mean(axis=0)
        self.common = common
        self.span = orthonormal_basis(stack(low_rank), instance.rank, relative_tolerance=0.0)
        self.singular = float(np.linalg.svd(stack(low_rank), compute_uv=False)[instance.rank - 1])
        self.off = float(np.linalg.norm(project_off(instance.basis, low_rank)))

    def outside(self) -> bool:
        """The errors exceed the radius, or one client's do."""
        p, q = self.errors.shape[1:]
        single = noise_radius([float(self.scales[0])], shape=(p, q), level=_LEVEL / self.scales.size)
        return bool(np.linalg.norm(self.errors) > self.promise.radius or block_norms(self.errors).max() > single)

    def beyond(self) -> bool:
        """The subspace, the common component or the angle exceeds its bound."""
        shift = float(np.linalg.norm(project_off(self.instance.basis, self.common - self.instance.common)))
        return bool(
            self.off > self.promise.off_subspace
            or shift > self.promise.common_error
            or sin_theta(self.span, self.instance.basis) > self.promise.angle(self.singular)
        )

    def interval(self) -> tuple[float, float]:
        """Thresholds that are promised to return C."""
        return threshold_interval(
            self.promise,
            smallest_singular_value=self.singular,
            distances=block_norms(self.instance.targets + self.errors - self.common),
            contamination=self.instance.effective_contamination[~self.instance.collaborative_set],
            certificate=self.exact,
            noise_scales=self.scales,
            level=_LEVEL,
        )

    def wrong(self, lower: float, upper: float) -> bool:
        """A threshold of an open interval does not return C."""
        mask = self.instance.collaborative_set
        scores = detection_scores(self.instance.targets + self.errors, basis=self.span, common=self.common)
        return lower < upper and bool(scores[mask].max() > lower or np.any(scores[~mask] < upper))


@dataclass(frozen=True, kw_only=True)
class HighProbabilityMethod:
    """Add errors of scale σ = ``relative_noise`` × σ_r(L)/√(pqK), solve (B) at the radius of the law, compare all."""

    name: ClassVar[str] = "high-probability"
    version: ClassVar[int] = 3

    relative_noise: float = 1e-3
    tail_freedom: int = 0  # sabotage: Student errors of the same variance; 0: Gaussian
    noise_factor: float = 1.0  # sabotage: the errors over what is told

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``failed``: the radius, a client's error, a bound or a threshold of the interval does not hold."""
        penalty, common = instance.extras["block_penalty"], instance.extras["common_component"]
        exact = certificate_of(instance)
        if not exact.certified:
            return {"certified": 0.0, "failed": 0.0}
        scales, errors = self._errors(instance, generator)
        promise = stable_recovery(exact, noise_scales=scales, level=_LEVEL)
        solution = solve(
            instance.targets + errors,
            block_penalty=penalty,
            common_component=common,
            noise_radius=promise.radius,
            tol=1e-1 * self.relative_noise,
        )
        found = _Found(instance, exact, _with_gap(promise, exact, solution), solution, errors, scales)
        lower, upper = found.interval()
        return {
            "certified": 1.0,
            "failed": float(found.outside() or found.beyond() or found.wrong(lower, upper)),
            "open": float(lower < upper),
            "tightness": found.promise.off_subspace / max(found.off, 1e-300),
            "relative_gap": solution.duality_gap / max(abs(solution.objective), 1e-300),
        }

    def _errors(self, instance: Instance, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """The scales that are told (K,), and errors (K, p, q)."""
        shape = instance.targets.shape
        own = np.einsum("pi,kqi->kpq", instance.basis, instance.coefficients[instance.collaborative_set])
        own = own - own.mean(axis=0) if instance.extras["common_component"] else own
        smallest = float(np.linalg.svd(stack(own), compute_uv=False)[instance.rank - 1])
        sigma = self.relative_noise * smallest / np.sqrt(instance.targets.size)
        if self.tail_freedom:
            variance = self.tail_freedom / (self.tail_freedom - 2)
            errors = sigma / np.sqrt(variance) * generator.standard_t(self.tail_freedom, shape)
        else:
            errors = sigma * generator.standard_normal(shape)
        return np.full(shape[0], sigma), self.noise_factor * errors


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
    replications={"quick": 100, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="student-errors",
        description="the errors have Student's law with 3 degrees of freedom and the variance that is said",
        cells=crossed(_REGIMES, HighProbabilityMethod(tail_freedom=3)),
    ),
    fine=Sabotage(
        name="errors-a-little-larger",
        description="the errors are 1.13 times what is told",
        cells=crossed(_REGIMES, HighProbabilityMethod(noise_factor=1.13)),
    ),
    largest_gap=1e-2,
)
