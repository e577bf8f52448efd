"""No collaboration: every client keeps X_k."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input
from clair_stats.estimates import ClientEstimates

__all__ = ["local_only"]


def local_only(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Return the local estimates."""
    blocks = checked_input(estimates, rank, n_contaminated).dense()
    return BaselineFit(blocks, np.zeros(blocks.shape[1:]))
