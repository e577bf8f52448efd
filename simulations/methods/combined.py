"""CLAIR's combined estimates as a method: what users are handed when flagged clients may inform the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from simulations.measures.metrics import evaluate
from simulations.methods.clients_and_oracles import fit_quietly
from simulations.regimes.instance import Instance

__all__ = ["CombinedClair"]


@dataclass(frozen=True)
class CombinedClair:
    """The same fit as :class:`simulations.methods.clients_and_oracles.Clair`, ``combined_`` instead of ``refined_``.

    Beside the metrics of :func:`simulations.measures.metrics.evaluate`, of which the set is that of the fit and the
    subspace that of the combination: ``informing``, how many flagged clients helped to fit the subspace, and
    ``flagged_weight``, the weight of flagged clients in the common component off the directions that they share.
    """

    name: ClassVar[str] = "CLAIR, combined"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation, detection and subspace metrics."""
        given = instance.estimates
        # A record of its own: what else the instance knows of the errors is not for this method.
        record = ClientEstimates(values=given.dense(), noise_scales=given.noise_scales, sample_sizes=given.sample_sizes)
        model = CLAIR(level=self.level)
        fit_quietly(model, record)
        found = model.combination_
        members = model.collaborative_set_
        return evaluate(instance, model.combined_, collaborative_set=members, basis=found.basis) | {
            "informing": float(found.informing.sum()),
            "flagged_weight": float(found.weights[1, ~members].sum()),
        }
