"""The LLM case as a regime and a method: PyTorch is imported only when a replication is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.streams import Streams

if TYPE_CHECKING:
    from clair_stats.records import BoolArray
    from simulations.copying.collaborate import Collaboration
    from simulations.copying.federated import FederatedOutcome, World

__all__ = ["CopyingDetection", "CopyingGain", "CopyingMethod", "CopyingRegime", "outcome_metrics"]


@dataclass(frozen=True, kw_only=True)
class CopyingRegime:
    """Clients that fine-tune one copying Transformer by LoRA; see ``simulations.copying.federation`` for the fields.

    Parameters
    ----------
    steps, batch, learning_rate
        Of the local training in every round.
    lora_rank : int
        s; α = s, so that updates are not rescaled.
    """

    name: ClassVar[str] = "copying"

    n_clients: int = 20
    contaminated_share: float = 0.3
    contamination: str = "random_mapping"
    n_sequences: int = 12
    spread: float = 0.5
    changed_tokens: int = 16
    personal_tokens: int = 8
    source: str = "tokens"
    steps: int = 50
    batch: int = 4
    learning_rate: float = 1e-2
    lora_rank: int = 4

    def generate(self, streams: Streams) -> World:
        """Draw rules ("truth"), contamination, data and tests, and train every client once ("training")."""
        from simulations.copying.federated import draw_world
        from simulations.copying.federation import FederationConfig
        from simulations.copying.finetune import FineTuning
        from simulations.copying.lora import LoRA
        from simulations.copying.pretrain import base_model, one_thread

        config = FederationConfig(
            n_clients=self.n_clients,
            contaminated_share=self.contaminated_share,
            contamination=self.contamination,
            n_sequences=self.n_sequences,
            spread=self.spread,
            changed_tokens=self.changed_tokens,
            personal_tokens=self.personal_tokens,
            source=self.source,
        )
        with one_thread():
            return draw_world(
                base_model(),
                config,
                LoRA(rank=self.lora_rank, alpha=float(self.lora_rank)),
                FineTuning(steps=self.steps, batch=self.batch, learning_rate=self.learning_rate),
                truth=streams.generator("truth"),
                contamination=streams.generator("contamination"),
                data=streams.generator("data"),
                tests=streams.generator("tests"),
                training_generator=streams.generator("training"),
            )


@dataclass(frozen=True, kw_only=True)
class CopyingMethod:
    """One aggregation, for one round or several.

    Parameters
    ----------
    aggregation : str
        One of ``simulations.copying.federated.AGGREGATIONS``.
    rounds : int
        Rounds of local training and aggregation.
    rank : int
        r of CLAIR.
    shared : {"columns", "rows"}
    """

    name: ClassVar[str] = "copying"

    aggregation: str
    rounds: int = 1
    rank: int = 4
    shared: str = "columns"

    def evaluate(self, instance: World, generator: np.random.Generator) -> Mapping[str, float]:
        """Accuracy and loss, mean over benign clients, and detection where there is any."""
        from simulations.copying.federated import run_rounds
        from simulations.copying.pretrain import one_thread

        with one_thread():
            outcome = run_rounds(instance, self.aggregation, rounds=self.rounds, rank=self.rank, shared=self.shared)
            return outcome_metrics(instance, outcome)


def outcome_metrics(world: World, outcome: FederatedOutcome) -> dict[str, float]:
    """Accuracies and losses of benign clients, success of a backdoor, and what a detection found.

    Parameters
    ----------
    world : World
    outcome : FederatedOutcome

    Returns
    -------
    dict of str to float
        Means over benign clients.
    """
    from simulations.copying.evaluate import score

    benign = world.federation.collaborative_set
    updates = {name: blocks[benign] for name, blocks in outcome.updates.items()}
    values: dict[str, float] = {}
    for kind in ("own", "common", "common_rule"):
        scores = score(world.base, updates, getattr(world.tests, kind).of(benign))
        values[f"{kind}_accuracy"] = float(scores.token_accuracy.mean())
        values[f"{kind}_sequences"] = float(scores.sequence_accuracy.mean())
        values[f"{kind}_loss"] = float(scores.loss.mean())
    if world.federation.config.contamination == "backdoor":
        attacked = score(world.base, updates, world.tests.triggered.of(benign))
        values["backdoor_success"] = float(attacked.token_accuracy.mean())
    if outcome.collaboration is not None:
        values |= _detection(benign, outcome.collaboration)
    return values


def _detection(benign: BoolArray, found: Collaboration) -> dict[str, float]:
    flagged = found.flagged
    return {
        # Without a verdict nobody is flagged, which is the truth in a clean federation and yet found by nobody.
        "exact_set": float(found.collaborative_set.any() and np.array_equal(flagged, ~benign)),
        "any_false_alarm": float(np.any(flagged & benign)),
        "true_positives": float(np.sum(flagged & ~benign)),
        "false_positives": float(np.sum(flagged & benign)),
        "false_negatives": float(np.sum(~flagged & ~benign)),
    }


@dataclass(frozen=True, kw_only=True)
class CopyingDetection:
    """One-shot detection alone: no model is scored, so many federations are affordable.

    Parameters
    ----------
    level : float
        Probability of any false alarm.
    detection : {"consensus", "program"}
        As in :class:`clair_stats.CLAIR`.
    """

    name: ClassVar[str] = "copying_detection"

    level: float = 0.02
    detection: str = "consensus"

    def evaluate(self, instance: World, generator: np.random.Generator) -> Mapping[str, float]:
        """Who was found, and whether anybody benign was flagged."""
        from simulations.copying.collaborate import collaborate
        from simulations.copying.pretrain import one_thread

        with one_thread():
            found = collaborate(instance.first.dense(), rank=0, level=self.level, detection=self.detection)
        return _detection(instance.federation.collaborative_set, found)


@dataclass(frozen=True, kw_only=True)
class CopyingGain:
    """One-shot comparison of local, average and CLAIR in one row, beside what Theorem 5's rule predicted.

    The rule sees two trainings on independent data of the same size; the reference updates, which only judge it, are
    trained on ``reference_sequences`` a client.
    """

    name: ClassVar[str] = "copying_gain"

    rank: int = 4
    reference_sequences: int = 128

    def evaluate(self, instance: World, generator: np.random.Generator) -> Mapping[str, float]:
        """Accuracies, predicted and realised gain (per client over all modules, and per module), and diagnostics."""
        from simulations.copying.collaborate import collaborate
        from simulations.copying.diagnostics import gain_rule, leverages, off_subspace_share
        from simulations.copying.evaluate import score
        from simulations.copying.federated import retrained
        from simulations.copying.pretrain import one_thread

        benign = instance.federation.collaborative_set
        with one_thread():
            first = instance.first.dense()
            second = retrained(instance, generator, n_sequences=None).dense()
            reference = retrained(instance, generator, n_sequences=self.reference_sequences).dense()
            found = collaborate(first, rank=self.rank)
            average = {name: np.repeat(x.mean(axis=0)[None], len(x), axis=0) for name, x in first.items()}
            accuracy = {
                name: score(instance.base, updates, instance.tests.own).token_accuracy
                for name, updates in (("local", first), ("average", average), ("clair", found.refined))
            }
        members = found.collaborative_set
        rule = gain_rule(first, second, found.refined, reference, found.bases, members)
        predicted, realised = rule.predicted.sum(axis=1) > 0, rule.realised.sum(axis=1) > 0
        better = (accuracy["clair"] > accuracy["local"])[members]
        shares = off_subspace_share(first, found.bases, members)
        return {
            **{f"{name}_accuracy": float(values[benign].mean()) for name, values in accuracy.items()},
            "exact_set": float(np.array_equal(members, benign)),
            "predicted_gain": float(predicted.mean()),
            "realised_gain": float(realised.mean()),
            "more_accurate": float(better.mean()),
            "sign_agreement": float((predicted == realised).mean()),
            "module_sign_agreement": float(((rule.predicted > 0) == (rule.realised > 0)).mean()),
            "noise": float(rule.noise.sum(axis=1).mean()),
            "heterogeneity": float(rule.heterogeneity.sum(axis=1).mean()),
            "off_subspace_share": float(np.mean(list(shares.values()))),
            "leverage": max(leverages(first, found.bases, members).values()),
        }
