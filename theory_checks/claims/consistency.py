"""The whole procedure finds the collaborative set exactly, more surely with more data and with more separation.

A test at a fixed level errs with that level for ever.  For P(Ĉ = C) → 1 the level has to fall with n; here it is 1/n.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR
from simulations.design import crossed, grid
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.limits import LimitRule

__all__ = ["CLAIMS"]


@dataclass(frozen=True, kw_only=True)
class ExactSet:
    """CLAIR with known rank and noise scales; ``level`` None means 1/n."""

    name: ClassVar[str] = "exact-set"

    level: float | None = None

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``exact``: Ĉ = C.  ``separation``: smallest d_k over the root mean square of ‖E_k‖_F."""
        sizes = instance.estimates.sample_sizes
        n = float(np.median(sizes)) if sizes is not None else 1.0
        with warnings.catch_warnings():
            # Too little data for a majority is an outcome here (not exact), not news.
            warnings.simplefilter("ignore", UserWarning)
            found = CLAIR(instance.rank, level=self.level or 1 / n).fit(instance.estimates)
        mask = instance.collaborative_set
        scales = np.asarray(instance.extras["noise_scales"])
        noise = float(np.sqrt(np.mean(scales**2) * instance.common.size))
        return {
            "exact": float(np.array_equal(found.collaborative_set_, mask)),
            "missed": float(np.count_nonzero(~found.flagged_ & ~mask)),
            "false_alarms": float(np.count_nonzero(found.flagged_ & mask)),
            "separation": float(instance.effective_contamination[~mask].min()) / noise,
        }


_SIZES = (32, 96, 288)
_SCALES = (0.5, 1.0, 2.0)


def _in_n(shrinking: bool) -> tuple[GaussianRegime, ...]:
    """Noise falls like 2/√n; the contamination stays, or shrinks like the noise."""
    return grid(
        GaussianRegime,
        nested=[
            {
                "sample_size": n,
                "noise_scale": float(2 / np.sqrt(n)),
                "contamination_scale": float(np.sqrt(_SIZES[0] / n)) / 2 if shrinking else 1.0,
            }
            for n in _SIZES
        ],
        n_clients=20,
        n_rows=8,
        n_columns=3,
        rank=2,
        share=0.25,
        common_scale=1.0,
    )


def _in_separation(divisor: float) -> tuple[GaussianRegime, ...]:
    return grid(
        GaussianRegime,
        nested=[{"contamination_scale": scale / divisor} for scale in _SCALES],
        noise_scale=0.15,
        n_clients=20,
        n_rows=8,
        n_columns=3,
        rank=2,
        share=0.25,
        common_scale=1.0,
    )


# Of the replications: where nobody is told apart a fit takes longest, and 20 fits without success are enough.
_SABOTAGED = 1 / 6

_IN_N = Claim(
    identifier="consistency-in-n",
    theorem=0,
    title="The collaborative set is found with probability tending to one in n",
    statement=(
        r"With fixed separation and level $1/n$, $P(\hat C=C)$ rises with $n$ and is at least $0.9$ at $n=288$ (in the "
        r"limit $1$)."
    ),
    source="docs/derivations/consistency.md and guarantee.md; the search for candidates has no theorem",
    assumptions=(),
    statistic="share of replications with Ĉ = C at every n, logistic trend in log n, lower bound at the largest n",
    rule=LimitRule("exact", "regime.sample_size", target=0.9),
    cells=crossed(_in_n(shrinking=False), ExactSet()),
    replications={"quick": 120, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="separation-shrinks-with-n",
        description="the contamination shrinks like 1/√n, as fast as the noise: nothing is gained with n",
        cells=crossed(_in_n(shrinking=True), ExactSet()),
        share=_SABOTAGED,
    ),
    fine=Sabotage(
        name="separation-a-little-smaller",
        description="the contamination is 0.45 of what it is said to be",
        cells=crossed(tuple(replace(regime, contamination_scale=0.45) for regime in _in_n(False)), ExactSet()),
    ),
)

_IN_SEPARATION = Claim(
    identifier="consistency-in-separation",
    theorem=0,
    title="The collaborative set is found with probability tending to one in the separation",
    statement=(
        r"At fixed noise and level $0.005$, $P(\hat C=C)$ rises with $\min_{k\in O} d_k$ and is at least $0.9$ where "
        r"the contamination is twice a client's own part."
    ),
    source="docs/derivations/consistency.md and guarantee.md; the search for candidates has no theorem",
    assumptions=(),
    statistic="share of replications with Ĉ = C at every separation, logistic trend, lower bound at the largest one",
    rule=LimitRule("exact", "regime.contamination_scale", target=0.9),
    cells=crossed(_in_separation(1.0), ExactSet(level=0.005)),
    replications={"quick": 120, "standard": 400, "full": 4000},
    sabotage=Sabotage(
        name="separation-over-twenty",
        description="the separation is a twentieth of what it is said to be",
        cells=crossed(_in_separation(20.0), ExactSet(level=0.005)),
        share=_SABOTAGED,
    ),
    fine=Sabotage(
        name="separation-over-three",
        description="the separation is a third of what it is said to be",
        cells=crossed(_in_separation(3.0), ExactSet(level=0.005)),
    ),
)

CLAIMS = (_IN_N, _IN_SEPARATION)
