"""SHED's selection of training points on the digits, against all points and a random tenth.

The value of a set of proxies is the validation accuracy of ridge least squares on class indicators trained on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clair_stats.baselines.detectors.shapley import sampled_shapley
from clair_stats.baselines.detectors.shed import Clusters, cluster_proxies, select
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.backdoor_digits import PointsInstance

__all__ = ["ShedSelection", "ridge_accuracy", "training_sets"]

_CLASSES = 10
IntArray = NDArray[np.int64]


def ridge_accuracy(
    images: FloatArray,
    labels: IntArray,
    on_images: FloatArray,
    on_labels: IntArray,
    ridge: float,
    *,
    n_classes: int = _CLASSES,
) -> float:
    """Accuracy of least squares on class indicators with a ridge penalty; without points everything is class 0.

    Parameters
    ----------
    images, on_images : ndarray, shapes (n, p) and (m, p)
        To train and to test on.
    labels, on_labels : ndarray of int, shapes (n,) and (m,)
    ridge : float
        Positive, on the scale of the summed squares.
    n_classes : int
        Labels are from 0 to n_classes − 1.

    Returns
    -------
    float
        From 0 to 1.
    """
    if len(labels) == 0:
        return float(np.mean(on_labels == 0))
    indicators = np.eye(n_classes)[labels]
    if images.shape[0] < images.shape[1]:  # the n × n system is the smaller one
        inner = images @ images.T + ridge * np.eye(images.shape[0])
        scores = on_images @ (images.T @ np.linalg.solve(inner, indicators))
    else:
        scores = on_images @ np.linalg.solve(images.T @ images + ridge * np.eye(images.shape[1]), images.T @ indicators)
    return float(np.mean(scores.argmax(axis=1) == on_labels))


def training_sets(
    clusters: Clusters, values: FloatArray, n: int, share: float, generator: np.random.Generator
) -> dict[str, IntArray]:
    """All points, SHED's choices by either rule, and as many random ones: "all", "best", "weighted" and "random".

    Parameters
    ----------
    clusters : Clusters
        Of the n points.
    values : ndarray, shape (number of clusters,)
        Shapley values of the clusters' proxies.
    n : int
        Number of points.
    share : float
        Share of the points that is chosen; one at least.
    generator : numpy.random.Generator
    """
    budget = max(round(share * n), 1)
    return {
        "all": np.arange(n, dtype=np.int64),
        "best": select(clusters, values, budget, rule="best", generator=generator),
        "weighted": select(clusters, values, budget, rule="weighted", generator=generator),
        "random": generator.permutation(n)[:budget].astype(np.int64),
    }


@dataclass(frozen=True)
class ShedSelection:
    """Train on all points, on SHED's choices and on a random choice of the same size.

    Parameters
    ----------
    share : float
        Share of the points that is chosen.
    n_clusters, permutations : int
        Clusters, and random orders for the Shapley values of their proxies.
    ridge : float
        Penalty of the classifier, on the scale of summed squares.

    Notes
    -----
    Told a validation set.  Metrics: ``accuracy_*`` on the test images for "all", "best" (QOCS), "weighted" (QWCS) and
    "random"; ``largest_error``, the largest Monte Carlo standard error of a Shapley value.
    """

    name: ClassVar[str] = "SHED"

    share: float = 0.1
    n_clusters: int = 30
    permutations: int = 40
    ridge: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share: {self.share}; give a share in (0, 1]")

    def evaluate(self, instance: PointsInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Test accuracy of the four training sets."""
        clusters = cluster_proxies(instance.images, self.n_clusters, generator)
        images, labels = instance.images[clusters.proxies], instance.labels[clusters.proxies]

        def value(members: BoolArray) -> float:
            return ridge_accuracy(
                images[members], labels[members], instance.validation_images, instance.validation_labels, self.ridge
            )

        scores = sampled_shapley(value, len(labels), permutations=self.permutations, generator=generator)
        chosen = training_sets(clusters, scores.values, len(instance.labels), self.share, generator)
        found = {
            f"accuracy_{name}": ridge_accuracy(
                instance.images[points],
                instance.labels[points],
                instance.test_images,
                instance.test_labels,
                self.ridge,
            )
            for name, points in chosen.items()
        }
        return found | {"largest_error": float(scores.errors.max())}
