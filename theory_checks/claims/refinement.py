"""Theorem 5: the identity of the refined error, its rate in |C|, and the sign rule of the gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.stats import t as student

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import block_norms, orthonormal_basis, project_off, stack
from clair_stats.records import FloatArray
from clair_stats.refinement.refine import refine
from clair_stats.theory import oracle_gain, refinement_error, refinement_heterogeneity, subspace_cost
from simulations.design import crossed, grid, levels
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import AlwaysRule, FrequencyRule
from theory_checks.rules.rates import SlopeRule

__all__ = ["CLAIMS"]


def _weights(instance: Instance) -> FloatArray:
    """The weights that ``refine`` uses: ∝ 1/σ_k² when the scales are known."""
    scales = instance.estimates.noise_scales
    return np.ones(instance.n_clients) if scales is None else np.asarray(scales**-2.0, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class RefinementAtTruth:
    """Refine at U* and a given set, and compare with the identity of Theorem 5."""

    name: ClassVar[str] = "oracle-refinement"

    everybody: bool = False  # sabotage: refinement without detection
    tilt: float = 0.0  # sabotage: the promise is computed at a subspace turned by about this angle

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``deviation`` relative to the estimates; ``off_subspace`` is the squared off-subspace error per client."""
        mask = instance.collaborative_set
        members = np.ones_like(mask) if self.everybody else mask
        refined = refine(instance.estimates, basis=instance.basis, collaborative_set=members)
        basis = instance.basis
        if self.tilt:
            basis = orthonormal_basis(basis + self.tilt * generator.standard_normal(basis.shape), instance.rank)
        errors = (refined.estimates - instance.targets)[mask]
        promised = refinement_error(
            instance.targets[mask], instance.errors[mask], basis=basis, weights=_weights(instance)[mask]
        )
        size = float(np.abs(instance.estimates.dense()).max())
        deviation = float(np.abs(errors - promised).max()) / size
        return {
            "deviation": deviation,
            "n_benign": float(mask.sum()),
            "off_subspace": float(np.mean(block_norms(project_off(instance.basis, errors)) ** 2)),
            "violation": float(deviation > 1e-12),
        }


