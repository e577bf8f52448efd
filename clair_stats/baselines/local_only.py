"""No collaboration: every client keeps X_k.

What every other method is compared with (docs/theory.md, section 5, local risk).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.baselines.fit import BaselineFit, checked_input, on_moderate_scale
from clair_stats.estimates import ClientEstimates

__all__ = ["local_only"]


@on_moderate_scale
def local_only(
    estimates: ClientEstimates | ArrayLike, *, rank: int, n_contaminated: int, level: float = 0.05
) -> BaselineFit:
    """Return the local estimates.

    Parameters
    ----------
    estimates : ClientEstimates or array_like, shape (K, p, q)
    rank : int
        r; checked, not used.
    n_contaminated : int
        f; checked, not used.
    level : float
        Not used.

    Returns
    -------
    BaselineFit
        Scale of the estimates.

    Raises
    ------
    ValueError
        Rank outside 0 … p, or a number of contaminated clients outside 0 … K − 1.
    """
    blocks = checked_input(estimates, rank, n_contaminated).dense()
    return BaselineFit(blocks, np.zeros(blocks.shape[1:]))
