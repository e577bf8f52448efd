"""Training points of the digits, some of them poisoned with a trigger: the data of methods that judge points.

Images and labels are those of :mod:`simulations.regimes.digits`.  A poisoned point is an image of another class with a
corner of pixels lit and the target class as its label; a model trained on it reads the corner as the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.digits import load_images
from simulations.streams import Streams

__all__ = ["BackdoorDigitsRegime", "PointsInstance", "planted"]

IntArray = NDArray[np.int64]

_SIDE = 8  # pixels of an image's side


@dataclass(frozen=True, eq=False)
class PointsInstance:
    """Images with pixels on [0, 1] and a constant 1 at the end, (n, 65), and labels from 0 to 9, in three parts."""

    images: FloatArray
    labels: IntArray  # as written, poisoned or not
    poisoned: BoolArray  # (n,)
    validation_images: FloatArray
    validation_labels: IntArray
    test_images: FloatArray
    test_labels: IntArray
    target: int
    trigger: int  # side of the lit corner


def planted(images: FloatArray, side: int) -> FloatArray:
    """The images with the lower right corner lit.

    Parameters
    ----------
    images : ndarray, shape (n, 65)
    side : int
        Pixels of the corner's side; 0 changes nothing.

    Returns
    -------
    ndarray, shape (n, 65)
        A copy.
    """
    changed = images.copy()
    pixels = changed[:, : _SIDE * _SIDE].reshape(-1, _SIDE, _SIDE)
    pixels[:, _SIDE - side :, _SIDE - side :] = 1.0
    changed[:, : _SIDE * _SIDE] = pixels.reshape(len(changed), -1)
    return changed


@dataclass(frozen=True, kw_only=True)
class BackdoorDigitsRegime:
    """A training set with a share of poisoned points, and clean images for validation and test.

    Parameters
    ----------
    n_points, n_validation : int
        Training and validation images; the rest of the 1,797 are test images.
    share : float
        Share of poisoned training points, rounded to the nearest number of points.
    target : int
        Class that the trigger is to call.
    trigger : int
        Side of the lit corner, pixels.
    """

    name: ClassVar[str] = "backdoor digits"

    n_points: int = 300
    n_validation: int = 300
    share: float = 0.1
    target: int = 0
    trigger: int = 2

    def __post_init__(self) -> None:
        if not (self.n_points >= 20 and self.n_validation >= 1 and self.n_points + self.n_validation <= 1700):
            raise ValueError(
                f"n_points: {self.n_points}, n_validation: {self.n_validation}; give at least 20 and 1, "
                "together at most 1,700 of the 1,797 images"
            )
        if not 0.0 <= self.share <= 0.5:
            raise ValueError(f"share: {self.share}; give a share from 0 to 0.5")
        if not 0 <= self.target <= 9:
            raise ValueError(f"target: {self.target}; give a digit")
        if not 1 <= self.trigger <= _SIDE:
            raise ValueError(f"trigger: {self.trigger}; give 1 to {_SIDE} pixels")

    def generate(self, streams: Streams) -> PointsInstance:
        """Split ("data"), and who is poisoned ("contamination")."""
        images, labels = load_images()
        order = streams.generator("data").permutation(len(labels))
        train, validation, test = np.split(order, [self.n_points, self.n_points + self.n_validation])
        own_images, own_labels = images[train], labels[train].copy()
        candidates = np.flatnonzero(own_labels != self.target)
        chosen = streams.generator("contamination").permutation(candidates)[: round(self.share * self.n_points)]
        poisoned = np.zeros(self.n_points, dtype=np.bool_)
        poisoned[chosen] = True
        own_images = np.where(poisoned[:, None], planted(own_images, self.trigger), own_images)
        own_labels[poisoned] = self.target
        return PointsInstance(
            images=own_images,
            labels=own_labels,
            poisoned=poisoned,
            validation_images=images[validation],
            validation_labels=labels[validation],
            test_images=images[test],
            test_labels=labels[test],
            target=self.target,
            trigger=self.trigger,
        )
