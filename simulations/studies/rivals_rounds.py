"""Aggregations of low-rank factors over ten rounds of federated regression, and CLAIR after as much local training.

Clients that are nearly alike and clients that differ inside a subspace; without contamination and with a quarter of the
clients contaminated; two learning rates, of which a reader may take the better one for every method (an oracle's
choice).  Exploratory; settings and seed were written down before the run, rates were found on another seed.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion
from simulations.methods.factor_training import SCHEMES, FactorTraining
from simulations.regimes.linear_regression import LinearRegressionRegime

__all__ = ["STUDY", "rounds_regime"]

_ALIKE, _OWN = 0.2, 1.0  # size of the client's own part inside the subspace; the common part is of size 0.3


def rounds_regime(coefficient_scale: float, kind: str, share: float) -> LinearRegressionRegime:
    """K = 24, p = 20, q = 10, r = 2, forty observations a client; contamination of size 1 in any case."""
    return LinearRegressionRegime(
        n_clients=24,
        n_rows=20,
        n_columns=10,
        rank=2,
        sample_size=40,
        common_scale=0.3,
        coefficient_scale=coefficient_scale,
        contamination=kind,
        contamination_scale=1.0 / coefficient_scale,
        share=share,
    )


STUDY = Study(
    name="rivals_rounds",
    title="Aggregations of adapters over rounds: error and numbers sent",
    cells=crossed(
        tuple(
            rounds_regime(coefficient_scale, kind, share)
            for coefficient_scale in (_ALIKE, _OWN)
            for kind, share in (("random", 0.0), ("random", 0.25), ("coordinated", 0.25))
        ),
        tuple(FactorTraining(scheme=scheme, rate=rate) for scheme in SCHEMES for rate in (0.03, 0.1)),
    ),
    replications=20,
    root_seed=20_261_141,
    aims="Which aggregation hands benign clients the smallest error over rounds, with and without contamination?",
    estimands="Mean squared error of what benign clients hold after the last round.",
    measures=(Mean("refined_mse"), Mean("sent"), Proportion("exact_set")),
)
