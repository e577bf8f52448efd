"""Widths of intervals over differences of nothing to one error standard deviation, σ_k told.

The shapes of ``interval_coverage`` without contamination and with coefficients of one size, at four sizes of the
differences.  Settings and seed were fixed before the first run.  ``python -m simulations widths`` prints the table.
"""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.interval_coverage import IntervalsAfterSelection
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["STUDY"]

_NOISE = 0.1

STUDY = Study(
    name="interval_widths",
    title="Widths of confidence intervals by the size of the differences",
    cells=crossed(
        grid(
            GaussianRegime,
            n_clients=levels(12, 40),
            n_columns=levels(1, 6),
            heterogeneity_scale=levels(0.0, _NOISE / 4, _NOISE / 2, _NOISE),
            n_rows=16,
            rank=2,
            share=0.0,
            noise_scale=_NOISE,
            common_scale=1.0,
        ),
        (IntervalsAfterSelection(),),
    ),
    replications=100,
    root_seed=20_261_412,
    aims="How long are intervals about refined estimates beside those about own ones, and do they hold their level?",
    estimands="Linear functionals off the subspace of the clients' targets; all of them together.",
    measures=(
        Mean("length"),
        Mean("length_together"),
        Mean("coverage"),
        Proportion("together"),
        Proportion("exact_set"),
    ),
)
