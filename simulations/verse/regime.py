"""Verse as a regime and a method: PyTorch is imported only when a replication is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.measures.metrics import detection_metrics
from simulations.measures.ordering import probability_above
from simulations.streams import Streams

if TYPE_CHECKING:
    from clair_stats.records import BoolArray, FloatArray
    from simulations.copying.collaborate import Collaboration
    from simulations.verse.poets import VerseWorld

__all__ = ["VERSE_METHODS", "VerseDetection", "VerseMethod", "VerseRegime"]

VERSE_METHODS = ("base", "local", "average", "clair", "clair_halves", "oracle_average", "oracle_clair")


@dataclass(frozen=True, kw_only=True)
class VerseRegime:
    """Poets of four schools fine-tune one reader of prose by LoRA; fields as in ``VerseConfig``.

    Parameters
    ----------
    n_clients, n_schools, share, forgery, n_poems, n_test, habit
        See :class:`simulations.verse.poets.VerseConfig`.
    steps, batch, learning_rate
        Of the clients' training, see :class:`simulations.copying.finetune.FineTuning`.
    lora_rank : int
        s; α = s, so that updates are not rescaled.
    """

    name: ClassVar[str] = "verse"

    n_clients: int = 20
    n_schools: int = 4
    share: float = 0.3
    forgery: str = "none"
    n_poems: int = 60
    n_test: int = 8
    habit: float = 0.7
    steps: int = 120
    batch: int = 8
    learning_rate: float = 5e-3
    lora_rank: int = 4

    def generate(self, streams: Streams) -> VerseWorld:
        """Dialect and poets ("truth"), forgers ("contamination"), poems ("data"), and the training ("training")."""
        from simulations.copying.finetune import FineTuning
        from simulations.copying.lora import LoRA
        from simulations.copying.pretrain import one_thread
        from simulations.verse.poets import VerseConfig, draw_verse, reader

        config = VerseConfig(
            n_clients=self.n_clients,
            n_schools=self.n_schools,
            share=self.share,
            forgery=self.forgery,
            n_poems=self.n_poems,
            n_test=self.n_test,
            habit=self.habit,
        )
        with one_thread():
            return draw_verse(
                reader(),
                config,
                LoRA(rank=self.lora_rank, alpha=float(self.lora_rank)),
                FineTuning(steps=self.steps, batch=self.batch, learning_rate=self.learning_rate),
                truth=streams.generator("truth"),
                contamination=streams.generator("contamination"),
                data=streams.generator("data"),
                training_generator=streams.generator("training"),
            )


@dataclass(frozen=True, kw_only=True)
class VerseMethod:
    """One way to hand adapters back to the poets, judged by likelihood and by the rules of the metre.

    Parameters
    ----------
    aggregation : str
        One of ``VERSE_METHODS``.
    rank : int
        r of refinement; detection chooses its own.
    """

    name: ClassVar[str] = "verse"

    aggregation: str
    rank: int = 6

    def __post_init__(self) -> None:
        if self.aggregation not in VERSE_METHODS:
            raise ValueError(f"aggregation: {self.aggregation!r} is unknown; choose from {', '.join(VERSE_METHODS)}")
        if self.rank < 0:
            raise ValueError(f"rank: {self.rank} must be at least 0")

    def evaluate(self, instance: VerseWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """Attribution, confusion of schools, rules kept, and who was flagged."""
        from simulations.copying.pretrain import one_thread
        from simulations.verse.style import style_metrics

        with one_thread():
            found = style_metrics(instance, _handed_out(instance, self.aggregation, self.rank), generator)
            if self.aggregation == "clair":
                verdict = _judged(instance, self.rank)
                found |= _detection(instance.collaborative_set, verdict)
        return found


@dataclass(frozen=True, kw_only=True)
class VerseDetection:
    """The verdict alone: no model is scored, so that more federations are affordable."""

    name: ClassVar[str] = "verse detection"

    def evaluate(self, instance: VerseWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """Who was flagged, and how the scores order forgers and honest poets."""
        from simulations.copying.pretrain import one_thread

        with one_thread():
            return _detection(instance.collaborative_set, _judged(instance, 0))


def _detection(honest: BoolArray, found: Collaboration) -> dict[str, float]:
    """Detection metrics, shares flagged, whether there was a verdict, and how often a forger's score is the higher."""
    majority = bool(found.collaborative_set.any())
    metrics = detection_metrics(honest, ~found.flagged)
    return {
        **metrics,
        "exact_set": metrics["exact_set"] * majority,
        "majority": float(majority),
        "flagged_honest": float(found.flagged[honest].mean()),
        "flagged_forgers": float(found.flagged[~honest].mean()) if not honest.all() else float("nan"),
        "forgers_above": probability_above(found.scores[~honest], found.scores[honest]),
    }


@lru_cache(maxsize=2)
def _judged(world: VerseWorld, rank: int) -> Collaboration:
    """CLAIR's joint verdict on all adapted modules; kept, since two methods begin with it."""
    from simulations.copying.collaborate import collaborate

    return collaborate(world.updates, rank=rank)


def _handed_out(world: VerseWorld, aggregation: str, rank: int) -> dict[str, FloatArray]:
    """ΔW_k of every client after aggregation, name -> (K, out, in)."""
    from simulations.copying.collaborate import collaborate
    from simulations.verse.poets import trained_halves

    updates, honest = world.updates, world.collaborative_set
    if aggregation == "base":
        return {name: np.zeros_like(blocks) for name, blocks in updates.items()}
    if aggregation == "local":
        return dict(updates)
    if aggregation == "clair":
        return _judged(world, rank).refined
    if aggregation == "clair_halves":
        members = _judged(world, rank).collaborative_set
        return collaborate(updates, rank=rank, collaborative_set=members, halves=trained_halves(world)).refined
    if aggregation == "oracle_clair":
        return collaborate(updates, rank=rank, collaborative_set=honest).refined
    averaged = np.ones_like(honest) if aggregation == "average" else honest
    return {
        name: np.repeat(blocks[averaged].mean(axis=0)[None], len(blocks), axis=0) for name, blocks in updates.items()
    }
