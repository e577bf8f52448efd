"""Intervals of the default refinement over leverage, K, q, heterogeneity and contamination that is hard to find.

σ_k is told.  Settings and seed were fixed before the first run.  Contamination at a quarter of a benign client's own
part is missed often, at three times never; coverage can fall by the probability of a wrong set and no more
(docs/derivations/intervals.md).
"""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.interval_coverage import IntervalsAfterSelection
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["STUDY"]

_NOISE = 0.1
_CONTAMINATION = (
    {"share": 0.0, "contamination_scale": 1.0},
    {"share": 0.2, "contamination_scale": 0.25},
    {"share": 0.2, "contamination_scale": 3.0},
)

STUDY = Study(
    name="interval_coverage",
    title="Confidence intervals after the members were found",
    cells=crossed(
        grid(
            GaussianRegime,
            nested=_CONTAMINATION,
            n_clients=levels(12, 40),
            n_columns=levels(1, 6),
            coefficient_spread=levels(1.0, 8.0),
            heterogeneity_scale=levels(0.0, _NOISE),
            n_rows=16,
            rank=2,
            contamination="random",
            noise_scale=_NOISE,
            common_scale=1.0,
        ),
        (IntervalsAfterSelection(),),
    ),
    replications=100,
    root_seed=20261174,
    aims=(
        "Do the intervals hold their level on the true set, alone and together, whatever leverage, K, q and "
        "heterogeneity? What does it cost that the set was found on the same data?"
    ),
    estimands="Linear functionals off the subspace of the benign clients' targets; all of them together.",
    measures=(
        Mean("coverage_given_set"),
        Proportion("together_given_set"),
        Mean("coverage"),
        Proportion("together"),
        Mean("length"),
        Proportion("exact_set"),
    ),
)
