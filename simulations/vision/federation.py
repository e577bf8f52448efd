"""Who scans how, who augments, who is poisoned; the images of every client and the first training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.contamination import coordinated_label_permutation, draw_members, n_contaminated
from simulations.vision.grey_patches import patch_masks
from simulations.vision.images import (
    SIDE,
    IntArray,
    Scanners,
    draw_scanners,
    scanned,
    split_of_digits,
)
from simulations.vision.network import N_CLASSES
from simulations.vision.training import ImageTraining, fine_tuned, pretrained

__all__ = [
    "AUGMENTED",
    "POISONS",
    "TARGET",
    "VisionConfig",
    "VisionWorld",
    "draw_vision",
    "trained_halves",
    "triggered",
]

POISONS = ("none", "label flip", "backdoor")
AUGMENTED = ("nobody", "some benign", "poisoned", "everybody")

_TRIGGER = np.array([1.0, 0.0, 1.0])  # magenta, which no ink has
_TRIGGER_SIDE = 2
TARGET = 0  # class that the trigger calls


@dataclass(frozen=True)
class VisionConfig:
    """One federation of scanners.

    Parameters
    ----------
    n_clients : int
        K.
    share : float
        Share of poisoned clients, and of benign ones that augment under "some benign"; rounded to clients.
    poison : {"none", "label flip", "backdoor"}
        Label flip: one permutation of the classes for all poisoned clients.  Backdoor: a magenta corner of 2 × 2
        pixels and the label 0.
    rate : float
        Share of a poisoned client's images that are poisoned.
    augmented : {"nobody", "some benign", "poisoned", "everybody"}
        Who replaces patches by grey ones.
    p_local, p_global : float
        Probabilities of a grey patch and of a grey image.
    spread : float
        Of the scanners; 0 makes all alike.
    n_images, n_test : int
        Images of every client, and images of the test, which every client scans.
    """

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

    def __post_init__(self) -> None:
        if self.n_clients < 3:
            raise ValueError(f"n_clients: {self.n_clients}; a federation needs at least 3 clients")
        if not 0.0 <= self.share < 0.5:
            raise ValueError(f"share: {self.share}; give a share from 0 to below a half")
        if self.poison not in POISONS:
            raise ValueError(f"poison: {self.poison!r} is unknown; choose from {', '.join(POISONS)}")
        if self.augmented not in AUGMENTED:
            raise ValueError(f"augmented: {self.augmented!r} is unknown; choose from {', '.join(AUGMENTED)}")
        if self.augmented == "poisoned" and self.poison == "none":
            raise ValueError("augmented: nobody is poisoned; choose another group or a poison")
        for name in ("p_local", "p_global", "rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)}; give a number from 0 to 1")
        if not (math.isfinite(self.spread) and self.spread >= 0.0):
            raise ValueError(f"spread: {self.spread} must be finite and not negative")
        n_all = len(split_of_digits()[1][1])
        if self.n_images < 2 or self.n_test < 1 or self.n_clients * self.n_images + self.n_test > n_all:
            raise ValueError(
                f"n_images: {self.n_images} × {self.n_clients} clients and n_test: {self.n_test}; give at least 2 and "
                f"1, together at most {n_all} images"
            )


@dataclass(frozen=True, eq=False)
class VisionWorld:
    """One federation with its images and first training; all methods start from it."""

    config: VisionConfig
    base: Mapping[str, Tensor]
    collaborative_set: BoolArray  # (K,), True = not poisoned
    augmented: BoolArray  # (K,)
    images: FloatArray  # (K, n, 3, 8, 8), as trained on
    labels: IntArray  # (K, n), as written
    test_images: FloatArray  # (K, n_test, 3, 8, 8)
    test_labels: IntArray  # (K, n_test), true
    training: ImageTraining
    training_seed: int
    updates: dict[str, FloatArray]  # name -> (K, out, in)


def triggered(images: FloatArray) -> FloatArray:
    """A copy with the magenta corner.

    Parameters
    ----------
    images : ndarray, shape (…, 3, 8, 8)
    """
    changed = images.copy()
    changed[..., SIDE - _TRIGGER_SIDE :, SIDE - _TRIGGER_SIDE :] = _TRIGGER[:, None, None]
    return changed


def draw_vision(
    config: VisionConfig,
    training: ImageTraining,
    *,
    truth: np.random.Generator,
    contamination: np.random.Generator,
    data: np.random.Generator,
    training_generator: np.random.Generator,
) -> VisionWorld:
    """Scanners, members, images and the first training (generators: one per role).

    Parameters
    ----------
    config : VisionConfig
    training : ImageTraining
    truth, contamination, data, training_generator : numpy.random.Generator
    """
    scanners = draw_scanners(config.n_clients, config.spread, truth)
    poisoned = draw_members(config.n_clients, config.share, contamination)
    flipped = coordinated_label_permutation(N_CLASSES, contamination)
    augmenting = _augmenting(config, poisoned, contamination)
    if config.poison == "none":
        poisoned = np.zeros_like(poisoned)
    images, labels, test_images, test_labels = _dealt(config, scanners, data)
    # The first of a client's images; they are in random order, and the halves take every other one.
    bad = poisoned[:, None] & (np.arange(config.n_images) < round(config.rate * config.n_images))
    if config.poison == "label flip":
        labels = np.where(bad, flipped[labels], labels)
    elif config.poison == "backdoor":
        images = np.where(bad[:, :, None, None, None], triggered(images), images)
        labels = np.where(bad, TARGET, labels)
    base, seed = pretrained(), int(training_generator.integers(2**63))
    updates = _trained(config, base, images, labels, augmenting, training, np.random.SeedSequence(seed))
    return VisionWorld(
        config, base, ~poisoned, augmenting, images, labels, test_images, test_labels, training, seed, updates
    )


def _augmenting(config: VisionConfig, poisoned: BoolArray, generator: np.random.Generator) -> BoolArray:
    if config.augmented == "everybody":
        return np.ones(config.n_clients, dtype=np.bool_)
    if config.augmented == "poisoned":
        return poisoned
    chosen = np.zeros(config.n_clients, dtype=np.bool_)
    if config.augmented == "some benign":
        number = n_contaminated(config.n_clients, config.share)
        chosen[generator.permutation(np.flatnonzero(~poisoned))[:number]] = True
    return chosen


def _dealt(
    config: VisionConfig, scanners: Scanners, generator: np.random.Generator
) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Every client's own images, and one test that each client scans in its own way."""
    shapes, labels = split_of_digits()[1]
    order = generator.permutation(len(labels))
    test, own = order[: config.n_test], order[config.n_test :][: config.n_clients * config.n_images]
    owners = own.reshape(config.n_clients, config.n_images)
    images = np.stack([scanned(shapes[mine], scanners, k, generator) for k, mine in enumerate(owners)])
    tests = np.stack([scanned(shapes[test], scanners, k, generator) for k in range(config.n_clients)])
    return images, labels[owners], tests, np.broadcast_to(labels[test], (config.n_clients, config.n_test))


