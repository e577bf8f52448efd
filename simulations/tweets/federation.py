"""Months that fine-tune the last layer of the encoder by LoRA, some of them with wrong labels.

Every client starts from B = 0 and one A that all share, as in the copying case (:mod:`simulations.copying.lora`), and
learns to tell the devices apart from half of its tweets; the other half is held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.contamination import draw_members
from simulations.tweets.encoder import MODULES, first_token
from simulations.tweets.months import Months

__all__ = ["Planted", "TweetTraining", "TweetsWorld", "draw_tweets", "held_out", "trained_halves"]

Planted = Literal["none", "flipped", "shuffled"]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TweetTraining:
    """How a client fine-tunes.

    Parameters
    ----------
    lora_rank : int
        s; updates are BA, not rescaled.
    steps, batch : int
        AdamW steps, and tweets per client and step.
    learning_rate : float
    """

    lora_rank: int = 4
    steps: int = 60
    batch: int = 16
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("lora_rank", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if not 0.0 < self.learning_rate < np.inf:
            raise ValueError(f"learning_rate: {self.learning_rate} must be positive and finite")


@dataclass(frozen=True, eq=False)
class TweetsWorld:
    """One split of the months, and the updates of the first training."""

    months: Months
    training: TweetTraining
    collaborative_set: BoolArray  # (K,), True = labels as they are
    train: tuple[IntArray, ...]  # by client, numbers of texts
    test: tuple[IntArray, ...]
    labels: IntArray  # (n,), as the clients believe them to be
    right: Mapping[str, FloatArray]  # (s, d) by module, the A that all start from
    seed: int
    updates: dict[str, FloatArray]  # (K, d, d) by module


def draw_tweets(
    months: Months,
    planted: str,
    share: float,
    training: TweetTraining,
    *,
    contamination: np.random.Generator,
    data: np.random.Generator,
    training_generator: np.random.Generator,
) -> TweetsWorld:
    """Split every month in halves, plant wrong labels in some, train all (generators: one per role).

    Parameters
    ----------
    months : Months
    planted : {"none", "flipped", "shuffled"}
        What contaminated months do to the labels that they learn from.
    share : float
        Of contaminated months.
    training : TweetTraining
    contamination, data, training_generator : numpy.random.Generator

    Raises
    ------
    ValueError
        An unknown way to plant.
    """
    if planted not in get_args(Planted):
        raise ValueError(f"planted: {planted!r} is unknown; choose from {', '.join(get_args(Planted))}")
    n_clients, labels = len(months.names), months.labels.copy()
    wrong = draw_members(n_clients, share, contamination) & (planted != "none")
    train, test = [], []
    for k in range(n_clients):
        own = data.permutation(np.flatnonzero(months.owners == k))
        train.append(np.sort(own[: own.size // 2]))
        test.append(np.sort(own[own.size // 2 :]))
        if wrong[k]:
            told = labels[train[k]]
            labels[train[k]] = 1 - told if planted == "flipped" else contamination.permutation(told)
    width = months.encoder.width
    right = {name: training_generator.standard_normal((training.lora_rank, width)) / np.sqrt(width) for name in MODULES}
    seed = int(training_generator.integers(2**63))
    updates = _trained(months, train, labels, training, right, np.random.SeedSequence(seed))
    return TweetsWorld(months, training, ~wrong, tuple(train), tuple(test), labels, right, seed, updates)


def trained_halves(world: TweetsWorld) -> dict[str, FloatArray]:
    """Updates trained on either half of every client's tweets, name → (K, 2, d, d).

    Parameters
    ----------
    world : TweetsWorld
    """
    pair = [
        _trained(
            world.months,
            [own[half::2] for own in world.train],
            world.labels,
            world.training,
            world.right,
            np.random.SeedSequence(world.seed, spawn_key=(half,)),
        )
        for half in (0, 1)
    ]
    return {name: np.stack([one[name] for one in pair], axis=1) for name in pair[0]}


def _trained(
    months: Months,
    own: Sequence[IntArray],
    labels: IntArray,
    training: TweetTraining,
    right: Mapping[str, FloatArray],
    seed: np.random.SeedSequence,
) -> dict[str, FloatArray]:
    """ΔW of all clients by module; the loss of each is its own, so that clients do not see each other."""
    generator, n_clients = np.random.Generator(np.random.PCG64(seed)), len(own)
    factors = {}
    for name, initial in right.items():
        first = torch.from_numpy(np.repeat(initial[None], n_clients, axis=0).astype(np.float32))
        factors[name] = (torch.zeros_like(first.mT.contiguous()).requires_grad_(), first.requires_grad_())
    flat = [side for pair in factors.values() for side in pair]
    optimiser = torch.optim.AdamW(flat, lr=training.learning_rate, weight_decay=0.0)
    target = torch.from_numpy(labels).float()
    for _ in range(training.steps):
        drawn = torch.from_numpy(
            np.stack([texts[generator.integers(texts.size, size=training.batch)] for texts in own])
        )
        odds = _log_odds(months, drawn, factors)
        loss = functional.binary_cross_entropy_with_logits(odds, target[drawn], reduction="none").mean(1).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    # In double precision, so that the product has the rank of its factors.
    return {name: (left.detach().double() @ right.detach().double()).numpy() for name, (left, right) in factors.items()}


def _log_odds(months: Months, drawn: Tensor, updates: Mapping[str, tuple[Tensor, Tensor | None]]) -> Tensor:
    """(K, n) of the texts ``drawn`` (K, n)."""
    found = first_token(months.encoder, months.seen.at(drawn), updates)
    return found @ months.readout.weights + months.readout.intercept


def held_out(world: TweetsWorld, updates: Mapping[str, FloatArray]) -> dict[str, float]:
    """Accuracy and mean log loss on the held-out tweets of honest months, months with the same weight.

    Parameters
    ----------
    world : TweetsWorld
    updates : mapping of str to ndarray, shape (K, d, d)
        What each client is handed, by module.
    """
    right, loss = [], []
    for k in np.flatnonzero(world.collaborative_set):
        own = {name: (torch.tensor(blocks[k : k + 1]).float(), None) for name, blocks in updates.items()}
        with torch.no_grad():
            odds = _log_odds(world.months, torch.from_numpy(world.test[k])[None], own)[0]
        target = torch.from_numpy(world.months.labels[world.test[k]]).float()
        right.append(float(((odds > 0) == (target > 0.5)).double().mean()))
        loss.append(float(functional.binary_cross_entropy_with_logits(odds.double(), target.double())))
    return {"accuracy": float(np.mean(right)), "log_loss": float(np.mean(loss))}
