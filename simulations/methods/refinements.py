"""One fit of CLAIR and the estimates that a client can take from it: shrunk, averaged, or its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray
from clair_stats.refinement.refine import refine
from simulations.measures.metrics import evaluate, verdict_metrics
from simulations.methods.clients_and_oracles import fit_quietly
from simulations.regimes.instance import Instance

__all__ = ["Refinements"]

# Share of the mean variance that every direction gets more: pixels that no image of a client lights have no error, and
# a singular covariance has no whitening.
_FLOOR = 1e-6
# What is compared between the three estimates where a regime has it.
_COMPARED = ("refined_mse", "accuracy", "worst_accuracy")


@dataclass(frozen=True)
class Refinements:
    """The default refinement, averaging (Theorem 5) and the own estimate after one and the same verdict.

    ``told`` is what CLAIR knows of the errors: the fits' scales σ_k, or their covariances.
    """

    name: ClassVar[str] = "CLAIR, refinements"

    told: Literal["scales", "covariances"] = "scales"

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics, ``majority``, and ``refined_mse``, ``average_refined_mse`` and ``own_refined_mse``.

        With held-out data ``accuracy`` and ``worst_accuracy`` in the same three forms.
        """
        blocks, given = instance.estimates.dense(), instance.estimates
        model = CLAIR()
        if self.told == "scales":
            record = ClientEstimates(values=blocks, noise_scales=given.noise_scales, sample_sizes=given.sample_sizes)
        else:
            record = _with_covariances(instance, blocks)
        fit_quietly(model, record)
        members = model.collaborative_set_
        averaged = blocks
        if model.majority_:
            averaged = refine(record, basis=model.basis_, collaborative_set=members).estimates
        metrics = evaluate(instance, model.refined_)
        for prefix, estimates in (("average", averaged), ("own", blocks)):
            found = evaluate(instance, estimates)
            metrics |= {f"{prefix}_{name}": found[name] for name in _COMPARED if name in found}
        return metrics | verdict_metrics(instance.collaborative_set, model.flagged_, model.majority_)


def _with_covariances(instance: Instance, blocks: FloatArray) -> ClientEstimates:
    fits = instance.extras["fits"]
    rows = np.stack([fit.row_covariance for fit in fits])
    columns = np.stack([fit.column_covariance for fit in fits])
    return ClientEstimates(values=blocks, row_covariances=_floored(rows), column_covariances=_floored(columns))


def _floored(covariances: FloatArray) -> FloatArray:
    mean = np.trace(covariances, axis1=1, axis2=2) / covariances.shape[1]
    return np.asarray(covariances + _FLOOR * mean[:, None, None] * np.eye(covariances.shape[1]))
