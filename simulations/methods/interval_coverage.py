"""Confidence intervals of one fit of CLAIR: what they cover, alone and together, after the members were found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import project_off
from simulations.measures.metrics import verdict_metrics
from simulations.methods.clients_and_oracles import fit_quietly
from simulations.regimes.instance import Instance

__all__ = ["IntervalsAfterSelection"]


@dataclass(frozen=True)
class IntervalsAfterSelection:
    """``CLAIR().fit(X, σ_k)``, then intervals for random linear functionals off the subspace, benign clients.

    Metrics: ``coverage``, share of intervals at ``level`` that hold; ``together``, whether all simultaneous ones do;
    ``length`` and ``length_together``, mean length over that of intervals about the own estimates of the same kind;
    ``coverage_given_set`` and ``together_given_set``, the same where the set is the true one, else NaN; ``exact_set``.
    """

    name: ClassVar[str] = "Intervals after selection"

    level: float = 0.95
    functionals: int = 10

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """See the class; the functionals are drawn from the method's own stream."""
        given, benign = instance.estimates, instance.collaborative_set
        model = CLAIR(level=0.05)
        fit_quietly(model, ClientEstimates(values=given.dense(), noise_scales=given.noise_scales))
        some = project_off(instance.basis, generator.standard_normal((self.functionals, *instance.common.shape)))
        truth = np.einsum("mij,kij->km", some, instance.targets, optimize=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # scales may be withheld: what that does is measured here
            alone = model.conf_int(self.level, functional=some)
            # Which clients are benign is not known beforehand: together means all of them, as a user would ask.
            jointly = model.conf_int(self.level, functional=some, simultaneous=True)
        own, own_jointly = (
            model.conf_int(self.level, functional=some, parameter="own", simultaneous=together)
            for together in (False, True)
        )
        held, all_held = ((found.lower <= truth) & (truth <= found.upper) for found in (alone, jointly))
        metrics = verdict_metrics(benign, model.flagged_, model.majority_)
        coverage, together = float(held[benign].mean()), float(all_held[benign].all())
        exact = metrics["exact_set"] == 1.0
        shorter, shorter_jointly = (
            float(np.mean((found.upper - found.lower)[benign] / (about.upper - about.lower)[benign]))
            for found, about in ((alone, own), (jointly, own_jointly))
        )
        return metrics | {
            "coverage": coverage,
            "together": together,
            "length": shorter,
            "length_together": shorter_jointly,
            "coverage_given_set": coverage if exact else math.nan,
            "together_given_set": together if exact else math.nan,
        }
