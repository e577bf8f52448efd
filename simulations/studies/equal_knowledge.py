"""CLAIR told rank and noise against baselines told the same: the grid on equal knowledge.

All kinds and shares of ``robustness_grid`` at its middle noise with a common component, 24 settings.  Every baseline is
told the number of contaminated clients as well; the estimates of ARMUL, of the fast median subspace and of Tyler's
subspace do not use it.  Settings and seed were fixed before the first run.
"""

from __future__ import annotations

from simulations.design import Method, Study, crossed
from simulations.measures.summaries import Mean, PairedDifference, Proportion
from simulations.methods.robust_aggregators import RobustBaseline
from simulations.methods.told_clair import ToldClair
from simulations.studies.robustness_grid import KINDS, SHARES, grid_regime

__all__ = ["STUDY"]

_NOISE, _COMMON = 0.2, 0.3
# The rows of ``robustness_grid`` name these as the best of twelve somewhere, or nearly.
_RIVALS = ("armul_low_rank", "fast_median_subspace", "subspace_tyler", "winsorised_spectral")
_METHODS: tuple[Method, ...] = (
    ToldClair(),
    ToldClair(rank=False, noise=False),
    ToldClair(flagged="inform"),
    *(RobustBaseline(method=name) for name in _RIVALS),
)

STUDY = Study(
    name="equal_knowledge",
    title="CLAIR told rank and noise, as the baselines are",
    cells=crossed(
        tuple(grid_regime(kind, scale, share, _NOISE, _COMMON) for kind, scale in KINDS for share in SHARES), _METHODS
    ),
    replications=40,
    root_seed=20_261_411,
    aims="Is CLAIR that is told rank and σ behind baselines that are told the same, and what is the knowledge worth?",
    estimands="The targets Θ*_k of the benign clients, and the collaborative set.",
    measures=(
        Proportion("exact_set"),
        Mean("refined_mse"),
        PairedDifference("refined_mse", ToldClair.name),
    ),
)
