"""A small convolutional network for all clients in one forward pass.

Two convolutions (3 × 3, stride 2), a hidden layer and the ten classes; a convolution is a matrix product of its
patches, so every weight is a matrix, shared (out, in) or the client's own (K, out, in).  There are no biases: matrices
are what is compared, and what is learnt should all be in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from simulations.vision.images import CHANNELS, SIDE

__all__ = ["MODULES", "N_CLASSES", "Weights", "initial_weights", "logits"]

Weights = Mapping[str, Tensor]

N_CLASSES = 10
_KERNEL, _STRIDE, _FILTERS, _HIDDEN = 3, 2, (16, 32), 48
_LAST_SIDE = SIDE // _STRIDE**2
# Weight matrices, name -> (out, in), in the order in which the network applies them.
MODULES: dict[str, tuple[int, int]] = {
    "convolution 1": (_FILTERS[0], CHANNELS * _KERNEL**2),
    "convolution 2": (_FILTERS[1], _FILTERS[0] * _KERNEL**2),
    "hidden": (_HIDDEN, _FILTERS[1] * _LAST_SIDE**2),
    "head": (N_CLASSES, _HIDDEN),
}


def initial_weights(seed: int) -> dict[str, Tensor]:
    """Random weights, N(0, 2/in) for the rectified layers and N(0, 1/in) for the head."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(rows, columns, generator=generator) * math.sqrt((1 if name == "head" else 2) / columns)
        for name, (rows, columns) in MODULES.items()
    }


def logits(weights: Weights, images: Tensor) -> Tensor:
    """Scores of the classes, (K, n, 10), for images (K, n, 3, 8, 8)."""
    x = images
    for name in ("convolution 1", "convolution 2"):
        x = torch.relu(_convolved(x, weights[name]))
    x = torch.relu(x.flatten(2) @ weights["hidden"].mT)
    return x @ weights["head"].mT


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    """(K, n, channels, side, side) -> (K, n, filters, side/2, side/2)."""
    n_clients, n, side = x.shape[0], x.shape[1], x.shape[-1] // _STRIDE
    patches = functional.unfold(x.flatten(0, 1), _KERNEL, padding=_KERNEL // 2, stride=_STRIDE)
    # One product per client over all images and places: many small ones take three times as long.
    flat = patches.mT.reshape(n_clients, n * side * side, -1)
    return (flat @ weight.mT).view(n_clients, n, side, side, -1).permute(0, 1, 4, 2, 3)
