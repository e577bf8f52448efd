"""The robust aggregators of :mod:`clair_stats.baselines` as methods of a study, with every advantage they can use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.baselines import BASELINES
from clair_stats.estimates import ClientEstimates
from simulations.measures.metrics import evaluate
from simulations.regimes.instance import Instance

__all__ = ["RobustBaseline", "all_baselines"]


@dataclass(frozen=True)
class RobustBaseline:
    """One baseline, given the true rank, the true number of contaminated clients and the true σ_k.

    Parameters
    ----------
    method : str
        A key of :data:`clair_stats.baselines.BASELINES`.
    """

    name: ClassVar[str] = "Baseline"

    method: str

    def __post_init__(self) -> None:
        if self.method not in BASELINES:
            raise ValueError(f"baseline: {self.method!r} is unknown; use one of {', '.join(BASELINES)}")

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation metrics; detection and subspace metrics where the method has a set and a subspace."""
        scales = instance.extras.get("noise_scales", instance.estimates.noise_scales)
        known = scales is not None and bool(np.all(np.asarray(scales) > 0.0))
        record = ClientEstimates(
            values=instance.estimates.dense(),
            noise_scales=scales if known else None,
            sample_sizes=instance.estimates.sample_sizes,
        )
        fit = BASELINES[self.method](
            record, rank=instance.rank, n_contaminated=int(np.count_nonzero(~instance.collaborative_set))
        )
        return evaluate(instance, fit.estimates, collaborative_set=fit.collaborative_set, basis=fit.basis)


def all_baselines() -> tuple[RobustBaseline, ...]:
    """Every baseline, in the order of the registry."""
    return tuple(RobustBaseline(method=name) for name in BASELINES)
