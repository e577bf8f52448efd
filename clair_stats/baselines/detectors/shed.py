"""SHED (He et al., NeurIPS 2024; arXiv 2405.00705): data are ranked by Shapley values of proxies of clusters.

Points are clustered, the point nearest to each centre stands for its cluster, and the proxies' Shapley values are the
clusters' scores.  Data are then taken from the best clusters first (QOCS), or at random with weights exp(score) (QWCS).
Told a value function, which in the paper is the performance of a model on a validation set.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from clair_stats.records import FloatArray

__all__ = ["Clusters", "cluster_proxies", "select"]

IntArray = NDArray[np.int64]


class Clusters(NamedTuple):
    """Cluster of every point, and the point that stands for each cluster that has points."""

    labels: IntArray  # (n,), from 0 to c − 1
    proxies: IntArray  # (c,)


def cluster_proxies(features: FloatArray, n_clusters: int, generator: np.random.Generator) -> Clusters:
    """k-means (k-means++ starts: Arthur and Vassilvitskii, 2007) and the points nearest to the centres.

    Parameters
    ----------
    features : ndarray, shape (n, m)
    n_clusters : int
        From 1 to n; clusters without points are dropped.
    generator : numpy.random.Generator

    Returns
    -------
    Clusters

    Raises
    ------
    ValueError
        A number of clusters outside 1 … n.
    """
    if not 1 <= n_clusters <= len(features):
        raise ValueError(f"n_clusters: {n_clusters}; give an integer from 1 to {len(features)}")
    centres, raw = kmeans2(features, n_clusters, minit="++", seed=generator, missing="warn")
    used, labels = np.unique(raw, return_inverse=True)
    proxies = []
    for cluster, centre in enumerate(centres[used]):
        own = np.flatnonzero(labels == cluster)
        proxies.append(int(own[np.argmin(np.linalg.norm(features[own] - centre, axis=1))]))
    return Clusters(labels.astype(np.int64), np.array(proxies, dtype=np.int64))


def select(
    clusters: Clusters,
    scores: FloatArray,
    budget: int,
    *,
    rule: Literal["best", "weighted"],
    generator: np.random.Generator,
) -> IntArray:
    """Points chosen by the scores of their clusters.

    Parameters
    ----------
    clusters : Clusters
    scores : ndarray, shape (c,)
        Shapley values of the proxies.
    budget : int
        Number of points, from 1 to n.
    rule : {"best", "weighted"}
        "best" empties the best clusters first (QOCS); "weighted" draws clusters with probability ∝ exp(score) (QWCS),
        the scores divided by their standard deviation.
    generator : numpy.random.Generator
        Draws points within clusters.

    Returns
    -------
    ndarray of int, shape (budget,)
        Distinct points.

    Raises
    ------
    ValueError
        A budget outside 1 … n, or an unknown rule.
    """
    n = clusters.labels.size
    if not 1 <= budget <= n:
        raise ValueError(f"budget: {budget}; give an integer from 1 to {n}")
    if rule not in ("best", "weighted"):
        raise ValueError(f"rule: {rule!r} is unknown; give 'best' or 'weighted'")
    order = generator.permutation(n)
    if rule == "best":
        return np.asarray(order[np.argsort(-scores[clusters.labels[order]], kind="stable")][:budget])
    spread = float(np.std(scores))
    logits = (scores - scores.max()) / (spread if spread > 0.0 else 1.0)
    # A cluster's weight is shared by its points: exponential keys give a weighted sample without replacement.
    sizes = np.bincount(clusters.labels, minlength=scores.size)
    keys = generator.exponential(size=n) * sizes[clusters.labels] / np.exp(logits)[clusters.labels]
    return np.asarray(np.argsort(keys, kind="stable")[:budget])