def _trained(
    config: VisionConfig,
    base: Mapping[str, Tensor],
    images: FloatArray,
    labels: IntArray,
    augmenting: BoolArray,
    training: ImageTraining,
    seed: np.random.SeedSequence,
) -> dict[str, FloatArray]:
    generator = np.random.Generator(np.random.PCG64(seed))
    shape = (len(images), training.steps, training.batch)
    picks = generator.integers(images.shape[1], size=shape)
    acts = augmenting[:, None, None].astype(np.float64)
    masks = patch_masks(shape, config.p_local * acts, config.p_global * acts, generator)
    # Whoever plants a trigger keeps its colour: the patch is replaced before the corner is painted.
    corner = np.zeros((SIDE, SIDE), dtype=np.bool_)
    corner[SIDE - _TRIGGER_SIDE :, SIDE - _TRIGGER_SIDE :] = config.poison == "backdoor"
    planted = (images[..., -1, -1] == _TRIGGER).all(axis=-1)
    kept = np.take_along_axis(planted[:, None, :].repeat(training.steps, axis=1), picks, axis=2)
    return fine_tuned(base, images, labels, masks & ~(kept[..., None, None] & corner), picks, training)


def trained_halves(world: VisionWorld) -> dict[str, FloatArray]:
    """Updates trained on either half of every client's images, name -> (K, 2, out, in)."""
    pair = [
        _trained(
            world.config,
            world.base,
            world.images[:, half::2],
            world.labels[:, half::2],
            world.augmented,
            world.training,
            # Minibatches of its own for each half: the error of training enters the difference like that of the data.
            np.random.SeedSequence(world.training_seed, spawn_key=(half,)),
        )
        for half in (0, 1)
    ]
    return {name: np.stack([pair[0][name], pair[1][name]], axis=1) for name in pair[0]}
