"""Refined against own estimates in every setting of the studies with real fits: who loses, who gains, how much.

The settings are those of ``linear_regression``, ``digits`` and the sweeps of the regimes (linear, GLM, trace, network),
each once.  The seed is new since true differences count twice where one weight stands for many, and was fixed before
its first run; building used others.  ``python -m simulations gains`` writes the page of this study; its rule for
"worse" was fixed with the study.
"""

from __future__ import annotations

from typing import Any

from simulations.design import Study, crossed
from simulations.measures.summaries import Mean, Proportion, Ratio
from simulations.methods.refinements import Refinements
from simulations.studies import digits, linear_regression, regime_glm, regime_linear, regime_neural, regime_trace
from simulations.studies._regime_design import DesignSection

__all__ = ["GROUPS", "STUDY"]


def _distinct(*sources: Study | DesignSection) -> tuple[Any, ...]:
    cells = (cell for source in sources for cell in source.cells)
    return tuple({cell.regime_hash: cell.regime for cell in cells}.values())


GROUPS: dict[str, tuple[Any, ...]] = {
    "linear regression": _distinct(linear_regression.STUDY),
    "digits": _distinct(digits.STUDY),
    **{
        design.title.split(":")[0]: _distinct(*design.sections())
        for design in (regime_linear.DESIGN, regime_glm.DESIGN, regime_trace.DESIGN, regime_neural.DESIGN)
    },
}

STUDY = Study(
    name="refinement_gains",
    title="Refined against own estimates, in every setting with real fits",
    cells=crossed(
        tuple(regime for regimes in GROUPS.values() for regime in regimes),
        (Refinements(), Refinements(told="covariances")),
    ),
    replications=8,
    root_seed=20264127,
    aims=(
        "Is the refined estimate of the default settings anywhere worse than the client's own, in squared error or, on "
        "digits, in held-out accuracy? What does it gain, and what does it cost where averaging was right?"
    ),
    estimands="The targets of the benign clients; held-out accuracy on digits.",
    measures=(
        Ratio(("refined_mse",), ("own_refined_mse",), "squared error over that of local fits"),
        Ratio(("average_refined_mse",), ("own_refined_mse",), "squared error of averaging over that of local fits"),
        Mean("accuracy"),
        Mean("own_accuracy"),
        Proportion("exact_set"),
    ),
)
