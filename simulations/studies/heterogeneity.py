"""Refinement with known noise where benign clients differ off the subspace by 0 to 3 times their error.

Nothing but σ_k is told.  What shrinkage with a known heterogeneity and the true set of n members would reach, relative
to the own estimates, is [r + (p − r)(1/n + (1 − 1/n)h²/(1 + h²))]/p for differences of h times the noise.  The shapes
and the seed were fixed before the first run; building used others.
"""

from __future__ import annotations

from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean, PairedDifference, Proportion, Ratio
from simulations.methods.clients_and_oracles import Clair, Local
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["STUDY"]

_NOISE = 0.1
_SHAPES = (
    {"n_clients": 36, "n_rows": 18, "n_columns": 12, "rank": 3},
    {"n_clients": 25, "n_rows": 12, "n_columns": 16, "rank": 2},
    {"n_clients": 50, "n_rows": 24, "n_columns": 6, "rank": 4},
)
_HETEROGENEITY = (0.0, 0.5, 1.0, 3.0)

STUDY = Study(
    name="heterogeneity",
    title="Refinement with known noise where benign clients differ off the subspace",
    cells=crossed(
        grid(
            GaussianRegime,
            nested=_SHAPES,
            contamination="random",
            share=levels(0.0, 0.24),
            noise_scale=_NOISE,
            common_scale=1.0,
            heterogeneity_scale=levels(*(h * _NOISE for h in _HETEROGENEITY)),
        ),
        (Local(), Clair(), Clair(refinement="average")),
    ),
    replications=20,
    root_seed=20261126,
    aims=(
        "Does refinement gain at every heterogeneity, and how near is it to shrinkage that knows the heterogeneity and "
        "the set? What does averaging do there?"
    ),
    estimands="The targets of the benign clients; the collaborative set.",
    measures=(
        Ratio(("refined_mse",), ("local_mse",), "squared error over that of local fits"),
        Mean("refined_mse"),
        PairedDifference("refined_mse", reference="Local"),
        Proportion("exact_set"),
    ),
)
