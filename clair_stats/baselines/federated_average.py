"""Federated average: the mean over all clients, weighted by n_k (McMahan et al., AISTATS 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, everyone_gets
from clair_stats.estimates import ClientEstimates

__all__ = ["federated_average"]


def federated_average(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Hand the weighted mean to every client."""
    record = checked_input(estimates, rank, n_contaminated)
    center = np.average(record.dense(), axis=0, weights=record.sample_sizes)
    return everyone_gets(np.asarray(center, dtype=np.float64), record.n_clients)
