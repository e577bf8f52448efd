"""Family-wise level of CLAIR's test without contamination: K = 8, 30, 200, three noise levels, noise known and not."""

from __future__ import annotations

from dataclasses import replace

from simulations.design import Study, crossed
from simulations.measures.summaries import Proportion
from simulations.methods.clients_and_oracles import Clair, OracleDetection
from simulations.studies.robustness_grid import NOISE, grid_regime

__all__ = ["STUDY"]

_REGIMES = tuple(
    replace(grid_regime("random", 1.0, 0.0, noise, 0.3), n_clients=n_clients, noise_known=known)
    for known in (False, True)
    for n_clients in (8, 30, 200)
    for noise in NOISE
)

STUDY = Study(
    name="detection_level",
    title="Share of runs with any false alarm, no contamination, nominal level 0.05",
    cells=crossed(_REGIMES, (Clair(), OracleDetection())),
    replications=200,
    root_seed=20261223,
    aims="Does the test keep its family-wise level after rank, subspace, common component and noise were estimated?",
    estimands="The probability of any false alarm among K benign clients.",
    measures=(Proportion("false_alarm"), Proportion("exact_set")),
)
