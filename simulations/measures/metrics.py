"""Metrics of one method on one instance; NaN means undefined here (the summaries count such replications)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from clair_stats.linalg import block_norms, sin_theta
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.instance import Instance

__all__ = ["detection_metrics", "estimation_metrics", "evaluate", "subspace_metrics", "verdict_metrics"]


def estimation_metrics(instance: Instance, estimates: FloatArray) -> dict[str, float]:
    """Errors of per-client estimates (K, p, q) against the targets of the benign clients.

    ``refined_mse`` is the mean over benign clients and entries of (Θ̃_k − Θ*_k)², ``local_mse`` that of X_k, and
    ``relative_error`` is ‖Θ̃_C − Θ*_C‖_F/‖Θ*_C‖_F.
    """
    benign = instance.collaborative_set
    p, q = instance.common.shape
    errors = block_norms(estimates[benign] - instance.targets[benign])
    local = block_norms(instance.estimates.dense()[benign] - instance.targets[benign])
    size = float(np.sqrt(np.sum(block_norms(instance.targets[benign]) ** 2)))
    return {
        "refined_mse": float(np.mean(errors**2)) / (p * q),
        "local_mse": float(np.mean(local**2)) / (p * q),
        "relative_error": float(np.sqrt(np.sum(errors**2))) / size if size > 0.0 else math.nan,
        "improved_share": float(np.mean(errors < local)),
    }


def detection_metrics(truth: BoolArray, found: BoolArray) -> dict[str, float]:
    """Found collaborative set against the true one; "positive" is contaminated.

    ``precision`` is NaN when nobody was flagged and ``recall`` when nobody is contaminated.  The counts make pooled
    precision and recall possible.

    Parameters
    ----------
    truth, found : bool ndarray, shape (K,)
        True = benign.

    Returns
    -------
    dict of str to float
        Shares and 0/1 indicators.
    """
    flagged, contaminated = ~found, ~truth
    hits = int(np.count_nonzero(flagged & contaminated))
    n_flagged, n_contaminated = int(flagged.sum()), int(contaminated.sum())
    return {
        "exact_set": float(np.array_equal(truth, found)),
        "false_alarm": float(n_flagged > hits),
        "hits": float(hits),
        "flagged": float(n_flagged),
        "contaminated": float(n_contaminated),
        "precision": hits / n_flagged if n_flagged else math.nan,
        "recall": hits / n_contaminated if n_contaminated else math.nan,
    }


def verdict_metrics(truth: BoolArray, flagged: BoolArray, majority: bool) -> dict[str, float]:
    """:func:`detection_metrics` of a detector that may decline to decide, and ``majority``, 1 when it decided.

    Without a verdict nobody is flagged: no client is a hit and none a false alarm, and the set counts as not found,
    also where nobody is contaminated.  The complement of an empty collaborative set would be everybody.

    Parameters
    ----------
    truth : bool ndarray, shape (K,)
        True = benign.
    flagged : bool ndarray, shape (K,)
        ``flagged_`` of the fitted model, False for everyone without a verdict.
    majority : bool
        Whether there is a verdict.
    """
    found = detection_metrics(truth, ~(flagged & majority))
    return {**found, "exact_set": found["exact_set"] * float(majority), "majority": float(majority)}


def subspace_metrics(instance: Instance, basis: FloatArray) -> dict[str, float]:
    """``sin_theta`` = ‖sin Θ(Û, U*)‖_op, 1 when the ranks differ, and ``rank``."""
    return {"sin_theta": sin_theta(basis, instance.basis), "rank": float(basis.shape[1])}


def evaluate(
    instance: Instance,
    estimates: FloatArray,
    *,
    collaborative_set: BoolArray | None = None,
    basis: FloatArray | None = None,
) -> dict[str, float]:
    """All metrics that apply: estimation always, detection and subspace when the method gives them, and the scorers.

    Parameters
    ----------
    instance : Instance
    estimates : array, shape (K, p, q)
        What the method hands to each client.
    collaborative_set : array of bool, shape (K,), optional
    basis : array, shape (p, r), optional
    """
    metrics = estimation_metrics(instance, estimates)
    if collaborative_set is not None:
        metrics |= detection_metrics(instance.collaborative_set, collaborative_set)
    if basis is not None:
        metrics |= subspace_metrics(instance, basis)
    scorers: Mapping[str, Callable[[FloatArray], float]] = instance.extras.get("scorers", {})
    return metrics | {name: float(score(estimates)) for name, score in scorers.items()}
