"""Estimates of different rank are cut to a common one, so that a score does not measure the rank that was kept.

A client that kept rank 16 where others kept 4 carries four times as many error components, and looks contaminated.

See docs/derivations/detection.md, section 8.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from clair_stats.detection.panel import Panel

__all__ = ["kept_ranks", "levelled"]

# Singular values below this share of the largest are rounding of a product in single precision.
_ROUNDING = 1e-6
# A quarter of the clients cannot lower the common rank, and so cannot blind the test, by sending less.
_QUANTILE = 0.25


def kept_ranks(panel: Panel) -> NDArray[np.int64]:
    """Numerical rank of every client's block, shape (K,).

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    ndarray of int, shape (K,)
    """
    sizes = np.linalg.svd(panel.blocks, compute_uv=False)
    return np.asarray((sizes > _ROUNDING * sizes[:, :1]).sum(axis=1), dtype=np.int64)


def levelled(panel: Panel) -> tuple[Panel, int | None]:
    """The panel with every block cut to the lower quartile of the ranks, and that rank; None when nothing was cut.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    tuple of Panel and int or None
    """
    ranks = kept_ranks(panel)
    common = int(np.quantile(ranks, _QUANTILE, method="lower"))
    if common == 0 or common >= ranks.max() or np.median(ranks) >= min(panel.shape[1:]):
        return panel, None
    left, sizes, right = np.linalg.svd(panel.blocks, full_matrices=False)
    blocks = (left[:, :, :common] * sizes[:, None, :common]) @ right[:, :common]
    energies = np.einsum("kij,kij->k", blocks, blocks)
    return replace(panel, blocks=blocks, energies=energies), common
