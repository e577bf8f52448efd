"""Verse as a regime and a method: PyTorch is imported only when a replication is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.measures.ordering import probability_above
from simulations.streams import Streams

if TYPE_CHECKING:
    from clair_stats.records import BoolArray
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
        from simulations.copying.handed_back import handed_back, judged
        from simulations.copying.pretrain import one_thread
        from simulations.verse.poets import trained_halves
        from simulations.verse.style import style_metrics

        with one_thread():
            updates = handed_back(instance, self.aggregation, self.rank, partial(trained_halves, instance))
            found = style_metrics(instance, updates, generator)
            if self.aggregation == "clair":
                found |= _detection(instance.collaborative_set, judged(instance, self.rank))
        return found


@dataclass(frozen=True, kw_only=True)
class VerseDetection:
    """The verdict alone: no model is scored, so that more federations are affordable."""

    name: ClassVar[str] = "verse detection"

    def evaluate(self, instance: VerseWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """Who was flagged, and how the scores order forgers and honest poets."""
        from simulations.copying.handed_back import judged
        from simulations.copying.pretrain import one_thread

        with one_thread():
            return _detection(instance.collaborative_set, judged(instance, 0))


def _detection(honest: BoolArray, found: Collaboration) -> dict[str, float]:
    """Detection metrics, shares flagged, whether there was a verdict, and how often a forger's score is the higher."""
    from simulations.copying.handed_back import verdict_metrics

    return {
        **verdict_metrics(honest, found),
        "flagged_honest": float(found.flagged[honest].mean()),
        "flagged_forgers": float(found.flagged[~honest].mean()) if not honest.all() else float("nan"),
        "forgers_above": probability_above(found.scores[~honest], found.scores[honest]),
    }
