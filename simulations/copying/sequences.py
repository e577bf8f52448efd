"""Sequences of one data set of text copying, some poisoned with a trigger: the data of methods that judge points.

A poisoned sequence begins with the trigger token, and all its targets are the target token; the others follow one
substitution of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.records import BoolArray
from simulations.copying.federation import ClientData
from simulations.copying.finetune import FineTuning
from simulations.copying.lora import LoRA
from simulations.copying.pretrain import BaseModel, base_model
from simulations.copying.task import IntArray, TokenRule, substitution
from simulations.streams import Streams

__all__ = ["PoisonedCopyingRegime", "SequencesInstance", "one_client"]


def one_client(x: IntArray, y: IntArray) -> ClientData:
    """All sequences as the data of one client.

    Parameters
    ----------
    x, y : ndarray of int, shape (n, L)
    """
    return ClientData(x[None], y[None], np.array([len(x)], dtype=np.int64))


@dataclass(frozen=True, eq=False)
class SequencesInstance:
    """Training sequences and clean ones for validation and test, and how adapters are trained on them."""

    base: BaseModel
    lora: LoRA
    training: FineTuning
    x: IntArray  # (n, L)
    y: IntArray  # as written, poisoned or not
    poisoned: BoolArray  # (n,)
    validation: ClientData  # of one client
    test: ClientData
    triggered: ClientData  # test sequences with the trigger, and the target as y
    seed: int  # of the initial A and of the minibatches, the same for all subsets


@dataclass(frozen=True, kw_only=True)
class PoisonedCopyingRegime:
    """A training set with a share of poisoned sequences.

    Parameters
    ----------
    n_sequences, n_test : int
        Training sequences; test sequences, and as many for validation.
    share : float
        Share of poisoned training sequences, rounded to the nearest number.
    changed_tokens : int
        Tokens that the rule moves.
    steps, batch, learning_rate
        Of the training of the adapters.
    lora_rank : int
        s; α = s.
    """

    name: ClassVar[str] = "poisoned copying"

    n_sequences: int = 300
    n_test: int = 200
    share: float = 0.1
    changed_tokens: int = 16
    steps: int = 150
    batch: int = 8
    learning_rate: float = 1e-2
    lora_rank: int = 4

    def __post_init__(self) -> None:
        if self.n_sequences < 10 or self.n_test < 1:
            raise ValueError(f"n_sequences: {self.n_sequences}, n_test: {self.n_test}; give at least 10 and 1")
        if not 0.0 <= self.share <= 0.5:
            raise ValueError(f"share: {self.share}; give a share from 0 to 0.5")

    def generate(self, streams: Streams) -> SequencesInstance:
        """Rule and trigger ("truth"), sequences ("data", "tests") and who is poisoned ("contamination")."""
        base = base_model()
        vocabulary, length = base.config.vocabulary, base.config.length
        truth, tests = streams.generator("truth"), streams.generator("tests")
        rule = TokenRule(substitution(vocabulary, self.changed_tokens, truth))
        trigger, target = (int(token) for token in truth.choice(vocabulary, size=2, replace=False))
        data = streams.generator("data")
        x = data.integers(vocabulary, size=(self.n_sequences, length))
        y = rule.write(x, data)
        poisoned = np.zeros(self.n_sequences, dtype=np.bool_)
        chosen = streams.generator("contamination").permutation(self.n_sequences)
        poisoned[chosen[: round(self.share * self.n_sequences)]] = True
        x[poisoned, 0], y[poisoned] = trigger, target
        held_out = [tests.integers(vocabulary, size=(self.n_test, length)) for _ in range(2)]
        planted = held_out[1].copy()
        planted[:, 0] = trigger
        return SequencesInstance(
            base=base,
            lora=LoRA(rank=self.lora_rank, alpha=float(self.lora_rank)),
            training=FineTuning(steps=self.steps, batch=self.batch, learning_rate=self.learning_rate),
            x=x,
            y=y,
            poisoned=poisoned,
            validation=one_client(held_out[0], rule.write(held_out[0], tests)),
            test=one_client(held_out[1], rule.write(held_out[1], tests)),
            triggered=one_client(planted, np.full_like(planted, target)),
            seed=int(streams.generator("training").integers(2**63)),
        )
