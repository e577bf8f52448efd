"""A corner of the robustness grid in a minute: middle noise, shares 0.3 and 0.45, with common component; own seed."""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.methods import Clair, OracleClair, OracleDetection
from simulations.studies.robustness_grid import KINDS, grid_regime
from simulations.summaries import Mean, Proportion

__all__ = ["STUDY"]

STUDY = Study(
    name="robustness_quick",
    title="CLAIR without tuning against oracles, a corner of the grid",
    cells=crossed(
        tuple(grid_regime(kind, scale, share, 0.2, 0.3) for kind, scale in KINDS for share in (0.3, 0.45)),
        (Clair(), OracleDetection(), OracleClair()),
    ),
    replications=5,
    root_seed=20261123,
    aims="A quick look at robustness_grid.",
    estimands="As in robustness_grid.",
    measures=(Proportion("exact_set"), Mean("sin_theta"), Mean("refined_mse")),
)
