"""The statistical methods that joined the comparison later, with every advantage that they can use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.baselines import STATISTICAL_RIVALS
from clair_stats.estimates import ClientEstimates
from simulations.measures.metrics import evaluate
from simulations.regimes.instance import Instance

__all__ = ["StatisticalRival"]


@dataclass(frozen=True)
class StatisticalRival:
    """Outlier pursuit, robust reduced rank or RAS.

    Parameters
    ----------
    method : str
        A key of :data:`clair_stats.baselines.STATISTICAL_RIVALS`.
    told : {"nothing", "all"}
        "all": the rank, the number of contaminated clients and the true σ_k.  "nothing" is for RAS, which needs none of
        them; the others cannot run without rank and number.

    Notes
    -----
    RAS told nothing names nobody: its rows then have errors, and no detection metrics.
    """

    name: ClassVar[str] = "Statistics"

    method: str
    told: Literal["nothing", "all"] = "all"

    def __post_init__(self) -> None:
        if self.method not in STATISTICAL_RIVALS:
            raise ValueError(f"method: {self.method!r} is unknown; use one of {', '.join(STATISTICAL_RIVALS)}")
        if self.told not in ("nothing", "all") or (self.told == "nothing" and self.method != "ras"):
            raise ValueError(f"told: {self.told!r}; {self.method} needs 'all'")

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Errors of what the method hands out, and detection where it is told enough to name anybody."""
        blocks = instance.estimates.dense()
        if self.told == "nothing":
            fit = STATISTICAL_RIVALS[self.method](blocks, rank=0, n_contaminated=0)
            return evaluate(instance, fit.estimates, basis=fit.basis)
        scales = instance.extras.get("noise_scales")
        record = ClientEstimates(
            values=blocks, noise_scales=scales if scales is not None and scales.min() > 0 else None
        )
        number = int(np.count_nonzero(~instance.collaborative_set))
        fit = STATISTICAL_RIVALS[self.method](record, rank=instance.rank, n_contaminated=number)
        metrics = evaluate(instance, fit.estimates, collaborative_set=fit.collaborative_set, basis=fit.basis)
        return metrics | {"accused": metrics["flagged"] - metrics["hits"]}
