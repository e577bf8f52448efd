"""Theorem 7: with Gaussian errors smallest accepted rank and largest accepted set are r and C with P ≥ 1 − α − δ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import block_norms, project_off
from clair_stats.theory import chi_square_tolerances, set_guarantee
from simulations.design import crossed
from simulations.regimes.instance import Instance
from theory_checks.claim import Assumption, Claim, Sabotage
from theory_checks.instances.rival_sets import RivalRegime, bad_set_is_accepted
from theory_checks.rules.decision import FrequencyRule

__all__ = ["CLAIM"]

_LEVEL = 0.05  # α
_DELTA = 0.01  # δ that the contamination is chosen for
_SIZES = np.geomspace(1.0, 200.0, 40)  # contamination in noise norms that is tried, smallest first


@dataclass(frozen=True, kw_only=True)
class GuaranteeMethod:
    """Contaminate by as little as δ ≤ 0.01 needs, and see whether C is accepted and no rival is found."""

    name: ClassVar[str] = "set-guarantee"
    version: ClassVar[int] = 1

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``failed``: C is not accepted, or a set with a contaminated client or of a smaller rank is."""
        benign, sigma = instance.collaborative_set, instance.extras["noise_scale"]
        values = instance.estimates.dense().copy()
        _, p, q = values.shape
        scales = np.full(benign.size, sigma)
        unit = sigma * np.sqrt((p - instance.rank) * q)
        inside = np.einsum("pi,kpq->kqi", instance.basis, values - instance.common)

        def enough(place: int) -> bool:
            return (
                set_guarantee(
                    inside,
                    collaborative_set=benign,
                    contamination=float(_SIZES[place]) * unit,
                    n_rows=p,
                    noise_scales=scales,
                    level=_LEVEL,
                    allowance=_DELTA / 2,
                ).delta
                <= _DELTA
            )

        low, high = -1, _SIZES.size - 1
        if not enough(high):
            return {"applies": 0.0, "failed": 0.0, "needed": np.nan}
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        values[~benign] += _SIZES[high] * unit * instance.extras["directions"]
        tolerances = chi_square_tolerances(scales, shape=(p, q), rank=instance.rank, level=_LEVEL)
        scores = block_norms(project_off(instance.basis, values - instance.common))
        complete = bool((scores[benign] <= tolerances[instance.rank, benign]).all())
        rival = bad_set_is_accepted(
            values, tolerances, benign=benign, rank=instance.rank, generator=generator, n_starts=2
        )
        return {
            "applies": 1.0,
            "failed": float(rival or not complete),
            "rival": float(rival),
            "needed": float(_SIZES[high]),
        }


_REGIME = RivalRegime(smallest_clients=9, largest_noise=0.01)

CLAIM = Claim(
    identifier="set-guarantee",
    theorem=0,
    title="The accepted set is the collaborative set with probability at least 1 − α − δ",
    statement=(
        r"With Gaussian errors of known scale the smallest accepted rank is $r$ and its largest accepted set is $C$ "
        r"with probability at least $1-\alpha-\delta$, $\delta$ of Theorem 7."
    ),
    source="docs/derivations/guarantee.md section 4",
    assumptions=(Assumption("δ ≤ 0.01 for some contamination that is tried", "applies"),),
    statistic="share of draws where C is not accepted, or a search finds a rival, at a contamination with δ ≤ 0.01",
    rule=FrequencyRule("failed", target=_LEVEL + _DELTA, direction="at_most", margin=0.04),
    cells=crossed(_REGIME, GuaranteeMethod()),
    replications={"quick": 400, "standard": 1500, "full": 15_000},
    sabotage=Sabotage(
        name="student-errors",
        description="the errors have Student's law with 3 degrees of freedom and the variance that is said",
        cells=crossed(dataclasses.replace(_REGIME, tail_freedom=3), GuaranteeMethod()),
    ),
    fine=Sabotage(
        name="student-errors-of-eight-degrees",
        description="the errors have Student's law with 8 degrees of freedom and the variance that is said",
        cells=crossed(dataclasses.replace(_REGIME, tail_freedom=8), GuaranteeMethod()),
    ),
)
