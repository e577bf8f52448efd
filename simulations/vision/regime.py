"""Vision as a regime and a method: PyTorch is imported only when a replication is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from simulations.streams import Streams

if TYPE_CHECKING:
    from simulations.vision.federation import VisionWorld

__all__ = ["VISION_METHODS", "VisionDetection", "VisionMethod", "VisionRegime"]

VISION_METHODS = ("base", "local", "average", "clair", "clair_halves", "oracle_average", "oracle_clair")


@dataclass(frozen=True, kw_only=True)
class VisionRegime:
    """Clients with scanners of their own fine-tune one image model; fields as in ``VisionConfig``.

    Parameters
    ----------
    n_clients, share, poison, rate, augmented, p_local, p_global, spread, n_images, n_test
        See :class:`simulations.vision.federation.VisionConfig`.
    steps, batch, learning_rate
        Of the clients' training, see :class:`simulations.vision.training.ImageTraining`.
    """

    name: ClassVar[str] = "vision"

    n_clients: int = 20
    share: float = 0.3
    poison: str = "none"
    rate: float = 1.0
    augmented: str = "nobody"
    p_local: float = 0.4
    p_global: float = 0.05
    spread: float = 0.6
    n_images: int = 50
    n_test: int = 50
    steps: int = 60
    batch: int = 16
    learning_rate: float = 2e-3

    def generate(self, streams: Streams) -> VisionWorld:
        """Scanners ("truth"), who is poisoned and augments ("contamination"), images ("data"), minibatches."""
        from simulations.copying.pretrain import one_thread
        from simulations.vision.federation import VisionConfig, draw_vision
        from simulations.vision.training import ImageTraining

        config = VisionConfig(
            n_clients=self.n_clients,
            share=self.share,
            poison=self.poison,
            rate=self.rate,
            augmented=self.augmented,
            p_local=self.p_local,
            p_global=self.p_global,
            spread=self.spread,
            n_images=self.n_images,
            n_test=self.n_test,
        )
        training = ImageTraining(steps=self.steps, batch=self.batch, learning_rate=self.learning_rate)
        roles = {role: streams.generator(role) for role in ("truth", "contamination", "data")}
        with one_thread():
            return draw_vision(config, training, **roles, training_generator=streams.generator("training"))


@dataclass(frozen=True, kw_only=True)
class VisionMethod:
    """One way to hand models back to the clients, with clean and robust accuracy of the benign ones.

    Parameters
    ----------
    aggregation : str
        One of ``VISION_METHODS``.
    rank : int
        r of refinement; detection chooses its own.
    bound, similarity, attack_steps
        See :class:`simulations.vision.attacks.AttackSizes`.
    """

    name: ClassVar[str] = "vision"

    aggregation: str
    rank: int = 4
    bound: float = 0.02
    similarity: float = 0.98
    attack_steps: int = 8

    def __post_init__(self) -> None:
        if self.aggregation not in VISION_METHODS:
            raise ValueError(f"aggregation: {self.aggregation!r} is unknown; choose from {', '.join(VISION_METHODS)}")
        if self.rank < 0:
            raise ValueError(f"rank: {self.rank} must be at least 0")

    def evaluate(self, instance: VisionWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """Accuracy of benign clients, clean and under each attack, and who was flagged."""
        from simulations.copying.handed_back import handed_back, judged
        from simulations.copying.pretrain import one_thread
        from simulations.vision.attacks import AttackSizes
        from simulations.vision.evaluate import accuracies, verdict_on_groups
        from simulations.vision.federation import trained_halves

        sizes = AttackSizes(bound=self.bound, similarity=self.similarity, steps=self.attack_steps)
        with one_thread():
            updates = handed_back(instance, self.aggregation, self.rank, partial(trained_halves, instance))
            found = accuracies(instance, updates, sizes, seed=int(generator.integers(2**62)))
            if self.aggregation == "clair":
                found |= verdict_on_groups(instance, judged(instance, self.rank))
        return found


@dataclass(frozen=True, kw_only=True)
class VisionDetection:
    """The verdict alone: no model is scored, so that more federations are affordable."""

    name: ClassVar[str] = "vision detection"

    def evaluate(self, instance: VisionWorld, generator: np.random.Generator) -> Mapping[str, float]:
        """Who was flagged, by group."""
        from simulations.copying.handed_back import judged
        from simulations.copying.pretrain import one_thread
        from simulations.vision.evaluate import verdict_on_groups

        with one_thread():
            return verdict_on_groups(instance, judged(instance, 0))
