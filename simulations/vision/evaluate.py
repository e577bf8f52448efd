"""Accuracy of the benign clients' models, clean and attacked, and what the verdict says about groups of clients."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from clair_stats.records import BoolArray, FloatArray
from simulations.copying.collaborate import Collaboration
from simulations.copying.handed_back import verdict_metrics
from simulations.measures.ordering import probability_above
from simulations.vision.attacks import AttackSizes, named_attacks
from simulations.vision.federation import TARGET, VisionWorld, triggered
from simulations.vision.network import Weights, logits
from simulations.vision.training import as_weights

__all__ = ["accuracies", "verdict_on_groups"]


def accuracies(
    world: VisionWorld, updates: Mapping[str, FloatArray], sizes: AttackSizes, *, seed: int
) -> dict[str, float]:
    """Mean over benign clients of the accuracy on the test as each scans it.

    Parameters
    ----------
    world : VisionWorld
    updates : mapping of str to ndarray, shape (K, out, in)
        ΔW_k that the clients use.
    sizes : AttackSizes
    seed : int
        Of the attacks' random starts.

    Returns
    -------
    dict of str to float
        "clean", "worst_client", one for each attack, and "backdoor": the share of images of other classes that the
        trigger turns into the target, NaN without a backdoor.
    """
    benign = world.collaborative_set
    weights = as_weights(world.base, {name: blocks[benign] for name, blocks in updates.items()})
    images = torch.as_tensor(world.test_images[benign], dtype=torch.float32)
    labels = torch.as_tensor(world.test_labels[benign].copy())
    own = _hits(weights, images, labels).mean(dim=1)
    found = {"clean": float(own.mean()), "worst_client": float(own.min())}
    for name, attack in named_attacks(sizes).items():
        moved = attack(weights, images, labels, torch.Generator().manual_seed(seed))
        found[name] = float(_hits(weights, moved, labels).mean())
    found["backdoor"] = math.nan
    if world.config.poison == "backdoor":
        painted = torch.as_tensor(triggered(world.test_images[benign]), dtype=torch.float32)
        other = labels != TARGET
        called = _hits(weights, painted, torch.full_like(labels, TARGET))
        found["backdoor"] = float(called[other].mean())
    return found


def _hits(weights: Weights, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return (logits(weights, images).argmax(-1) == labels).double()


def verdict_on_groups(world: VisionWorld, found: Collaboration) -> dict[str, float]:
    """Who was flagged, by group, and how well the scores tell groups apart.

    Returns
    -------
    dict of str to float
        The detection metrics; "majority" (1 = a verdict was given); "flagged_plain", "flagged_augmented" and
        "flagged_poisoned", shares of benign clients without and with augmentation and of poisoned ones;
        "augmented_above", the probability that an augmented benign client's score exceeds a plain benign one's (.5 =
        they look alike), and "poisoned_above", that a poisoned client's exceeds a benign one's.  NaN where a group is
        empty.
    """
    benign, augmented, flagged = world.collaborative_set, world.augmented, found.flagged
    plain, grey = benign & ~augmented, benign & augmented
    return {
        **verdict_metrics(benign, found),
        "flagged_plain": _share(flagged, plain),
        "flagged_augmented": _share(flagged, grey),
        "flagged_poisoned": _share(flagged, ~benign),
        "augmented_above": probability_above(found.scores[grey], found.scores[plain]),
        "poisoned_above": probability_above(found.scores[~benign], found.scores[benign]),
    }


def _share(flagged: BoolArray, group: BoolArray) -> float:
    return float(flagged[group].mean()) if group.any() else math.nan