@dataclass(frozen=True, kw_only=True)
class SignRule:
    """Does refinement beat local fine-tuning for a client whom the rule promises hardly any gain?

    The truth stays, the noise is drawn again ``draws`` times; the subspace is estimated from every draw (leading left
    singular vectors of the centred benign blocks).  One client per instance, drawn at random, is looked at.  The benign
    clients' differences off the subspace are scaled so that √oracle risk + cost is ``margin`` below √local risk for it,
    the cost taken from as many draws of its own.  ``counted`` is the share of the heterogeneity that the rule sees.
    """

    name: ClassVar[str] = "sign-rule"

    draws: int = 40
    margin: float = 0.05
    counted: float = 1.0  # sabotage

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``loss``: a paired t test at level 0.01 finds the refined risk larger; ``gain`` over the local risk."""
        mask = instance.collaborative_set
        targets, differences = instance.targets[mask], instance.heterogeneity[mask]
        scales = np.asarray(instance.extras["noise_scales"])[mask]
        k, size = int(generator.integers(mask.sum())), 1.0
        for _ in range(3):  # the cost depends on the differences, a little
            scaled = targets + (size - 1.0) * differences
            cost = np.sqrt(np.mean(self._draws(scaled, scales, instance, generator)[2][:, k] ** 2))
            size *= self._stretch(scaled, scales, instance, k, float(cost))
        scaled = targets + (size - 1.0) * differences
        local, refined, _ = self._draws(scaled, scales, instance, generator)
        saved = local[:, k] - refined[:, k]
        error, gain = float(saved.std(ddof=1)) / np.sqrt(self.draws), float(saved.mean())
        critical = float(student.ppf(0.99, self.draws - 1))
        return {"loss": float(gain < -critical * error), "gain": gain / float(local[:, k].mean())}

    def _stretch(self, targets: FloatArray, scales: FloatArray, instance: Instance, k: int, cost: float) -> float:
        """Factor on the differences that leaves the promised margin, 0 where even none would not."""
        weights = scales**-2.0
        bias = refinement_heterogeneity(targets, basis=instance.basis, weights=weights)
        shape = (targets.shape[1], targets.shape[2])
        promise = oracle_gain(scales, shape=shape, rank=instance.rank, heterogeneity=0.0, weights=weights)
        largest = (1.0 - self.margin) * np.sqrt(promise.local_risk[k]) - cost
        room = max(float(largest), 0.0) ** 2 - promise.oracle_risk[k]
        return float(np.sqrt(max(room, 0.0) / (self.counted * bias[k]))) if bias[k] > 0 else 1.0

    def _draws(
        self, targets: FloatArray, scales: FloatArray, instance: Instance, generator: np.random.Generator
    ) -> FloatArray:
        """Squared errors of local and refined estimates, and subspace costs, (3, draws, |C|)."""
        weights, everybody = scales**-2.0, np.ones(scales.size, dtype=np.bool_)
        found = np.empty((3, self.draws, scales.size))
        for draw in range(self.draws):
            values = targets + scales[:, None, None] * generator.standard_normal(targets.shape)
            basis = orthonormal_basis(stack(values - values.mean(axis=0)), instance.rank)
            result = refine(ClientEstimates(values=values), basis=basis, collaborative_set=everybody, weights=weights)
            found[0, draw] = block_norms(values - targets) ** 2
            found[1, draw] = block_norms(result.estimates - targets) ** 2
            found[2, draw] = subspace_cost(values, center=result.centre, basis=instance.basis, estimated_basis=basis)
        return found


_WEIGHTED = grid(
    GaussianRegime,
    n_clients=12,
    n_rows=8,
    n_columns=3,
    rank=2,
    share=0.25,
    common_scale=1.0,
    noise_scale=0.1,
    noise_spread=levels(1.0, 9.0),
    heterogeneity_scale=levels(0.0, 0.1),
)

_IDENTITY = Claim(
    identifier="refinement-identity",
    theorem=5,
    title="The error of the refined estimate, to rounding",
    statement=(
        r"At $\hat U=U^*$, $\hat C=C$: $\tilde\Theta_k-\Theta^*_k=P_UE_k+P_{U^\perp}\bar E_C+"
        r"P_{U^\perp}(\bar\Theta^*_C-\Theta^*_k)$."
    ),
    source="theory.md section 5; docs/derivations/refinement.md",
    assumptions=(),
    statistic="largest entry of the difference, relative to the largest estimate; above 1e-12 is a violation",
    rule=AlwaysRule(report=("deviation",)),
    cells=crossed(_WEIGHTED, RefinementAtTruth()),
    replications={"quick": 50, "standard": 500, "full": 5000},
    sabotage=Sabotage(
        name="refinement-without-detection",
        description="everybody is averaged, the contaminated clients too",
        cells=crossed(_WEIGHTED, RefinementAtTruth(everybody=True)),
    ),
    fine=Sabotage(
        name="subspace-turned",
        description="the identity is written at a subspace turned by an angle of 4e-13",
        cells=crossed(_WEIGHTED, RefinementAtTruth(tilt=4e-13)),
    ),
)

_COUNTS = (8, 16, 32, 64)


def _rate_regimes(contamination: str) -> tuple[GaussianRegime, ...]:
    return grid(
        GaussianRegime,
        nested=[{"n_clients": count} for count in _COUNTS],
        n_rows=8,
        n_columns=3,
        rank=2,
        share=0.25,
        noise_scale=0.1,
        contamination=contamination,
    )


_RISK_SLOPE = SlopeRule(
    abscissa="n_benign",
    ordinate="off_subspace",
    target=-1.0,
    margin=0.1,
    residual=0.34,
    spread=0.775,
    points=4,
    batches=8,
)

_RATE = Claim(
    identifier="off-subspace-rate",
    theorem=5,
    title="The off-subspace risk falls like 1/|C|",
    statement=r"$\mathrm E\|P_{U^\perp}(\tilde\Theta_k-\Theta^*_k)\|_F^2=\sigma^2(p-r)q/|C|$: slope $-1$ in $|C|$.",
    source="theory.md section 5",
    assumptions=(),
    statistic="slope of the log mean squared off-subspace error on log |C|",
    rule=_RISK_SLOPE,
    cells=crossed(_rate_regimes("coordinated"), RefinementAtTruth()),
    replications={"quick": 300, "standard": 2000, "full": 20_000},
    sabotage=Sabotage(
        name="refinement-without-detection",
        description=(
            "everybody is averaged and the contamination is identical: it does not average out, the error stays "
            "(coordinated contamination with independent coefficients would average out at the same rate)"
        ),
        cells=crossed(_rate_regimes("identical"), RefinementAtTruth(everybody=True)),
    ),
    fine=Sabotage(
        name="rate-a-little-slower",
        description="the rate is said to be −0.765 in place of −1",
        rule=replace(_RISK_SLOPE, target=-0.765),
    ),
)

_SIGN_REGIMES = grid(
    GaussianRegime,
    n_clients=30,
    n_rows=8,
    n_columns=3,
    rank=2,
    share=0.2,
    common_scale=1.0,
    noise_scale=0.1,
    noise_spread=levels(1.0, 4.0),
    heterogeneity_scale=0.05,
)

_SIGN = Claim(
    identifier="gain-sign-rule",
    theorem=5,
    title="The sign rule of the refinement gain",
    statement=(
        r"If $\sqrt{\text{oracle risk}}+\text{subspace cost}<\sqrt{\text{local risk}}$ for client $k$, then refinement "
        r"has smaller risk than local fine-tuning for that client."
    ),
    source="theory.md section 5; docs/derivations/refinement.md",
    assumptions=(),
    statistic="share of instances where a client promised a gain of 5 % of the root risk loses at level 0.01",
    rule=FrequencyRule("loss", target=0.01, direction="at_most", margin=0.03),
    cells=crossed(_SIGN_REGIMES, SignRule()),
    replications={"quick": 80, "standard": 600, "full": 6000},
    sabotage=Sabotage(
        name="heterogeneity-quartered",
        description="the rule counts a quarter of the heterogeneity of the benign clients",
        cells=crossed(_SIGN_REGIMES, SignRule(counted=0.25)),
    ),
    fine=Sabotage(
        name="heterogeneity-undercounted",
        description="the rule counts 0.42 of the heterogeneity of the benign clients",
        cells=crossed(_SIGN_REGIMES, SignRule(counted=0.42)),
    ),
)

CLAIMS = (_IDENTITY, _RATE, _SIGN)
