"""Methods for federations whose truth is not known: CLAIR with the flag of every client, and ARMUL on whitened fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.baselines import BASELINES
from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from clair_stats.local_fits import pooled_whitening
from clair_stats.refinement.refine import refine
from simulations.measures.metrics import evaluate, verdict_metrics
from simulations.methods.clients_and_oracles import fit_quietly
from simulations.regimes.instance import Instance

__all__ = ["FLAG", "ArmulOnWhitened", "ClairOnFits"]

FLAG = "flag_{}"  # metric of one client, by its number


@dataclass(frozen=True)
class ClairOnFits:
    """CLAIR told every fit's covariance and residual degrees of freedom, and nothing else.

    ``level`` as in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "CLAIR"

    level: float = 0.05

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """Detection metrics, ``accused``, ``majority``, ``rank``, the scorers, and ``flag_k`` for each client.

        The scorers stand alone for shrinkage, CLAIR's default, and with ``average_`` in front for averaging off the
        subspace after the same verdict (Theorem 5).
        """
        fits, blocks = instance.extras["fits"], instance.estimates.dense()
        record = ClientEstimates(
            values=blocks,
            row_covariances=np.stack([fit.row_covariance for fit in fits]),
            column_covariances=np.stack([fit.column_covariance for fit in fits]),
            residual_degrees_of_freedom=np.array([fit.residual_degrees_of_freedom for fit in fits]),
        )
        model = CLAIR(level=self.level)
        fit_quietly(model, record)
        members = model.collaborative_set_
        averaged = blocks
        if model.majority_:
            averaged = refine(record, basis=model.basis_, collaborative_set=members).estimates
        flagged = model.flagged_
        found = verdict_metrics(instance.collaborative_set, flagged, model.majority_)
        return {
            **{name: float(score(model.refined_)) for name, score in instance.extras["scorers"].items()},
            **{f"average_{name}": float(score(averaged)) for name, score in instance.extras["scorers"].items()},
            **found,
            "accused": found["flagged"] - found["hits"],
            "rank": float(model.rank_),
            **{FLAG.format(k): float(is_flagged) for k, is_flagged in enumerate(flagged)},
        }


@dataclass(frozen=True)
class ArmulOnWhitened:
    """Low-rank ARMUL on fits whitened by their pooled covariance, told the noise, the number planted and a rank.

    The rank of real clients is not known, so a study has several and its table may show the best in hindsight.
    """

    name: ClassVar[str] = "ARMUL"

    rank: int = 1

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """The scorers and the regime's other estimation metrics."""
        blocks = instance.estimates.dense()
        whitening = pooled_whitening(instance.extras["fits"])
        record = ClientEstimates(values=whitening.apply(blocks), noise_scales=whitening.noise_scales)
        number = int(np.count_nonzero(~instance.collaborative_set))
        fit = BASELINES["armul_low_rank"](record, rank=self.rank, n_contaminated=number)
        return evaluate(instance, whitening.undo(fit.estimates, blocks=blocks))
