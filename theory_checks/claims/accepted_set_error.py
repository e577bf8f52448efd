"""Theorem 8: what a user can compute about an accepted set bounds its angle and the contamination that it hides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import sin_theta
from clair_stats.theory import accepted_set_error
from simulations.design import crossed, grid, levels
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import FrequencyRule

__all__ = ["CLAIM"]

_LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class AcceptedErrorMethod:
    """Take all clients for the accepted set, contaminated ones included, and compare both bounds with the truth."""

    name: ClassVar[str] = "accepted-set-error"
    version: ClassVar[int] = 2

    all_benign: bool = False  # sabotage: no client is said to be contaminated
    uncounted: int = 0  # sabotage: so many contaminated clients are not told of

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``failed``: the angle or a hidden contamination exceeds its bound."""
        bad = ~instance.collaborative_set
        scales = np.asarray(instance.extras["noise_scales"])
        found = accepted_set_error(
            instance.estimates,
            accepted_set=np.ones(bad.size, dtype=bool),
            rank=instance.rank,
            noise_scales=scales,
            n_contaminated=0 if self.all_benign else int(np.count_nonzero(bad)) - self.uncounted,
            level=_LEVEL,
            heterogeneity=float(np.linalg.norm(instance.heterogeneity, axis=(1, 2)).max()),
        )
        angle = sin_theta(found.basis, instance.basis)
        true, limits = instance.effective_contamination[bad], found.contamination[bad]
        beyond = angle > found.angle or (not self.all_benign and bool((true > limits).any()))
        return {
            "failed": float(beyond),
            "angle_bound": found.angle,
            "angle_ratio": found.angle / angle,
            "contamination_ratio": float((limits / true).min()),
        }


_REGIMES = grid(
    GaussianRegime,
    n_clients=14,
    n_rows=10,
    n_columns=5,
    rank=2,
    share=0.15,
    common_scale=1.0,
    noise_scale=0.05,
    noise_spread=2.0,
    contamination=levels("coordinated", "random"),
    contamination_scale=levels(0.05, 0.5, 5.0),
    heterogeneity_scale=levels(0.0, 0.05),
)

CLAIM = Claim(
    identifier="accepted-set-error",
    theorem=0,
    title="Angle and hidden contamination of an accepted set stay below what a user computes",
    statement=(
        r"If at most $b$ clients are contaminated, then with probability at least $1-\delta$ the least-squares "
        r"subspace of a set chosen from the data is within the computed angle of $U^*$, and no client of the set hides "
        r"a larger contamination than computed."
    ),
    source="docs/derivations/guarantee.md section 5",
    assumptions=(),
    statistic="share of draws where the angle or a hidden contamination exceeds its bound, at level 0.05",
    rule=FrequencyRule("failed", target=_LEVEL, direction="at_most", margin=0.02),
    cells=crossed(_REGIMES, AcceptedErrorMethod()),
    replications={"quick": 20, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="said-to-be-benign",
        description="the set is said to hold no contaminated client, although some of it are contaminated",
        cells=crossed(_REGIMES, AcceptedErrorMethod(all_benign=True)),
    ),
    fine=Sabotage(
        name="one-uncounted",
        description="one contaminated client less than there are is told of, the smallest change of that number",
        cells=crossed(_REGIMES, AcceptedErrorMethod(uncounted=1)),
    ),
)
