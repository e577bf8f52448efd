"""CLAIR with flagged clients that may inform the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from simulations.measures.metrics import evaluate, verdict_metrics
from simulations.methods.clients_and_oracles import fit_quietly
from simulations.regimes.instance import Instance

__all__ = ["CombinedClair"]


@dataclass(frozen=True)
class CombinedClair:
    """The same fit as :class:`simulations.methods.clients_and_oracles.Clair`, with ``flagged="inform"``.

    Beside the metrics of :func:`simulations.measures.metrics.evaluate`: ``flagged_weight``, the weight of flagged
    clients in the common component off the directions that they share.
    """

    name: ClassVar[str] = "CLAIR, combined"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation, detection and subspace metrics."""
        given = instance.estimates
        # A record of its own: what else the instance knows of the errors is not for this method.
        record = ClientEstimates(values=given.dense(), noise_scales=given.noise_scales, sample_sizes=given.sample_sizes)
        model = CLAIR(level=self.level, flagged="inform")
        fit_quietly(model, record)
        found, members = model.combination_, model.collaborative_set_
        weight = 0.0 if found is None else float(found.weights[1, ~members].sum())
        told = verdict_metrics(instance.collaborative_set, model.flagged_, model.majority_)
        return evaluate(instance, model.refined_, basis=model.basis_) | told | {"flagged_weight": weight}
