"""One federation of the image study drawn again: what its clients see and what is done to it, and the joint scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reports.renderers.joint_scores import draw_joint_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from clair_stats.records import FloatArray
    from simulations.copying.collaborate import Collaboration
    from simulations.vision.federation import VisionWorld

__all__ = ["vision_picture"]

_ROWS = ("scan", "grey patch", "trigger", "PGD", "similar")
_N_CLIENTS = 4


def _examples(world: VisionWorld) -> FloatArray:
    """Images (rows, clients, 3, 8, 8): the first test image as four benign clients scan it, and what becomes of it."""
    import torch

    from simulations.vision.attacks import AttackSizes, named_attacks
    from simulations.vision.federation import triggered
    from simulations.vision.grey_patches import greyed, patch_masks
    from simulations.vision.training import as_weights

    clients = np.flatnonzero(world.collaborative_set)[:_N_CLIENTS]
    scans = world.test_images[clients, 0]
    masks = patch_masks((_N_CLIENTS,), np.array(1.0), np.array(0.0), np.random.default_rng(1))
    weights = as_weights(world.base, {name: blocks[clients] for name, blocks in world.updates.items()})
    images = torch.as_tensor(scans[:, None], dtype=torch.float32)
    labels = torch.as_tensor(world.test_labels[clients, :1].copy())
    attacks = named_attacks(AttackSizes())
    moved = [
        attacks[name](weights, images, labels, torch.Generator().manual_seed(1))[:, 0].numpy()
        for name in ("pgd", "similar")
    ]
    return np.stack([scans, greyed(scans, masks), triggered(scans), *moved])


def vision_picture(world: VisionWorld, found: Collaboration) -> Figure:
    """Left: images of four clients; right: the joint score of every client with its threshold.

    Parameters
    ----------
    world : VisionWorld
    found : Collaboration
        The verdict on it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    grid = figure.add_gridspec(len(_ROWS), 2 * _N_CLIENTS + 1)
    examples = _examples(world)
    for i, name in enumerate(_ROWS):
        for j in range(_N_CLIENTS):
            small = figure.add_subplot(grid[i, j])
            small.imshow(examples[i, j].transpose(1, 2, 0), vmin=0.0, vmax=1.0, interpolation="nearest")
            small.set(xticks=[], yticks=[])
            if j == 0:
                small.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    axis = figure.add_subplot(grid[:, _N_CLIENTS:])
    groups = (
        ("benign", world.collaborative_set & ~world.augmented),
        ("benign, augmented", world.collaborative_set & world.augmented),
        ("poisoned", ~world.collaborative_set),
    )
    draw_joint_scores(axis, found, groups)
    return figure
