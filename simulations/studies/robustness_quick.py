"""A corner of the robustness grid in a minute: middle noise, shares 0.3 and 0.45, with common component; own seed."""

from __future__ import annotations

from simulations.design import Study, crossed
from simulations.methods.robust_aggregators import all_baselines
from simulations.presentation import Criteria
from simulations.studies.robustness_grid import KINDS, MEASURES, METHODS, grid_regime

__all__ = ["STUDY"]

STUDY = Study(
    name="robustness_quick",
    title="CLAIR without tuning against oracles and robust aggregators, a corner of the grid",
    cells=crossed(
        tuple(grid_regime(kind, scale, share, 0.2, 0.3) for kind, scale in KINDS for share in (0.3, 0.45)),
        (*METHODS, *all_baselines()),
    ),
    replications=5,
    root_seed=20261224,
    aims="Does CLAIR, told nothing, keep up with oracles and robust aggregators in a corner of the robustness grid?",
    estimands="The collaborative set, the shared subspace span(U*), and the targets Θ*_k of the benign clients.",
    measures=MEASURES,
    presentation=Criteria(),
)
