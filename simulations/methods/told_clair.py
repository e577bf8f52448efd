"""CLAIR told what the baselines are told: the rank, the noise, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from simulations.measures.metrics import evaluate, verdict_metrics
from simulations.methods.clients_and_oracles import fit_quietly
from simulations.regimes.instance import Instance

__all__ = ["ToldClair"]


@dataclass(frozen=True)
class ToldClair:
    """``CLAIR(rank, flagged=…).fit(X, σ)`` with the true rank and the true σ_k, as far as they are told.

    Parameters
    ----------
    rank, noise : bool
        Whether the true rank, and the true σ_k (``extras["noise_scales"]``), are told.
    flagged : {"ignore", "inform"}
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "CLAIR, told"

    rank: bool = True
    noise: bool = True
    flagged: Literal["ignore", "inform"] = "ignore"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Estimation, detection and subspace metrics."""
        scales = instance.extras["noise_scales"] if self.noise else None
        record = ClientEstimates(values=instance.estimates.dense(), noise_scales=scales)
        model = CLAIR(instance.rank if self.rank else None, flagged=self.flagged)
        fit_quietly(model, record)
        told = verdict_metrics(instance.collaborative_set, model.flagged_, model.majority_)
        return evaluate(instance, model.refined_, basis=model.basis_) | told
