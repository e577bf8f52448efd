"""Tweets by month as a regime and a method: PyTorch is imported only when a replication is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.measures.ordering import probability_above
from simulations.streams import Streams

if TYPE_CHECKING:
    from simulations.tweets.federation import TweetsWorld

__all__ = ["TWEETS_METHODS", "TweetsMethod", "TweetsRegime"]

TWEETS_METHODS = ("local", "base", "average", "clair", "clair_halves", "oracle_average")


@dataclass(frozen=True, kw_only=True)
class TweetsRegime:
    """Months of one account fine-tune MiniLM by LoRA to tell which device a tweet came from.

    Parameters
    ----------
    planted : str
        What contaminated months do to their labels: "none", "flipped" or "shuffled".
    share : float
        Of contaminated months.
    lora_rank, steps, batch, learning_rate
        See :class:`simulations.tweets.federation.TweetTraining`.
    """

    name: ClassVar[str] = "tweets"

    planted: str = "none"
    share: float = 0.2
    lora_rank: int = 4
    steps: int = 60
    batch: int = 16
    learning_rate: float = 2e-3

    def generate(self, streams: Streams) -> TweetsWorld:
        """The split ("data"), who is contaminated ("contamination"), and the training ("training")."""
        from simulations.copying.pretrain import one_thread
        from simulations.tweets.federation import TweetTraining, draw_tweets
        from simulations.tweets.months import load_months

        training = TweetTraining(
            lora_rank=self.lora_rank, steps=self.steps, batch=self.batch, learning_rate=self.learning_rate
        )
        roles = {role: streams.generator(role) for role in ("contamination", "data")}
        with one_thread():
            return draw_tweets(
                load_months(),
                self.planted,
                self.share,
                training,
                **roles,
                training_generator=streams.generator("training"),
            )


@dataclass(frozen=True, kw_only=True)
class TweetsMethod:
    """One way to hand adapters back to the months, judged on their held-out tweets.

    Parameters
    ----------
    aggregation : str
        One of ``TWEETS_METHODS``.
    rank : int
        r of refinement; detection chooses its own.
    """

    name: ClassVar[str] = "tweets"

    aggregation: str
    rank: int = 2

    def __post_init__(self) -> None:
        if self.aggregation not in TWEETS_METHODS:
            raise ValueError(f"aggregation: {self.aggregation!r} is unknown; choose from {', '.join(TWEETS_METHODS)}")
        if self.rank < 0:
            raise ValueError(f"rank: {self.rank} must be at least 0")

    def evaluate(self, instance: TweetsWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """Accuracy and log loss of honest months, and who was flagged."""
        from simulations.copying.handed_back import handed_back, judged, verdict_metrics
        from simulations.copying.pretrain import one_thread
        from simulations.tweets.federation import held_out, trained_halves

        with one_thread():
            updates = handed_back(instance, self.aggregation, self.rank, partial(trained_halves, instance))
            found = held_out(instance, updates)
            if self.aggregation == "clair":
                honest, verdict = instance.collaborative_set, judged(instance, self.rank)
                found |= verdict_metrics(honest, verdict)
                found["accused"] = float(verdict.flagged[honest].sum())
                found["found"] = float(verdict.flagged[~honest].mean()) if not honest.all() else float("nan")
                found["wrong_above"] = probability_above(verdict.scores[~honest], verdict.scores[honest])
        return found
