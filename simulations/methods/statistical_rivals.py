"""The statistical methods that joined the comparison later, with every advantage that they can use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.baselines import OWN_RULES, STATISTICAL_RIVALS
from clair_stats.estimates import ClientEstimates
from simulations.measures.metrics import evaluate
from simulations.regimes.instance import Instance

__all__ = ["RIVALS", "WITH_OWN_RULE", "StatisticalRival"]

RIVALS = tuple(STATISTICAL_RIVALS)
WITH_OWN_RULE = tuple(OWN_RULES)


@dataclass(frozen=True)
class StatisticalRival:
    """Outlier pursuit, robust reduced rank, RAS, OptSpace or penalised subspaces.

    Parameters
    ----------
    method : str
        A key of :data:`clair_stats.baselines.STATISTICAL_RIVALS`.
    told : {"nothing", "all"}
        "all": the rank, the number of contaminated clients and the true σ_k.  "nothing" is for methods whose authors
        have a rule for rank and number (:data:`clair_stats.baselines.OWN_RULES`).

    Notes
    -----
    RAS told nothing names nobody, and neither does OptSpace: their rows have errors, and no detection metrics.
    """

    name: ClassVar[str] = "Statistics"

    method: str
    told: Literal["nothing", "all"] = "all"

    def __post_init__(self) -> None:
        if self.method not in STATISTICAL_RIVALS:
            raise ValueError(f"method: {self.method!r} is unknown; use one of {', '.join(STATISTICAL_RIVALS)}")
        if self.told not in ("nothing", "all") or (self.told == "nothing" and self.method not in OWN_RULES):
            raise ValueError(f"told: {self.told!r}; {self.method} needs 'all'")

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Errors of what the method hands out, and detection where it is told enough to name anybody."""
        blocks = instance.estimates.dense()
        if self.told == "nothing":
            fit = OWN_RULES[self.method](blocks, rank=0, n_contaminated=0)
            named = None if self.method == "ras" else fit.collaborative_set
        else:
            scales = instance.extras.get("noise_scales")
            record = ClientEstimates(
                values=blocks, noise_scales=scales if scales is not None and scales.min() > 0 else None
            )
            number = int(np.count_nonzero(~instance.collaborative_set))
            fit = STATISTICAL_RIVALS[self.method](record, rank=instance.rank, n_contaminated=number)
            named = fit.collaborative_set
        metrics = evaluate(instance, fit.estimates, collaborative_set=named, basis=fit.basis)
        return metrics if named is None else metrics | {"accused": metrics["flagged"] - metrics["hits"]}
