"""Intervals of the default refinement where σ_k is not told: the scales are learnt from the members.

Settings of ``interval_coverage`` with the true set findable or nothing to find, the noise withheld.  With differences
off the subspace the learnt scale holds them as well, so that it is too large for the error; without them its own error
is what could make intervals too short.  Seed and settings were fixed before the first run.
"""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.interval_coverage import IntervalsAfterSelection
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["STUDY"]

_NOISE = 0.1

STUDY = Study(
    name="interval_coverage_learnt",
    title="Confidence intervals where the scales are learnt",
    cells=crossed(
        grid(
            GaussianRegime,
            nested=(
                {"share": 0.0, "contamination_scale": 1.0},
                {"share": 0.2, "contamination_scale": 3.0},
            ),
            n_clients=levels(12, 40),
            n_columns=levels(1, 6),
            coefficient_spread=levels(1.0, 8.0),
            heterogeneity_scale=levels(0.0, _NOISE),
            n_rows=16,
            rank=2,
            contamination="random",
            noise_scale=_NOISE,
            common_scale=1.0,
            noise_known=False,
        ),
        (IntervalsAfterSelection(),),
    ),
    replications=60,
    root_seed=20261311,
    aims="Do the intervals hold their level where the scales of the errors are learnt from the clients themselves?",
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
