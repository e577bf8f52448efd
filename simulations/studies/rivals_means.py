"""One robust mean for everybody, the aggregators of byzfl, beside the mean of those whom CLAIR keeps.

The settings of ``rivals``.  Exploratory; settings and seed were written down before the run.
"""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, PairedDifference
from simulations.methods.robust_means import MEANS, MeanOfMembers, OracleMean, RobustMean
from simulations.studies.rivals import REGIMES

__all__ = ["STUDY"]

STUDY = Study(
    name="rivals_means",
    title="Robust means beside the mean of those whom CLAIR keeps",
    cells=crossed(REGIMES, (MeanOfMembers(), OracleMean(), *(RobustMean(method) for method in MEANS))),
    replications=10,
    root_seed=20_261_147,
    aims="Which robust mean comes nearest to the mean of what benign clients estimate?",
    estimands="Mean squared entry of the difference from the mean of the benign targets.",
    measures=(Mean("centre_mse"), PairedDifference("centre_mse", MeanOfMembers.name)),
)
