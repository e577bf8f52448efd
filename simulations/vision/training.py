"""Adam on minibatches of the clients' own images, all clients at once; and the model that they start from.

The clients' losses are added, and a client's weights enter its own loss only, so every client follows its own gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clair_stats.records import BoolArray, FloatArray
from simulations.vision.grey_patches import LUMINANCE
from simulations.vision.images import SIDE, IntArray, grey_images, split_of_digits
from simulations.vision.network import Weights, initial_weights, logits

__all__ = ["ImageTraining", "as_weights", "fine_tuned", "pretrained"]


@dataclass(frozen=True)
class ImageTraining:
    """Adam with a constant learning rate.

    Parameters
    ----------
    steps, batch : int
        Steps, and images per step of every client, drawn with replacement from its own.
    learning_rate : float
    """

    steps: int = 60
    batch: int = 16
    learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate: {self.learning_rate} must be positive and finite")


_PRETRAINING = ImageTraining(steps=300, batch=32, learning_rate=3e-3)
_SEED = 20_261_160  # of the first weights and minibatches of the pre-training


def as_weights(base: Weights, updates: Mapping[str, FloatArray]) -> dict[str, Tensor]:
    """W + ΔW_k of every module, (K, out, in)."""
    return {name: base[name] + torch.as_tensor(blocks, dtype=torch.float32) for name, blocks in updates.items()}


def fine_tuned(
    base: Weights, images: FloatArray, labels: IntArray, masks: BoolArray, picks: IntArray, training: ImageTraining
) -> dict[str, FloatArray]:
    """ΔW_k of every module after the client's own training, name -> (K, out, in).

    Parameters
    ----------
    base : mapping of str to Tensor, shape (out, in)
        Where every client starts.
    images : ndarray, shape (K, n, 3, 8, 8)
    labels : int ndarray, shape (K, n)
    masks : bool ndarray, shape (K, steps, batch, 8, 8)
        Pixels that turn grey, for every image seen.
    picks : int ndarray, shape (K, steps, batch)
        Which of its images a client sees.
    training : ImageTraining
    """
    n_clients = len(images)
    weights = {name: w.expand(n_clients, -1, -1).clone().requires_grad_() for name, w in base.items()}
    optimiser = torch.optim.Adam(weights.values(), lr=training.learning_rate, fused=True)
    own, written, grey = torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(labels), torch.as_tensor(masks)
    luminance = torch.as_tensor(LUMINANCE, dtype=torch.float32)
    clients = torch.arange(n_clients)[:, None]
    for step in range(training.steps):
        chosen = torch.as_tensor(picks[:, step])
        batch = own[clients, chosen]
        flat = torch.einsum("knchw,c->knhw", batch, luminance)[:, :, None]
        batch = torch.where(grey[:, step, :, None], flat, batch)
        scores = logits(weights, batch)
        loss = functional.cross_entropy(scores.flatten(0, 1), written[clients, chosen].flatten(), reduction="sum")
        optimiser.zero_grad(set_to_none=True)
        (loss / training.batch).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return {name: (w.detach() - base[name]).numpy().astype(np.float64) for name, w in weights.items()}


@lru_cache(maxsize=1)
def pretrained() -> Mapping[str, Tensor]:
    """The model that all clients of all federations start from: trained on grey digits, without colours or scanners.

    Its images are :func:`~simulations.vision.images.split_of_digits`'s first part, which no client ever sees.
    """
    shapes, labels = split_of_digits()[0]
    training = _PRETRAINING
    picks = np.random.Generator(np.random.PCG64(_SEED)).integers(len(labels), size=(1, training.steps, training.batch))
    masks = np.zeros((1, training.steps, training.batch, SIDE, SIDE), dtype=np.bool_)
    start = initial_weights(_SEED)
    updates = fine_tuned(start, grey_images(shapes)[None], labels[None], masks, picks, training)
    return {name: start[name] + torch.as_tensor(block[0], dtype=torch.float32) for name, block in updates.items()}
