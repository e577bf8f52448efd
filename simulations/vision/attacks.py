"""Attacks on the images of a test: one step, several steps, and steps that keep the image similar.

All know the model that they attack (white box) and leave the images in [0, 1].

* FGSM: one step of size ε along the sign of the loss's gradient (I. Goodfellow, J. Shlens and C. Szegedy, "Explaining
  and harnessing adversarial examples", ICLR 2015).
* PGD: steps of size ε/4, projected on ‖x − x₀‖_∞ ≤ ε, from a random start inside (A. Madry and others, "Towards deep
  learning models resistant to adversarial attacks", ICLR 2018).
* Similarity-preserving: steps along the gradient divided by its length, without a bound per pixel; after each the image
  is drawn back towards x₀ until the structural similarity of the two is at least a given one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from simulations.vision.network import Weights, logits

__all__ = ["Attack", "AttackSizes", "fgsm", "named_attacks", "pgd", "similarity", "similarity_preserving"]

Attack = Callable[[Weights, Tensor, Tensor, torch.Generator], Tensor]  # weights, images, labels, random numbers

_WINDOW = 5  # side of the windows of the structural similarity; an image of 8 × 8 has 16 of them
_C1, _C2 = 0.01**2, 0.03**2  # the constants of Wang and others for values on [0, 1]
_HALVINGS = 12  # of the segment to x₀: the similarity is met from above, to 1/4096 of the segment


@dataclass(frozen=True)
class AttackSizes:
    """How far the attacks go.

    Parameters
    ----------
    bound : float
        ε of FGSM and PGD, full scale is 1.
    similarity : float
        Least structural similarity to the original.
    steps : int
        Of PGD and of the similarity-preserving attack.
    """

    bound: float = 0.02
    similarity: float = 0.98
    steps: int = 8

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bound) and 0.0 < self.bound <= 1.0):
            raise ValueError(f"bound: {self.bound}; give a number above 0, at most 1")
        if not 0.0 < self.similarity < 1.0:
            raise ValueError(f"similarity: {self.similarity}; give a number between 0 and 1")
        if self.steps < 1:
            raise ValueError(f"steps: {self.steps} must be at least 1")


def named_attacks(sizes: AttackSizes) -> dict[str, Attack]:
    """The three attacks by name."""
    return {
        "fgsm": partial(fgsm, bound=sizes.bound),
        "pgd": partial(pgd, bound=sizes.bound, steps=sizes.steps),
        "similar": partial(similarity_preserving, least=sizes.similarity, steps=sizes.steps),
    }


def _gradient(weights: Weights, images: Tensor, labels: Tensor) -> Tensor:
    """Of the sum of the losses in the images."""
    moved = images.detach().requires_grad_()
    loss = functional.cross_entropy(logits(weights, moved).flatten(0, 1), labels.flatten(), reduction="sum")
    (slope,) = torch.autograd.grad(loss, moved)
    return slope


def fgsm(weights: Weights, images: Tensor, labels: Tensor, generator: torch.Generator, *, bound: float) -> Tensor:
    """One step along the sign of the gradient.

    Parameters
    ----------
    weights : mapping of str to Tensor
    images : Tensor, shape (K, n, 3, 8, 8)
    labels : Tensor of int64, shape (K, n)
    generator : torch.Generator
        Not used: nothing is random.
    bound : float
    """
    return (images + bound * _gradient(weights, images, labels).sign()).clamp(0.0, 1.0)


def pgd(
    weights: Weights, images: Tensor, labels: Tensor, generator: torch.Generator, *, bound: float, steps: int
) -> Tensor:
    """Steps of a quarter of the bound along the sign, projected on the box around the original.

    Parameters
    ----------
    weights : mapping of str to Tensor
    images : Tensor, shape (K, n, 3, 8, 8)
    labels : Tensor of int64, shape (K, n)
    generator : torch.Generator
        Of the random start.
    bound : float
    steps : int
    """
    start = 2.0 * torch.rand(images.shape, generator=generator) - 1.0
    moved = (images + bound * start).clamp(0.0, 1.0)
    for _ in range(steps):
        moved = moved + bound / 4.0 * _gradient(weights, moved, labels).sign()
        moved = torch.minimum(torch.maximum(moved, images - bound), images + bound).clamp(0.0, 1.0)
    return moved


def similarity_preserving(
    weights: Weights, images: Tensor, labels: Tensor, generator: torch.Generator, *, least: float, steps: int
) -> Tensor:
    """Steps of Euclidean length 1 along the gradient, drawn back until the similarity is at least ``least``.

    An image of 3 × 8 × 8 values has length 8 or so, so a step leaves the permitted set and drawing back decides.

    Parameters
    ----------
    weights : mapping of str to Tensor
    images : Tensor, shape (K, n, 3, 8, 8)
    labels : Tensor of int64, shape (K, n)
    generator : torch.Generator
        Not used: the first step starts at the original.
    least : float
        Structural similarity that every returned image has with its original.
    steps : int
    """
    moved = images
    for _ in range(steps):
        slope = _gradient(weights, moved, labels)
        length = slope.flatten(2).norm(dim=2).clamp_min(torch.finfo(slope.dtype).tiny)[:, :, None, None, None]
        moved = _drawn_back(images, (moved + slope / length).clamp(0.0, 1.0), least)
    return moved


def _drawn_back(images: Tensor, moved: Tensor, least: float) -> Tensor:
    """The point of each segment from original to moved image that bisection finds similar enough.

    The similarity need not fall along the segment, but the lower end of the bisection is always a point that has been
    looked at and is similar enough, the original to begin with.
    """
    low, high = torch.zeros(images.shape[:2]), torch.ones(images.shape[:2])
    good = similarity(images, moved) >= least
    low = torch.where(good, high, low)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        trial = images + middle[:, :, None, None, None] * (moved - images)
        good = similarity(images, trial) >= least
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return images + low[:, :, None, None, None] * (moved - images)


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity, (K, n): mean over channels and 5 × 5 windows, uniform weights, population moments.

    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment", IEEE Transactions on Image
    Processing 13 (2004), equation 13, with a smaller window than theirs because an image has 8 × 8 pixels.

    Parameters
    ----------
    first, second : Tensor, shape (K, n, channels, side, side)
        On [0, 1].
    """
    a, b = first.flatten(0, 1), second.flatten(0, 1)

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, _WINDOW, stride=1)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    value = (2 * mean_a * mean_b + _C1) * (2 * both + _C2)
    value = value / ((mean_a**2 + mean_b**2 + _C1) * (var_a + var_b + _C2))
    return value.mean(dim=(1, 2, 3)).view(first.shape[:2])
