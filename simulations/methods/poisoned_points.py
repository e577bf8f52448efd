"""Which training points are poisoned: the influence graph of Sun et al. (2021) on multinomial regression of the digits.

Gradients and Hessian are those of the penalised log-likelihood at its maximum, in contrasts of the classes; the group
sought is the sub-graph of the poisoned share's size with the largest mean influence, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from clair_stats.baselines.detectors.average_subgraph import max_average_subgraph
from clair_stats.baselines.detectors.influence import pairwise_influence
from clair_stats.local_fits import class_contrasts, multinomial_coefficients
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.backdoor_digits import PointsInstance, planted

__all__ = ["PoisonedPoints", "gradients_and_hessian"]

_CLASSES = 10
IntArray = NDArray[np.int64]


def gradients_and_hessian(
    images: FloatArray, labels: IntArray, coefficients: FloatArray, ridge: float
) -> tuple[FloatArray, FloatArray]:
    """Of every point's loss −log P(y | z), and of the mean loss with ½ ridge/n times the squared coefficients.

    Parameters
    ----------
    images : ndarray, shape (n, p)
    labels : ndarray of int, shape (n,)
    coefficients : ndarray, shape (p, c − 1)
        In contrasts of the c classes.
    ridge : float
        On the scale of the log-likelihood summed over points.

    Returns
    -------
    tuple of ndarray, shapes (n, d) and (d, d)
        d = p(c − 1).
    """
    contrasts = class_contrasts(_CLASSES)
    n, p = images.shape
    scores = images @ coefficients @ contrasts.T
    scores -= scores.max(axis=1, keepdims=True)
    shares = np.exp(scores)
    shares /= shares.sum(axis=1, keepdims=True)
    off = (shares - np.eye(_CLASSES)[labels]) @ contrasts
    gradients = (images[:, :, None] * off[:, None, :]).reshape(n, -1)
    spread = np.einsum("nc,ci,cj->nij", shares, contrasts, contrasts)
    centre = shares @ contrasts
    spread -= centre[:, :, None] * centre[:, None, :]
    width = contrasts.shape[1]
    # Σ_n (z zᵀ) ⊗ V_n, as one product of matrices of n rows.
    outer = (images[:, :, None] * images[:, None, :]).reshape(n, -1)
    blocks = (outer.T @ spread.reshape(n, -1)).reshape(p, p, width, width)
    hessian = blocks.transpose(0, 2, 1, 3).reshape(p * width, p * width) / n
    return gradients, hessian + ridge / n * np.eye(p * width)


@dataclass(frozen=True)
class PoisonedPoints:
    """Train, seek the poisoned points, leave them out and train again.

    Parameters
    ----------
    ridge : float
        Penalty on the scale of the summed log-likelihood.
    unit : bool
        Whether influences are divided by the roots of the points' influences on themselves, so that a few badly
        fitted points do not decide.

    Notes
    -----
    Told the number of poisoned points.  Metrics: ``precision_*``, share of the points found that are poisoned, for
    the "subgraph", for the largest influence of a point on itself ("alone") and for the largest "loss"; ``accuracy``
    and ``attack``, share of test images and of test images with the trigger that are called right and the target, as
    trained, and ``*_cleaned`` after leaving out the sub-graph.
    """

    name: ClassVar[str] = "Influence graph of points"

    ridge: float = 1.0
    unit: bool = True

    def __post_init__(self) -> None:
        if not self.ridge > 0.0:
            raise ValueError(f"ridge: {self.ridge}; give a positive number, separable classes need it")

    def evaluate(self, instance: PointsInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Precision of three rankings, and what leaving out the sub-graph does."""
        size = int(instance.poisoned.sum())
        fitted = self._fit(instance, np.ones(len(instance.labels), dtype=np.bool_))
        gradients, hessian = gradients_and_hessian(instance.images, instance.labels, fitted, self.ridge)
        influence = pairwise_influence(gradients, hessian)
        alone = np.diag(influence)
        edges = influence / np.sqrt(np.outer(alone, alone)) if self.unit else influence
        found: dict[str, float] = {}
        group = max_average_subgraph(edges, size) if size >= 2 else np.zeros(len(alone), dtype=np.bool_)
        losses = _losses(instance.images, instance.labels, fitted)
        for name, chosen in (("subgraph", group), ("alone", _top(alone, size)), ("loss", _top(losses, size))):
            found[f"precision_{name}"] = float(instance.poisoned[chosen].mean()) if chosen.any() else np.nan
        cleaned = self._fit(instance, ~group)
        for suffix, coefficients in (("", fitted), ("_cleaned", cleaned)):
            found[f"accuracy{suffix}"] = float(
                np.mean(_called(instance.test_images, coefficients) == instance.test_labels)
            )
            others = instance.test_images[instance.test_labels != instance.target]
            attacked = _called(planted(others, instance.trigger), coefficients)
            found[f"attack{suffix}"] = float(np.mean(attacked == instance.target))
        return found

    def _fit(self, instance: PointsInstance, kept: BoolArray) -> FloatArray:
        coefficients, _ = multinomial_coefficients(
            instance.images[kept], instance.labels[kept], n_classes=_CLASSES, ridge=self.ridge
        )
        return coefficients


def _top(values: FloatArray, size: int) -> BoolArray:
    chosen = np.zeros(values.size, dtype=np.bool_)
    chosen[np.argsort(-values, kind="stable")[:size]] = True
    return chosen


def _scores(images: FloatArray, coefficients: FloatArray) -> FloatArray:
    return np.asarray(images @ coefficients @ class_contrasts(_CLASSES).T, dtype=np.float64)


def _called(images: FloatArray, coefficients: FloatArray) -> IntArray:
    return np.asarray(_scores(images, coefficients).argmax(axis=1), dtype=np.int64)


def _losses(images: FloatArray, labels: IntArray, coefficients: FloatArray) -> FloatArray:
    scores = _scores(images, coefficients)
    top = scores.max(axis=1)
    total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return np.asarray(total - scores[np.arange(len(labels)), labels], dtype=np.float64)
