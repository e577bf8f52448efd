"""Aggregations of adapters over rounds of text copying as methods of a study; PyTorch is imported when one runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.copying.regime import outcome_metrics

if TYPE_CHECKING:
    from simulations.copying.federated import World

__all__ = ["CopyingClair", "CopyingClairThenFlora", "CopyingFedsa", "CopyingFlora", "CopyingScheme"]

_BYTES = 4  # of a number: training is in single precision


@dataclass(frozen=True, kw_only=True)
class CopyingScheme:
    """One scheme of :mod:`simulations.copying.rival_rounds`.

    Parameters
    ----------
    scheme : str
        See :func:`simulations.copying.rival_rounds.run_scheme`.
    rounds : int

    Notes
    -----
    Metrics: those of :func:`simulations.copying.regime.outcome_metrics`; ``resisted``, one less the token accuracy of
    the target on sequences that carry the trigger, whatever the contamination; ``kilobytes``, sent in both directions
    per client and round.
    """

    name: ClassVar[str] = "Aggregation over rounds"

    scheme: str
    rounds: int = 3

    def evaluate(self, instance: World, generator: np.random.Generator) -> Mapping[str, float]:
        """Accuracy of benign clients after the last round, and the numbers sent."""
        from simulations.copying.evaluate import score
        from simulations.copying.pretrain import one_thread
        from simulations.copying.rival_rounds import run_scheme

        benign = instance.federation.collaborative_set
        with one_thread():
            outcome, sent = run_scheme(instance, self.scheme, rounds=self.rounds)
            metrics = outcome_metrics(instance, outcome)
            updates = {name: blocks[benign] for name, blocks in outcome.updates.items()}
            attacked = score(instance.base, updates, instance.tests.triggered.of(benign))
        per_round = sent / (instance.federation.n_clients * self.rounds)
        return metrics | {
            "resisted": 1.0 - float(attacked.token_accuracy.mean()),
            "kilobytes": _BYTES * per_round / 1000.0,
        }


@dataclass(frozen=True, kw_only=True)
class CopyingClair(CopyingScheme):
    """CLAIR refines in every round, with the set of the first."""

    name: ClassVar[str] = "CLAIR over rounds"

    scheme: str = "clair"


@dataclass(frozen=True, kw_only=True)
class CopyingClairThenFlora(CopyingScheme):
    """FLoRA among those whom CLAIR keeps after the first round."""

    name: ClassVar[str] = "CLAIR, then FLoRA"

    scheme: str = "clair_members"


@dataclass(frozen=True, kw_only=True)
class CopyingFlora(CopyingScheme):
    """FLoRA among everybody."""

    name: ClassVar[str] = "FLoRA"

    scheme: str = "flora"


@dataclass(frozen=True, kw_only=True)
class CopyingFedsa(CopyingScheme):
    """Every client its own B beside the mean of A."""

    name: ClassVar[str] = "FedSA-LoRA"

    scheme: str = "fedsa_lora"
