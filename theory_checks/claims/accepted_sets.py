"""Theorem 6: where its assumptions hold, no majority that agrees holds a contaminated client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import project_off
from clair_stats.records import FloatArray
from clair_stats.theory import accepted_sets, chi_square_tolerances
from simulations.design import crossed
from simulations.regimes.instance import Instance
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.rival_sets import RivalRegime, bad_set_is_accepted
from theory_checks.rules.decision import AlwaysRule

__all__ = ["CLAIM"]

_LARGEST = 1e3  # contamination in noise norms beyond which the theorem counts as silent on an instance
_HALVINGS = 9  # bisection of the contamination that the theorem needs, relative 2 %
_SMALLEST_SHARE = 0.02  # of the needed contamination, where the search for a successful attack starts
_ATTACKS = 5  # bisections of the share at which the attack succeeds, relative 13 %


def _contaminated(values: FloatArray, instance: Instance, size: float) -> FloatArray:
    moved = values.copy()
    moved[~instance.collaborative_set] += size * instance.extras["directions"]
    return moved


@dataclass(frozen=True, kw_only=True)
class AcceptedSetsMethod:
    """Contaminate by as little as the theorem needs, and search for an accepted set that it excludes."""

    name: ClassVar[str] = "accepted-sets"
    version: ClassVar[int] = 1

    generic: bool = False  # sabotage: the theorem is given coefficients in general position in place of the true ones
    divisor: float = 1.0  # sabotage: the contamination that the theorem needs is said to be this many times smaller

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``tightness``: what the theorem needs over the largest contamination at which the attack succeeded."""
        benign, sigma = instance.collaborative_set, instance.extras["noise_scale"]
        values = instance.estimates.dense()
        _, p, q = values.shape
        scales = np.full(benign.size, sigma)
        tolerances = chi_square_tolerances(scales, shape=(p, q), rank=instance.rank)
        believed = values
        if self.generic:
            inside = generator.standard_normal((benign.size, instance.rank, q))
            believed = instance.common + project_off(instance.basis, values - instance.common)
            believed = believed + np.einsum("pi,kiq->kpq", instance.basis, inside)
        unit = sigma * np.sqrt((p - instance.rank) * q)

        def promised(size: float) -> bool:
            return accepted_sets(
                _contaminated(believed, instance, size * unit),
                basis=instance.basis,
                common=instance.common,
                collaborative_set=benign,
                tolerances=tolerances,
                noise_scales=scales,
            ).contained

        if not promised(_LARGEST):
            return {"applies": 0.0, "violation": 0.0, "needed": np.nan, "tightness": np.nan}
        low, high = np.log(0.1), np.log(_LARGEST)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if promised(float(np.exp(middle))) else (middle, high)
        needed = float(np.exp(high)) / self.divisor

        def broken(size: float) -> bool:
            moved = _contaminated(values, instance, size * unit)
            return bad_set_is_accepted(
                moved, tolerances, benign=benign, rank=instance.rank, generator=generator, n_starts=3
            )

        violated = broken(needed)
        below, above = np.log(_SMALLEST_SHARE), 0.0
        for _ in range(0 if violated else _ATTACKS):
            middle = 0.5 * (below + above)
            below, above = (middle, above) if broken(needed * float(np.exp(middle))) else (below, middle)
        share = 1.0 if violated else float(np.exp(below))
        return {"applies": 1.0, "violation": float(violated), "needed": needed, "tightness": 1 / share}


CLAIM = Claim(
    identifier="accepted-sets",
    theorem=0,
    title="Every accepted set is benign where every small benign subset identifies the subspace",
    statement=(
        r"If every $(h-|O|)$-subset of $C$ identifies $U^*$ with the margin of Theorem 6, then no set of $h$ clients "
        r"is accepted at a rank below $r$, and every set accepted at rank $r$ is contained in $C$."
    ),
    source="docs/derivations/guarantee.md section 3",
    assumptions=(Assumption("the assumptions of Theorem 6 hold for large contamination", "applies"),),
    statistic=(
        "share of instances, at the smallest contamination that the theorem needs, where a search finds an accepted "
        "set with a contaminated client or of a smaller rank"
    ),
    rule=AlwaysRule(report=("needed", "tightness")),
    cells=crossed(RivalRegime(), AcceptedSetsMethod()),
    replications={"quick": 80, "standard": 500, "full": 5000},
    sabotage=Sabotage(
        name="margin-of-generic-coefficients",
        description=(
            "benign clients enough for a rival majority have equal coefficients, so that C identifies the subspace and "
            "a subset does not; the theorem is evaluated as if coefficients were in general position"
        ),
        cells=crossed(RivalRegime(alike=True), AcceptedSetsMethod(generic=True)),
    ),
    fine=Sabotage(
        name="less-contamination-than-needed",
        description="the contamination is 1.4 times smaller than the theorem needs",
        cells=crossed(RivalRegime(), AcceptedSetsMethod(divisor=1.4)),
    ),
)
